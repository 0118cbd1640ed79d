"""The outbox: what writing an event costs, how soon and how fast events are accepted, and what it costs idle.

Wants a rig whose sidecar delivers, and which has nothing else to do; knows nothing of other calls."""

from __future__ import annotations

import contextlib
import random
import socket
import statistics
import time
from collections.abc import Iterator

from bench.load import WrongAnswer
from bench.measurement import cpu_of
from bench.results import Results
from bench.rig import Rig
from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.contract.client import MonitorClient, monitor
from lambda_udf.v1 import monitor_pb2

ROWS = 1000
"""Of one INSERT into a table whose trigger writes an event for each."""
PAIRS = 9
LATENCIES = 60
BURST = 20_000
IDLE_SECONDS = 10.0
# outbox/wakeup.py's RECENT_SECONDS are over by then.
QUIET_SECONDS = 11.0
GIVE_UP_SECONDS = 120.0
_EVENT = "INSERT INTO {table} (function_name, payload) VALUES ('echo', JSON_OBJECT('order', NEW.id))"
INSERT_ROWS = (
    "INSERT INTO lambda_udf.outbox (function_name, payload)"
    " SELECT 'echo', JSON_OBJECT('order', n) FROM bench.numbers"
)
# One gives the library's hint, the other does not.
_WAYS = {
    "function": "SELECT lambda_udf.lambda_async('marked', '{\"order\": 1}') INTO @accepted",
    "insert": "INSERT INTO lambda_udf.outbox (function_name, payload) VALUES ('marked', '{\"order\": 1}')",
}
_TABLES = f"""
CREATE TABLE IF NOT EXISTS bench.numbers (n INT PRIMARY KEY);
INSERT IGNORE INTO bench.numbers
  WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {ROWS}) SELECT n FROM r;
CREATE TABLE IF NOT EXISTS bench.plain (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  function_name VARCHAR(256) NOT NULL, payload LONGTEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bench.orders_plain (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT);
CREATE TABLE IF NOT EXISTS bench.orders_event (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT);
CREATE TABLE IF NOT EXISTS bench.orders_function (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT);
CREATE TRIGGER IF NOT EXISTS bench.to_plain AFTER INSERT ON bench.orders_plain FOR EACH ROW
  {_EVENT.format(table="bench.plain")};
CREATE TRIGGER IF NOT EXISTS bench.to_event AFTER INSERT ON bench.orders_event FOR EACH ROW
  {_EVENT.format(table="lambda_udf.outbox")};
CREATE TRIGGER IF NOT EXISTS bench.by_function AFTER INSERT ON bench.orders_function FOR EACH ROW
  SET @accepted = lambda_udf.lambda_async('echo', JSON_OBJECT('order', NEW.id));
"""


def measure_all(rig: Rig, results: Results, rounds: int) -> None:
    """Raises WrongAnswer if an event does not arrive."""
    with (
        contextlib.closing(rig.mysqld.connect()) as connection,
        monitor(rig.sidecar.socket) as sidecar,
        _marks(rig) as marks,
    ):
        prepare(rig)
        wait_until_delivering(sidecar)
        for _ in range(rounds):
            _enqueue(connection, results)
            for way, statement in _WAYS.items():
                for milliseconds in _latencies(connection, marks, statement):
                    results.add(f"outbox_{way}_latency_ms", milliseconds)
            _throughput(rig, connection, sidecar, results)
        _idle(rig, connection, results)


def prepare(rig: Rig) -> None:
    """The tables and triggers."""
    done = rig.mysqld.client(input=_TABLES)
    if done.returncode:
        raise WrongAnswer(f"outbox: {done.stderr.strip()}")


def wait_until_delivering(sidecar: MonitorClient) -> None:
    """Raises WrongAnswer if that takes long."""
    give_up = time.monotonic() + GIVE_UP_SECONDS
    while not _outbox(sidecar).delivering:
        if time.monotonic() > give_up:
            raise WrongAnswer(f"outbox: the sidecar does not deliver: {_outbox(sidecar).state}")
        time.sleep(0.1)


def _outbox(sidecar: MonitorClient) -> monitor_pb2.Outbox:
    snapshot = sidecar.snapshot(_patient)
    if snapshot is None or not snapshot.HasField("outbox"):
        raise WrongAnswer("outbox: the sidecar has none")
    return snapshot.outbox


def _patient() -> bool:
    time.sleep(0.002)
    return True


@contextlib.contextmanager
def _marks(rig: Rig) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as marks:
        marks.bind(str(rig.upstream.marks))
        rig.upstream.marks.chmod(0o666)
        marks.settimeout(GIVE_UP_SECONDS)
        yield marks


def _enqueue(connection: MySQLConnectionAbstract, results: Results) -> None:
    """One statement of ROWS rows, whose trigger writes as many; rolled back, so that nothing is delivered
    meanwhile, and without COMMIT, which takes both equally long."""
    seconds: dict[str, list[float]] = {"plain": [], "event": [], "function": []}
    with connection.cursor() as cursor:
        for pair in range(PAIRS + 1):
            for table, taken in seconds.items():
                cursor.execute("START TRANSACTION")
                began = time.monotonic()
                cursor.execute(f"INSERT INTO bench.orders_{table} (n) SELECT n FROM bench.numbers")
                if pair:  # the first one warms up
                    taken.append(time.monotonic() - began)
                cursor.execute("ROLLBACK")
    for table, taken in seconds.items():
        results.add(f"outbox_enqueue_{table}_ms", statistics.median(taken) * 1000)
    ratio = statistics.median(seconds["event"]) / statistics.median(seconds["plain"])
    results.add("outbox_enqueue_ratio", ratio)


def _latencies(connection: MySQLConnectionAbstract, marks: socket.socket, statement: str) -> Iterator[float]:
    """Milliseconds from sending COMMIT until nginx has answered: the time that COMMIT takes is in it."""
    with connection.cursor() as cursor:
        for _ in range(LATENCIES):
            time.sleep(random.uniform(0.02, 0.08))  # noqa: S311  at any moment of the deliverer's waits
            cursor.execute("START TRANSACTION")
            cursor.execute(statement)
            began = time.monotonic()
            cursor.execute("COMMIT")
            try:
                marks.recv(1024)
            except TimeoutError:
                raise WrongAnswer("outbox: a committed event did not arrive") from None
            yield (time.monotonic() - began) * 1000


def _throughput(
    rig: Rig, connection: MySQLConnectionAbstract, sidecar: MonitorClient, results: Results
) -> None:
    """BURST events of one transaction, from its COMMIT until all are accepted and out of the table."""
    before = accepted(sidecar)
    with connection.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        for _ in range(BURST // ROWS):
            cursor.execute(INSERT_ROWS)
        pids = {"mysqld": rig.mysqld.pid, "sidecar": rig.sidecar.pid}
        cpu_before, began = cpu_of(pids), time.monotonic()
        cursor.execute("COMMIT")
    while (settled := accepted(sidecar) - before) < BURST:
        if time.monotonic() > began + GIVE_UP_SECONDS:
            raise WrongAnswer(f"outbox: {settled} of {BURST} events were accepted")
        time.sleep(0.02)
    seconds, cpu = time.monotonic() - began, cpu_of(pids)
    results.add("outbox_per_second", BURST / seconds)
    for name in pids:
        results.add(f"outbox_{name}_us", (cpu[name] - cpu_before[name]) / BURST * 1e6)


def accepted(sidecar: MonitorClient) -> int:
    """Events so far, which are out of the table too. Raises WrongAnswer where an attempt has failed."""
    told = _outbox(sidecar)
    if told.dead or told.retried:
        raise WrongAnswer(f"outbox: {told.dead} events are dead, {told.retried} attempts failed")
    return int(told.accepted)


def _idle(rig: Rig, connection: MySQLConnectionAbstract, results: Results) -> None:
    """Once: statements and CPU time of a sidecar that has nothing to deliver, beyond a mysqld without it."""
    pids = {"mysqld": rig.mysqld.pid, "sidecar": rig.sidecar.pid}
    time.sleep(QUIET_SECONDS)
    queries, cpu_before, began = _queries(connection), cpu_of(pids), time.monotonic()
    time.sleep(IDLE_SECONDS)
    seconds, cpu = time.monotonic() - began, cpu_of(pids)
    results.add("outbox_idle_queries_per_second", (_queries(connection) - queries - 1) / seconds)
    for name in pids:
        results.add(f"outbox_idle_{name}_percent", (cpu[name] - cpu_before[name]) / seconds * 100)
    rig.sidecar.stop()
    alone, began = cpu_of({"mysqld": rig.mysqld.pid}), time.monotonic()
    time.sleep(IDLE_SECONDS)
    mysqld_alone = cpu_of({"mysqld": rig.mysqld.pid})["mysqld"] - alone["mysqld"]
    mysqld_alone /= time.monotonic() - began
    beyond = sum(cpu[name] - cpu_before[name] for name in pids) / seconds - mysqld_alone
    results.add("outbox_idle_percent", max(0.0, beyond * 100))


def _queries(connection: MySQLConnectionAbstract) -> int:
    """Statements of all clients so far; one more for this one."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Queries'")
        ((_, count),) = cursor.fetchall()
    return int(str(count))

"""Many rows in one statement: lambda_sync one by one, lambda_map many at once, lambda_batch many in an event.

Every answer is compared. Knows the statements; nothing of how servers are started."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from bench.cases import all_cases
from bench.load import WrongAnswer
from bench.measurement import Answers, cpu_of, measure
from bench.process_figures import resident_kib
from bench.results import Results
from bench.rig import Rig
from bench.upstream import BATCH_ROWS
from mysql.connector.abstracts import MySQLConnectionAbstract

DELAY_MS = 50
WIDTHS = (10, 100, 500)
ROWS, MORE_ROWS = 1000, 10_000
SYNC_ROWS = 40
"""Of 1,000, which would take 50 s; the figure is what 1,000 take."""
AT_ONCE_ROWS = 10_000
BATCH_TOTAL = 100_000
IN_FLIGHT = (1, 4, 16)
REPEATED = 10
"""Statements in a row, whose memory is compared."""


def tables() -> str:
    """SQL that makes what is read here."""
    return f"""
CREATE TABLE IF NOT EXISTS bench.payments
  (id INT PRIMARY KEY, amount DECIMAL(9, 2) NOT NULL, country CHAR(2) NOT NULL, tags VARCHAR(40) NOT NULL);
SET SESSION cte_max_recursion_depth = {BATCH_TOTAL};
INSERT IGNORE INTO bench.payments
  WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {BATCH_TOTAL})
  SELECT n, n / 100, ELT(1 + n % 4, 'CH', 'DE', 'KR', 'US'), CONCAT('tag-', n % 100) FROM r;
"""


def measure_all(rig: Rig, results: Results, rounds: int) -> None:
    """Raises WrongAnswer."""
    done = rig.mysqld.client(input=tables())
    if done.returncode:
        raise WrongAnswer(f"many rows: {done.stderr.strip()}")
    with contextlib.closing(rig.mysqld.connect()) as connection:
        for _ in range(rounds):
            _by_sync(connection, results)
            for width in WIDTHS:
                results.add(f"map_{ROWS}_{width}_s", _map(connection, ROWS, f"delayed-{DELAY_MS:03}", width))
            results.add(f"map_{MORE_ROWS}_s", _map(connection, MORE_ROWS, f"delayed-{DELAY_MS:03}", 100))
            _at_once(rig, connection, results)
            for in_flight in IN_FLIGHT:
                _batch(rig, connection, results, in_flight)
    _memory(rig, results)


def _by_sync(connection: MySQLConnectionAbstract, results: Results) -> None:
    seconds, answers = _timed(
        connection,
        f"SELECT lambda_sync('delayed-{DELAY_MS:03}', JSON_OBJECT('n', id)) FROM bench.payments"
        f" WHERE id <= {SYNC_ROWS} ORDER BY id",
    )
    _check("lambda_sync", [json.loads(text) for (text,) in answers], _echoed(SYNC_ROWS))
    results.add(f"sync_{ROWS}_s", seconds / SYNC_ROWS * ROWS)


def _map(connection: MySQLConnectionAbstract, rows: int, function: str, width: int) -> float:
    """Seconds."""
    seconds, ((text,),) = _timed(
        connection,
        f"SELECT lambda_map(JSON_OBJECT('function', '{function}', 'concurrency', {width}),"
        f" JSON_OBJECT('n', id)) FROM bench.payments WHERE id <= {rows}",
    )
    _check("lambda_map", json.loads(text), _echoed(rows))
    return seconds


def _at_once(rig: Rig, connection: MySQLConnectionAbstract, results: Results) -> None:
    """One session of lambda_map beside 32 of lambda_sync, with an endpoint that answers at once."""
    (case,) = [case for case in all_cases() if case.name == "sync/32"]
    sessions = measure(rig, case, 0.8, Answers()).per_second
    before = cpu_of(_pids(rig))
    seconds = _map(connection, AT_ONCE_ROWS, "echo", 100)
    spent = cpu_of(_pids(rig))
    results.add("map_rows_per_second", AT_ONCE_ROWS / seconds)
    results.add("map_ratio", AT_ONCE_ROWS / seconds / sessions)
    for name in before:
        results.add(f"map_{name}_us", (spent[name] - before[name]) / AT_ONCE_ROWS * 1e6)


def _batch(rig: Rig, connection: MySQLConnectionAbstract, results: Results, in_flight: int) -> None:
    before = cpu_of(_pids(rig))
    seconds, ((text,),) = _timed(connection, _batch_statement(in_flight))
    spent = cpu_of(_pids(rig))
    _check("lambda_batch", json.loads(text), list(range(BATCH_ROWS)) * (BATCH_TOTAL // BATCH_ROWS))
    results.add(f"batch_{in_flight}_s", seconds)
    if in_flight == IN_FLIGHT[-1]:
        for name in before:
            results.add(f"batch_{name}_s", spent[name] - before[name])


def _batch_statement(in_flight: int) -> str:
    return (
        f"SELECT lambda_batch(JSON_OBJECT('function', 'batch-{BATCH_ROWS}', 'batch_rows', {BATCH_ROWS},"
        f" 'concurrency', {in_flight}), amount, country, tags) FROM bench.payments"
    )


def _memory(rig: Rig, results: Results) -> None:
    """How much mysqld grows from the second statement of a session to the last."""
    with contextlib.closing(rig.mysqld.connect()) as connection:
        for name, statement in (
            (
                "map",
                f"SELECT lambda_map('echo', JSON_OBJECT('n', id)) FROM bench.payments WHERE id <= {ROWS}",
            ),
            ("batch", _batch_statement(IN_FLIGHT[-1])),
        ):
            for _ in range(2):
                _timed(connection, statement)
            before = resident_kib(rig.mysqld.pid)
            for _ in range(REPEATED):
                _timed(connection, statement)
            results.add(f"{name}_growth_mb", (resident_kib(rig.mysqld.pid) - before) / 1024)


def _timed(connection: MySQLConnectionAbstract, statement: str) -> tuple[float, list[Any]]:
    with connection.cursor() as cursor:
        began = time.perf_counter()
        cursor.execute(statement)
        rows = cursor.fetchall()
        return time.perf_counter() - began, rows


def _echoed(rows: int) -> list[dict[str, int]]:
    return [{"n": number} for number in range(1, rows + 1)]


def _check(function: str, answers: list[Any], expected: list[Any]) -> None:
    if answers != expected:
        raise WrongAnswer(f"{function} answered otherwise than its rows asked")


def _pids(rig: Rig) -> dict[str, int]:
    return {"sidecar": rig.sidecar.pid, "mysqld": rig.mysqld.pid}

"""Mixed SQL without an end: every function, triggers, the outbox, errors, sessions that come and go.

Knows SQL; nothing of what is measured meanwhile."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import mysql.connector
from mysql.connector import errorcode
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.chaos.outbox_server import OutboxServer
from tests.chaos.random_ends import is_lost
from tests.support.stack import execute

CLIENTS = 6
# So many sessions at once there are at first, and never again: each leaves a thread, and what its statements opened.
CROWD = 2 * CLIENTS
TABLES = (
    "CREATE DATABASE IF NOT EXISTS test",
    "CREATE TABLE test.counters (id INT PRIMARY KEY, number INT NOT NULL DEFAULT 0)",
    f"INSERT INTO test.counters (id) VALUES {', '.join(f'({number})' for number in range(CROWD))}",
    "CREATE TRIGGER test.counted AFTER UPDATE ON test.counters FOR EACH ROW"
    " SET @accepted = lambda_async('triggered', JSON_OBJECT('number', NEW.number))",
)
_ROWS = "(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {0}) SELECT i FROM n) AS numbers"
_LARGE = json.dumps("x" * 200_000)
# What a killed statement, a component that is exchanged and a sidecar that is restarted make of one.
_EXPECTED = {
    errorcode.ER_UDF_ERROR,
    errorcode.ER_QUERY_INTERRUPTED,
    errorcode.ER_SPECIFIC_ACCESS_DENIED_ERROR,
}


def _kind(way: Callable[[], tuple[str, int]]) -> str:
    return way.__name__.strip("_")


class Client(threading.Thread):
    """One statement after the other until `stop` is set. `defect` is what should not have happened."""

    def __init__(self, number: int, seed: int, server: OutboxServer) -> None:
        super().__init__(name=f"client {number}")
        self._choices = random.Random(f"{seed} {number}")
        self._number, self._server = number, server
        self._connection: MySQLConnectionAbstract | None = None
        self.stop = threading.Event()
        self.go_on = threading.Event()
        """While it is not set, no statement begins."""
        self.go_on.set()
        self.session = 0
        """Its number at the server; 0 while there is none."""
        self.done: Counter[str] = Counter()
        """Statements by kind."""
        self.calls = 0
        self.failed: Counter[int] = Counter()
        """By error number."""
        self.milliseconds: list[float] = []
        """Of lambda_sync; whoever takes them takes them all."""
        self.defect: BaseException | None = None
        self._ways: dict[Callable[[], tuple[str, int]], int] = {
            self._sync: 400,
            self._async: 200,
            self._invoke: 100,
            self._procedure: 50,
            self._trigger: 50,
            self._outbox: 30,
            self._map: 10,
            self._batch: 10,
            self._large: 10,
            self._refused: 20,
        }

    @property
    def kinds(self) -> list[str]:
        """As in `done`."""
        return [_kind(way) for way in self._ways]

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                self.go_on.wait()
                (way,) = self._choices.choices(list(self._ways), list(self._ways.values()))
                sql, calls = way()
                self._execute(_kind(way), sql, calls)
                if self._choices.random() < 0.002:
                    self._hang_up()
        except BaseException as error:
            self.defect = error
        finally:
            self._hang_up()

    def _execute(self, kind: str, sql: str, calls: int) -> None:
        began = time.perf_counter()
        try:
            if self._connection is None:
                self._connection = self._server.connect()
                self.session = self._connection.connection_id or 0
                began = time.perf_counter()
            execute(self._connection, sql)
        except mysql.connector.Error as error:
            if is_lost(error) and error.errno != errorcode.ER_QUERY_INTERRUPTED:
                self._hang_up()
            elif error.errno not in _EXPECTED:
                raise
            self.failed[error.errno] += 1
        else:
            if kind == "sync":
                self.milliseconds.append(1000 * (time.perf_counter() - began))
        self.done[kind] += 1
        self.calls += calls

    def _hang_up(self) -> None:
        connection, self._connection, self.session = self._connection, None, 0
        if connection is not None:
            with contextlib.suppress(mysql.connector.Error, OSError):
                connection.close()

    # ---- statements, and how many calls each makes ----

    def _sync(self) -> tuple[str, int]:
        return "SELECT lambda_sync('f', JSON_OBJECT('client', CONNECTION_ID()))", 1

    def _async(self) -> tuple[str, int]:
        return "SELECT lambda_async('f', '{}')", 1

    def _invoke(self) -> tuple[str, int]:
        return """SELECT lambda_invoke('f', '{}', '{"log_type":"Tail"}')""", 1

    def _procedure(self) -> tuple[str, int]:
        return "CALL mysql.lambda_async('f', '{}')", 1

    def _trigger(self) -> tuple[str, int]:
        return f"UPDATE test.counters SET number = number + 1 WHERE id = {self._number}", 1

    def _outbox(self) -> tuple[str, int]:
        return "SELECT lambda_udf.lambda_async('delivered', '{}')", 1

    def _map(self) -> tuple[str, int]:
        return f"SELECT lambda_map('f', JSON_OBJECT('i', i)) FROM {_ROWS.format(50)}", 50

    def _batch(self) -> tuple[str, int]:
        options = "JSON_OBJECT('function', 'rows', 'batch_rows', 20)"
        return f"SELECT lambda_batch({options}, i, CONCAT('row ', i)) FROM {_ROWS.format(200)}", 10

    def _large(self) -> tuple[str, int]:
        return f"SELECT lambda_sync('f', '{_LARGE}')", 1

    def _refused(self) -> tuple[str, int]:
        return self._choices.choice(
            ("SELECT lambda_sync('f', 'no JSON')", "SELECT lambda_sync('?', '{}')")
        ), 1


@contextlib.contextmanager
def clients(seed: int, server: OutboxServer, number: int) -> Iterator[list[Client]]:
    """So many; they go on while the block runs, and nothing happens to them that should not."""
    made = [Client(each, seed, server) for each in range(number)]
    for each in made:
        each.start()
    try:
        yield made
    finally:
        for each in made:
            each.stop.set()
            each.go_on.set()
        for each in made:
            each.join()
    assert [each.defect for each in made] == [None] * number, [each.defect for each in made]

"""How soon a waiting call ends after KILL, max_execution_time and the timeout of the statement.

One statement at a time, from the moment of the cause to the end of the statement as its client sees it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import mysql.connector
from bench.load import WrongAnswer
from bench.results import Results
from bench.rig import Rig
from mysql.connector.abstracts import MySQLCursorAbstract
from mysql.connector.errorcode import (
    CR_SERVER_GONE_ERROR,
    CR_SERVER_LOST,
    ER_QUERY_INTERRUPTED,
    ER_QUERY_TIMEOUT,
)

PER_ROUND = 20
CALL = "SELECT {hint} lambda_sync('sleep-30', '{{}}')"
LIMIT_MS = 100
CONNECTION_LOST = (CR_SERVER_LOST, CR_SERVER_GONE_ERROR, ER_QUERY_INTERRUPTED)


def measure(rig: Rig, results: Results) -> None:
    """PER_ROUND of each kind, in turn. Raises WrongAnswer if a statement ends otherwise."""
    for _ in range(PER_ROUND):
        results.add("kill_query_ms", _kill(rig, "QUERY", (ER_QUERY_INTERRUPTED,)))
        results.add("kill_connection_ms", _kill(rig, "CONNECTION", CONNECTION_LOST))
        results.add("max_execution_time_ms", _run_out_of_time(rig))


def _kill(rig: Rig, kind: str, expected: tuple[int, ...]) -> float:
    """Milliseconds from sending KILL to the end of the statement."""
    with (
        contextlib.closing(rig.mysqld.connect()) as killer,
        contextlib.closing(rig.mysqld.connect()) as victim,
    ):
        ended: list[float] = []

        def call() -> None:
            with victim.cursor() as cursor:
                ended.append(_ending(cursor, CALL.format(hint=""), expected))

        thread = _Thread(call)
        with killer.cursor() as cursor:
            waiting = (
                "SELECT 1 FROM information_schema.processlist WHERE id = %s AND LOCATE('sleep-30', info)"
            )
            while thread.is_alive():
                cursor.execute(waiting, (victim.connection_id,))
                if cursor.fetchall():
                    break
            # Anywhere within a slice of the library's wait, not always at its start.
            time.sleep((time.perf_counter_ns() % 97) / 1000)
            began = time.perf_counter()
            cursor.execute(f"KILL {kind} {victim.connection_id}")
        thread.finish()
        return (ended[0] - began) * 1000


def _run_out_of_time(rig: Rig) -> float:
    """Milliseconds from the moment when max_execution_time has passed to the end of the statement."""
    with contextlib.closing(rig.mysqld.connect()) as connection, connection.cursor() as cursor:
        began = time.perf_counter()
        sql = CALL.format(hint=f"/*+ MAX_EXECUTION_TIME({LIMIT_MS}) */")
        return (_ending(cursor, sql, (ER_QUERY_TIMEOUT,)) - began) * 1000 - LIMIT_MS


def _ending(cursor: MySQLCursorAbstract, sql: str, expected: tuple[int, ...]) -> float:
    """When the statement has failed with one of the expected errors. Raises WrongAnswer."""
    try:
        cursor.execute(sql)
        got = f"the answer {cursor.fetchall()}"
    except mysql.connector.Error as error:
        ended = time.perf_counter()
        if error.errno in expected:
            return ended
        got = str(error)
    raise WrongAnswer(f"{sql}: {got} instead of error {' or '.join(map(str, expected))}")


class _Thread(threading.Thread):
    """A thread whose exception comes out where it is finished."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self._work = work
        self._raised: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:  # for finish()
            self._raised = error

    def finish(self) -> None:
        self.join()
        if self._raised is not None:
            raise self._raised

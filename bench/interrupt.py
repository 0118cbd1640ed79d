"""How soon a waiting call ends after KILL, max_execution_time and the timeout: percentiles in milliseconds.

Measures one statement at a time on a private MySQL; run it with the checkout's Python."""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import mysql.connector

from lambda_sidecar.testing.stack import Stack, mysql_home

CHECKOUT = Path(__file__).parents[1]
ROUNDS = 100
CALL = """SELECT {hint} lambda_sync('Sleep', '{{"seconds": 30}}')"""
LIMIT_MS = 300


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="lambda-udf-") as folder:
        stack = Stack(
            Path(folder) / "bench",
            home=mysql_home(),
            library=CHECKOUT / "build" / "lambda_udf.so",
            functions=CHECKOUT / "examples" / "functions",
        )
        with stack:
            report("KILL QUERY", lambda: kill(stack, "QUERY"))
            report("KILL CONNECTION", lambda: kill(stack, "CONNECTION"))
            report("max_execution_time", lambda: run_out_of_time(stack))
    return 0


def report(name: str, measure: Callable[[], float]) -> None:
    times = sorted(measure() for _ in range(ROUNDS))
    p99 = times[int(ROUNDS * 0.99) - 1]
    print(f"{name:20} p50 {statistics.median(times):6.1f} ms   p99 {p99:6.1f} ms   max {times[-1]:6.1f} ms")


def kill(stack: Stack, kind: str) -> float:
    """Milliseconds from sending KILL to the end of the statement, as its client sees it."""
    with (
        contextlib.closing(stack.mysqld.connect()) as killer,
        contextlib.closing(stack.mysqld.connect()) as victim,
    ):
        ended: list[float] = []

        def call() -> None:
            with contextlib.suppress(mysql.connector.Error), victim.cursor() as cursor:
                cursor.execute(CALL.format(hint=""))
                cursor.fetchall()
            ended.append(time.perf_counter())

        thread = threading.Thread(target=call)
        thread.start()
        with killer.cursor() as cursor:
            waiting = "SELECT 1 FROM information_schema.processlist WHERE id = %s AND info LIKE '%Sleep%'"
            while True:
                cursor.execute(waiting, (victim.connection_id,))
                if cursor.fetchall():
                    break
            # Anywhere within a slice of the library's wait, not always at its start.
            time.sleep((time.perf_counter_ns() % 97) / 1000)
            began = time.perf_counter()
            cursor.execute(f"KILL {kind} {victim.connection_id}")
        thread.join()
        return (ended[0] - began) * 1000


def run_out_of_time(stack: Stack) -> float:
    """Milliseconds from the moment when max_execution_time has passed to the end of the statement."""
    with contextlib.closing(stack.mysqld.connect()) as connection, connection.cursor() as cursor:
        began = time.perf_counter()
        with contextlib.suppress(mysql.connector.Error):
            cursor.execute(CALL.format(hint=f"/*+ MAX_EXECUTION_TIME({LIMIT_MS}) */"))
            cursor.fetchall()
        return (time.perf_counter() - began) * 1000 - LIMIT_MS


if __name__ == "__main__":
    sys.exit(main())

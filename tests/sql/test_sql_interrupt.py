"""KILL, max_execution_time and the timeout end a waiting call, and cancel it in the sidecar.

The bound is 2 s here; the exact times are bench/'s business."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import mysql.connector
import pytest
from tests.support.stack import Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

BOUND_SECONDS = 2.0
SLEEP = """SELECT lambda_sync('Sleep', '{"seconds": 30}')"""


@dataclass
class Statement:
    """One statement in a thread of its own."""

    stack: Stack
    sql: str
    before: tuple[str, ...] = ()
    connection_id: int = 0
    error: mysql.connector.Error | None = None
    finished: float = 0.0
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        with contextlib.closing(self.stack.connect()) as connection:
            self.connection_id = connection.connection_id or 0
            try:
                for sql in (*self.before, self.sql):
                    execute(connection, sql)
            except mysql.connector.Error as error:
                self.error = error
            self.finished = time.monotonic()

    def ended(self, since: float) -> tuple[int, str | None]:
        """Its error, once it has ended; fails if that takes longer than the bound."""
        self.thread.join(30)
        assert not self.thread.is_alive()
        assert self.finished - since < BOUND_SECONDS
        assert self.error is not None, "the statement succeeded"
        return self.error.errno, self.error.sqlstate


def start_sleeping(stack: Stack, sql: str = SLEEP, before: tuple[str, ...] = ()) -> Statement:
    statement = Statement(stack, sql, before)
    wait_until(lambda: stack.record.requests()["open"] == 1, what="the call at the endpoint")
    return statement


def expect_cancelled(stack: Stack) -> None:
    wait_until(
        lambda: stack.record.requests()["open"] == 0, seconds=BOUND_SECONDS, what="the HTTP request gone"
    )
    (call,) = stack.record.calls("Sleep")
    assert call["client_connected"] is False


@pytest.mark.parametrize("kind", ["QUERY", "CONNECTION"])
def test_kill_ends_the_call(stack: Stack, kind: str) -> None:
    statement = start_sleeping(stack)
    killed = time.monotonic()
    stack.query(f"KILL {kind} {statement.connection_id}")
    errno, _ = statement.ended(killed)
    # After KILL CONNECTION the client may find the connection closed before it reads the error.
    assert errno == 1317 if kind == "QUERY" else errno in (1317, 2013, 2055)
    expect_cancelled(stack)


def test_max_execution_time_ends_the_call(stack: Stack) -> None:
    began = time.monotonic()
    statement = start_sleeping(stack, SLEEP.replace("SELECT", "SELECT /*+ MAX_EXECUTION_TIME(700) */"))
    assert statement.ended(began + 0.7) == (3024, "HY000")
    expect_cancelled(stack)


def test_a_continue_handler_does_not_swallow_a_kill(stack: Stack) -> None:
    stack.query(
        """CREATE PROCEDURE test.stubborn() BEGIN
             DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET @caught = 'yes';
             SELECT lambda_sync('Sleep', '{"seconds": 30}') INTO @answer;
             SELECT lambda_sync('Echo', '"went on"') INTO @answer;
           END"""
    )
    statement = start_sleeping(stack, "CALL test.stubborn()")
    killed = time.monotonic()
    stack.query(f"KILL QUERY {statement.connection_id}")
    assert statement.ended(killed) == (1317, "70100")
    expect_cancelled(stack)
    assert stack.record.calls("Echo") == []


def test_the_session_goes_on_after_a_kill(stack: Stack) -> None:
    with contextlib.closing(stack.connect()) as connection:
        killer = threading.Timer(0, _kill_when_open, (stack, connection.connection_id))
        killer.start()
        with pytest.raises(mysql.connector.Error) as raised:
            execute(connection, SLEEP)
        killer.join()
        assert raised.value.errno == 1317
        assert execute(connection, "SELECT lambda_sync('Echo', '1')") == [("1",)]


def _kill_when_open(stack: Stack, connection_id: int) -> None:
    wait_until(lambda: stack.record.requests()["open"] == 1)
    stack.query(f"KILL QUERY {connection_id}")


def test_a_kill_ends_waiting_for_a_sidecar_that_is_not_there(stack: Stack) -> None:
    stack.sidecar.stop()
    try:
        statement = Statement(stack, SLEEP)
        wait_until(lambda: statement.connection_id)
        running = (
            "SELECT 1 FROM performance_schema.processlist"
            f" WHERE id = {statement.connection_id} AND info LIKE '%Sleep%'"
        )
        wait_until(lambda: stack.query(running))
        killed = time.monotonic()
        stack.query(f"KILL QUERY {statement.connection_id}")
        assert statement.ended(killed) == (1317, "70100")
    finally:
        stack.sidecar.start()


@pytest.fixture(scope="module")
def impatient_stack(
    library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A mysqld whose calls may take 700 ms."""
    directory = tmp_path_factory.mktemp(f"impatient-{library.value}")
    environment = {"LAMBDA_UDF_TIMEOUT_MS": "700", "LAMBDA_UDF_CONNECT_TIMEOUT_MS": "300"}
    with start_stack(mysql_home, directory, library, environment=environment) as stack:
        yield stack


def test_the_timeout_ends_the_call(impatient_stack: Stack) -> None:
    stack = impatient_stack
    stack.reset()
    statement = start_sleeping(stack)
    began = time.monotonic()
    assert statement.ended(began + 0.7) == (3200, "HY000")
    assert statement.error is not None
    assert statement.error.msg == "lambda_sync UDF failed; timed out after 700 ms"
    expect_cancelled(stack)


def test_connecting_is_given_up_after_its_own_timeout(impatient_stack: Stack) -> None:
    stack = impatient_stack
    stack.sidecar.stop()
    try:
        began = time.monotonic()
        with pytest.raises(mysql.connector.Error, match="sidecar unavailable"):
            stack.query("SELECT lambda_sync('Echo', '1')")
        assert 0.25 < time.monotonic() - began < BOUND_SECONDS
    finally:
        stack.sidecar.start()

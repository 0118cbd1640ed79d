"""Many sessions at once, and a sidecar that dies or restarts under them.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mysql.connector
from tests.support.scripted_lambda import Gate, answering, held, scripted_lambda
from tests.support.stack import Stack, endpoint_sidecar, execute
from tests.support.waiting import wait_until

SESSIONS = 64


def threads_of(pid: int) -> set[str]:
    return {path.name for path in Path(f"/proc/{pid}/task").iterdir()}


def test_64_sessions_overlap_and_mysqld_gets_no_thread_from_us(stack: Stack, tmp_path: Path) -> None:
    """The function answers nobody before all have asked, however long that takes."""
    gate = Gate()
    with contextlib.ExitStack() as parts:
        function = parts.enter_context(scripted_lambda())
        function.answer("f", held(answering(b'"done"'), gate))
        parts.callback(stack.sidecar.start)
        stack.sidecar.stop()
        socket = str(stack.sidecar.socket)
        parts.enter_context(endpoint_sidecar(tmp_path, function.url, socket=socket, max_concurrency=SESSIONS))
        connections = [parts.enter_context(contextlib.closing(stack.connect())) for _ in range(SESSIONS)]
        for connection in connections:
            execute(connection, "SELECT 1")
        before = threads_of(stack.mysqld.pid)
        with ThreadPoolExecutor(SESSIONS) as pool:
            sql = "SELECT lambda_sync('f', '{}')"
            answers = [pool.submit(execute, connection, sql) for connection in connections]
            try:
                wait_until(lambda: function.under_way["f"] == SESSIONS, what="64 calls at the endpoint")
                during = threads_of(stack.mysqld.pid)
            finally:
                gate.open()
            assert [answer.result() for answer in answers] == [[('"done"',)]] * SESSIONS
    assert during <= before, "a thread of mysqld that was not there before the calls"


def test_kill_9_of_the_sidecar_gives_20_clean_errors_and_the_sessions_go_on(stack: Stack) -> None:
    with contextlib.ExitStack() as sessions:
        connections = [sessions.enter_context(contextlib.closing(stack.connect())) for _ in range(20)]
        with ThreadPoolExecutor(20) as pool:
            sql = """SELECT lambda_sync('Sleep', '{"seconds": 30}')"""
            running = [pool.submit(execute, connection, sql) for connection in connections]
            wait_until(lambda: stack.record.requests()["open"] == 20, what="20 calls at the endpoint")
            stack.sidecar.kill()
            errors = [call.exception(timeout=10) for call in running]
        stack.sidecar.start()
        for error in errors:
            assert isinstance(error, mysql.connector.Error)
            assert (error.errno, error.sqlstate) == (3200, "HY000")
            assert error.msg is not None
            assert error.msg.startswith(
                f"lambda_sync UDF failed; sidecar unavailable: {stack.sidecar.socket}: "
            )
            assert error.msg.endswith("the call was under way and may have been carried out")
        assert stack.mysqld.running
        for connection in connections:
            assert execute(connection, "SELECT lambda_sync('Echo', '1')") == [("1",)]


def test_a_restart_under_load_fails_no_call_and_doubles_none(stack: Stack) -> None:
    """Short calls all the time, three restarts: each call is answered, and each was made once."""
    stop = threading.Event()
    asked: list[int] = []
    answered: list[int] = []
    failed: list[str] = []

    def session(number: int) -> None:
        with contextlib.closing(stack.connect()) as connection:
            for n in range(number * 1_000_000, (number + 1) * 1_000_000):
                if stop.is_set():
                    return
                asked.append(n)
                try:
                    ((answer,),) = execute(connection, f"SELECT lambda_sync('Echo', {n})")
                    answered.append(int(answer))
                except mysql.connector.Error as error:
                    failed.append(str(error))

    seen: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        sessions = [pool.submit(session, number) for number in range(1, 5)]
        try:
            for _ in range(3):
                mark = len(answered)
                wait_until(lambda: len(answered) > mark + 50, what="steady load")  # noqa: B023
                drained = _restart_and_read_record(stack)
                seen += drained
            mark = len(answered)
            wait_until(lambda: len(answered) > mark + 50, what="load after the last restart")
        finally:
            stop.set()
        for each in sessions:
            each.result()
    assert failed == []
    assert sorted(answered) == sorted(asked)
    seen += stack.record.payloads("Echo")
    assert len(seen) == len(set(seen)), "a call was made twice"


def _restart_and_read_record(stack: Stack) -> list[int]:
    """The record lives in the sidecar: what it holds just before the end is read, the rest is lost."""
    payloads = stack.record.payloads("Echo")
    stack.sidecar.restart()
    return payloads

"""A sidecar that stood still begins nothing that nobody waits for any more.

It is stopped (SIGSTOP) while statements send and give up. Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract as Session
from tests.support.component import status
from tests.support.invoker_client import open_stream, snapshot
from tests.support.stack import Stack, execute
from tests.support.waiting import wait_until

from lambda_udf.v1 import invoker_pb2

SESSIONS = 10
EVENT = """SELECT lambda_async('Echo', '"late"')"""


@contextlib.contextmanager
def stopped(stack: Stack) -> Iterator[None]:
    os.kill(stack.sidecar.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stack.sidecar.pid, signal.SIGCONT)


@contextlib.contextmanager
def sessions_of(stack: Stack, pool: ThreadPoolExecutor, *, timeout_ms: int) -> Iterator[list[Session]]:
    """So many sessions, and as many idle connections to the sidecar for them."""
    slow = """SELECT lambda_sync('Sleep', '{"seconds": 0.5}')"""
    list(pool.map(stack.query, [slow] * SESSIONS))
    assert status(stack)["connections"] >= SESSIONS
    stack.query(f"SET GLOBAL lambda_udf.timeout_ms = {timeout_ms}")
    with contextlib.ExitStack() as open_ones:
        yield [open_ones.enter_context(contextlib.closing(stack.connect())) for _ in range(SESSIONS)]


def errors_of(running: list[Future[list[object]]]) -> set[int]:
    errors = [each.exception(timeout=20) for each in running]
    assert all(isinstance(error, mysql.connector.Error) for error in errors)
    return {error.errno for error in errors if isinstance(error, mysql.connector.Error)}


def expect_nothing_late(stack: Stack) -> None:
    """Once the sidecar has dealt with all that lay unread."""
    idle = """SELECT lambda_sync('Echo', '"after"')"""
    assert stack.value(idle) == '"after"'
    wait_until(
        lambda: snapshot(stack.sidecar.socket).streams == 1, what="the streams of those who gave up gone"
    )
    assert snapshot(stack.sidecar.socket).in_flight == 0
    assert stack.record.payloads("Echo") == ["after"]


def test_a_call_that_has_timed_out_while_the_sidecar_stood_still_is_not_executed(component: Stack) -> None:
    with ThreadPoolExecutor(SESSIONS) as pool, sessions_of(component, pool, timeout_ms=1000) as sessions:
        with stopped(component):
            assert errors_of([pool.submit(execute, each, EVENT) for each in sessions]) == {3200}
        expect_nothing_late(component)


def test_a_call_that_was_killed_while_the_sidecar_stood_still_is_not_executed(component: Stack) -> None:
    with ThreadPoolExecutor(SESSIONS) as pool, sessions_of(component, pool, timeout_ms=60_000) as sessions:
        with stopped(component):
            running = [pool.submit(execute, each, EVENT) for each in sessions]
            wait_until(lambda: status(component)["in_flight"] == SESSIONS, what="calls that wait")
            # Sent, as far as a client can tell: it takes microseconds, and a KILL is looked at after 30 ms.
            began = time.monotonic()
            wait_until(lambda: time.monotonic() - began > 0.3)
            for each in sessions:
                component.query(f"KILL QUERY {each.connection_id}")
            assert errors_of(running) == {1317}
        expect_nothing_late(component)


def test_an_expired_deadline_counts_whatever_the_time_from_arrival_would_be(stack: Stack) -> None:
    event = invoker_pb2.INVOCATION_TYPE_EVENT
    now_ms = int(time.monotonic() * 1000)
    with open_stream(stack.sidecar.socket) as stream:
        late = stream.ask("Echo", b"1", invocation_type=event, deadline_ms=now_ms - 1)
        assert late.error.kind == invoker_pb2.ERROR_KIND_TIMEOUT
        assert late.error.message == "timed out after 20000 ms"
        assert (
            stream.ask("Echo", b"2", invocation_type=event, deadline_ms=now_ms + 20_000).result.status_code
            == 202
        )
        assert stream.ask("Echo", b"3", invocation_type=event).result.status_code == 202
        soon = stream.ask("Sleep", b'{"seconds": 30}', deadline_ms=int(time.monotonic() * 1000) + 300)
        assert soon.error.kind == invoker_pb2.ERROR_KIND_TIMEOUT
    assert stack.record.payloads("Echo") == [2, 3]

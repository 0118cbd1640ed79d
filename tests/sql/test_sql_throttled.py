"""Functions that Lambda throttles, by SQL: no statement fails that has time, what is allowed is used, others go on.

A real mysqld and sidecar before an endpoint that allows so much and no more. Each test's name is the sentence that
it proves."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import mysql.connector
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.component import INSTALL
from tests.support.invoker_client import snapshot
from tests.support.scripted_lambda import (
    Answer,
    Arrival,
    ScriptedLambda,
    answering,
    scripted_lambda,
    throttled,
)
from tests.support.stack import Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

from lambda_udf.v1 import monitor_pb2

DONE = answering(b'"done"')
SESSIONS, RATE, SECONDS = 32, 50, 7.0


@dataclass
class Bucket:
    """Takes RATE calls a second; what was not used within a second is lost."""

    tokens: float = float(RATE)
    at: float = 0.0
    taken: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def __call__(self, arrival: Arrival) -> Answer:
        self.tokens = min(float(RATE), self.tokens + (arrival.at - (self.at or arrival.at)) * RATE)
        self.at = arrival.at
        if self.tokens < 1:
            self.refused.append(arrival.at)
            return throttled()
        self.tokens -= 1
        self.taken.append(arrival.at)
        return DONE


@dataclass
class Throttling:
    stack: Stack
    endpoint: ScriptedLambda

    @contextlib.contextmanager
    def sessions(self, number: int) -> Iterator[list[MySQLConnectionAbstract]]:
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(contextlib.closing(self.stack.connect())) for _ in range(number)]

    def now(self) -> monitor_pb2.SnapshotResponse:
        return snapshot(self.stack.sidecar.socket)

    def expect_that_nothing_is_left(self) -> None:
        wait_until(lambda: self.now().in_flight == 0, what="every call ended")
        assert (self.now().running, self.now().waiting, self.now().held_back) == (0, 0, 0)
        assert not self.stack.sidecar.log_contains("internal failure")


def median_of_calls(connection: MySQLConnectionAbstract) -> float:
    """Seconds, of calls of a function that nobody else calls."""
    took = []
    for _ in range(40):
        began = time.monotonic()
        assert execute(connection, "SELECT lambda_sync('neighbour', '1')") == [('"done"',)]
        took.append(time.monotonic() - began)
    return statistics.median(took)


@pytest.fixture(scope="module")
def throttling(
    library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Throttling]:
    directory = tmp_path_factory.mktemp(library.value)
    with (
        scripted_lambda() as endpoint,
        start_stack(mysql_home, directory, library, endpoint_url=endpoint.url) as stack,
    ):
        stack.query(INSTALL)
        endpoint.answer("neighbour", DONE)
        yield Throttling(stack, endpoint)


def test_at_50_calls_a_second_32_sessions_use_what_is_allowed_no_statement_fails_and_a_neighbour_is_as_quick(
    throttling: Throttling,
) -> None:
    bucket = Bucket()
    throttling.endpoint.script("f", bucket)
    end = threading.Event()

    def go_on(connection: MySQLConnectionAbstract) -> int:
        """How many statements; any failure is raised."""
        count = 0
        while not end.is_set():
            assert execute(connection, "SELECT lambda_sync('f', '1')") == [('"done"',)]
            count += 1
        return count

    with throttling.sessions(SESSIONS + 1) as (neighbour, *connections), ThreadPoolExecutor(SESSIONS) as pool:
        alone = median_of_calls(neighbour)
        running = [pool.submit(go_on, each) for each in connections]
        try:
            wait_until(lambda: bucket.refused, what="a call that was throttled")
            began = time.monotonic()
            beside = median_of_calls(neighbour)
            wait_until(lambda: time.monotonic() >= began + 2, what="it is known what is allowed")
            told = {each.function: each for each in throttling.now().functions}["f"]
            wait_until(lambda: time.monotonic() >= bucket.refused[0] + SECONDS, what="the end of the storm")
        finally:
            end.set()
        answered = sum(each.result() for each in running)
    first = bucket.refused[0]
    used = sum(first <= at < first + SECONDS for at in bucket.taken) / (RATE * SECONDS)
    assert answered == len(bucket.taken)
    assert used >= 0.95, used
    late = [sum(first + 2 <= at < first + SECONDS for at in each) for each in (bucket.taken, bucket.refused)]
    assert late[1] <= 0.1 * sum(late), late
    assert beside <= 2 * alone + 0.02, (alone, beside)
    assert RATE / 2 <= told.held_to <= 2 * RATE
    assert told.throttled > 0
    throttling.expect_that_nothing_is_left()


def test_a_calls_retry_after_is_obeyed(throttling: Throttling) -> None:
    throttling.endpoint.answer("later", throttled(1), DONE)
    with throttling.sessions(1) as (session,):
        assert execute(session, "SELECT lambda_sync('later', '1')") == [('"done"',)]
    refused, taken = throttling.endpoint.of("later")
    assert taken.at - refused.at >= 1
    throttling.expect_that_nothing_is_left()


def test_a_statement_that_is_throttled_until_its_time_is_over_fails_with_lambdas_own_error(
    throttling: Throttling,
) -> None:
    throttling.endpoint.answer("shut", throttled())
    for call in (
        "lambda_sync('shut', '1')",
        "lambda_async('shut', '1')",
        "lambda_invoke('shut', '1', '{\"timeout_ms\": 1000}')",
        "lambda_map('shut', '1', '{\"timeout_ms\": 1000}')",
    ):
        with throttling.sessions(1) as (session,), pytest.raises(mysql.connector.Error) as raised:
            execute(session, "SET SESSION lambda_udf.timeout_ms = 1000")
            execute(session, f"SELECT {call}")
        assert "Lambda API returned error: TooManyRequestsException: Rate Exceeded." in str(raised.value.msg)
    throttling.expect_that_nothing_is_left()


def test_kill_ends_a_statement_that_is_held_back_and_leaves_nothing(throttling: Throttling) -> None:
    throttling.endpoint.answer("closed", throttled())
    with throttling.sessions(9) as (killer, *sessions), ThreadPoolExecutor(8) as pool:

        def ends(session: MySQLConnectionAbstract) -> tuple[str, float]:
            with pytest.raises(mysql.connector.Error) as raised:
                execute(session, "SELECT lambda_sync('closed', '1')")
            return str(raised.value.msg), time.monotonic()

        waiting = [pool.submit(ends, each) for each in sessions]
        wait_until(lambda: throttling.now().held_back == len(sessions), what="all of them wait")
        took = []
        for session, each in zip(sessions, waiting, strict=True):
            began = time.monotonic()
            execute(killer, f"KILL QUERY {session.connection_id}")
            text, ended = each.result()
            assert "Query execution was interrupted" in text
            took.append(ended - began)
    assert statistics.median(took) < 0.1, took
    throttling.expect_that_nothing_is_left()

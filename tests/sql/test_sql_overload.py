"""More calls than slots, by SQL: no slot is lost, what can be answered in time is, the others hear it at once.

A real mysqld and sidecar before a function that takes its time. Each test's name is the sentence that
it proves."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import mysql.connector
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.component import INSTALL, status
from tests.support.invoker_client import snapshot
from tests.support.lambda_endpoint import Handler, lambda_endpoint
from tests.support.stack import Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

from lambda_udf.v1 import monitor_pb2

SLOTS = 4


@dataclass
class Function:
    """Takes as many seconds as its event says; counts the calls that it works on."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    inside: int = 0
    never: threading.Event = field(default_factory=threading.Event)

    def __call__(self, handler: Handler) -> None:
        with self.lock:
            self.inside += 1
        self.never.wait(json.loads(handler.body))
        with self.lock:
            self.inside -= 1
        with contextlib.suppress(ConnectionError):  # nobody waits for it any more
            handler.reply(200, b'"done"')


@dataclass
class Overload:
    stack: Stack
    function: Function

    @contextlib.contextmanager
    def sessions(self, number: int, *, timeout_ms: int) -> Iterator[list[MySQLConnectionAbstract]]:
        self.stack.query(f"SET GLOBAL lambda_udf.timeout_ms = {timeout_ms}")
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(contextlib.closing(self.stack.connect())) for _ in range(number)]

    def now(self) -> monitor_pb2.SnapshotResponse:
        return snapshot(self.stack.sidecar.socket)

    def expect_that_every_slot_is_free(self) -> None:
        """None is held, and so many calls run at once as there are slots."""
        wait_until(lambda: self.now().in_flight == 0, what="every call ended")
        assert (self.now().running, self.now().waiting) == (0, 0)
        wait_until(lambda: self.function.inside == 0, what="no call at the endpoint")
        with self.sessions(SLOTS, timeout_ms=20_000) as connections, ThreadPoolExecutor(SLOTS) as pool:
            running = [pool.submit(execute, each, call(0.5)) for each in connections]
            wait_until(lambda: self.function.inside == SLOTS, seconds=5, what="a call in every slot")
            assert [each.result() for each in running] == [[('"done"',)]] * SLOTS
        assert not self.stack.sidecar.log_contains("internal failure")


def call(seconds: float) -> str:
    return f"SELECT lambda_sync('f', '{seconds}')"


def outcome(connection: MySQLConnectionAbstract, sql: str) -> str:
    """`done`, or what follows "lambda_sync UDF failed; " up to the first number."""
    try:
        execute(connection, sql)
    except mysql.connector.Error as error:
        text = str(error.msg).removeprefix("lambda_sync UDF failed; ")
        return text.split(":")[0].partition(" after ")[0]
    return "done"


@pytest.fixture(scope="module")
def overload(
    library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Overload]:
    function = Function()
    directory = tmp_path_factory.mktemp(library.value)
    with (
        lambda_endpoint(function) as endpoint,
        start_stack(
            mysql_home, directory, library, endpoint_url=endpoint.url, max_concurrency=SLOTS
        ) as stack,
    ):
        stack.query(INSTALL)
        yield Overload(stack, function)


def test_after_more_sessions_than_can_be_served_timed_out_every_slot_is_free(overload: Overload) -> None:
    """The times are such that slots come free in the moment in which others give up."""
    with overload.sessions(120, timeout_ms=500) as connections, ThreadPoolExecutor(120) as pool:
        for _ in range(3):
            seen = Counter(pool.map(lambda each: outcome(each, call(0.2)), connections))
            assert seen["done"] >= 1
            assert set(seen) <= {"done", "timed out", "overloaded"}, seen
    overload.expect_that_every_slot_is_free()


def test_after_sessions_that_waited_were_killed_every_slot_is_free(overload: Overload) -> None:
    killed = threading.Event()

    def go_on(connection: MySQLConnectionAbstract) -> Counter[str]:
        seen: Counter[str] = Counter()
        while not killed.is_set():
            seen[outcome(connection, call(0.001))] += 1
        return seen

    with (
        overload.sessions(30, timeout_ms=20_000) as connections,
        contextlib.closing(overload.stack.connect()) as killer,
        ThreadPoolExecutor(30) as pool,
    ):
        running = [pool.submit(go_on, each) for each in connections]
        for _ in range(100):
            for each in connections[::2]:
                execute(killer, f"KILL QUERY {each.connection_id}")
        killed.set()
        seen = sum((each.result() for each in running), Counter())
    assert seen["Query execution was interrupted"] >= 20, seen
    assert seen["done"] >= 20, seen
    overload.expect_that_every_slot_is_free()


def test_a_call_that_cannot_end_in_its_time_is_refused_at_once_and_its_connection_kept(
    overload: Overload,
) -> None:
    with overload.sessions(SLOTS, timeout_ms=20_000) as connections, ThreadPoolExecutor(SLOTS) as pool:
        for _ in range(12):  # now it is known how long the function takes
            assert set(pool.map(lambda each: outcome(each, call(0.4)), connections)) == {"done"}
        before = status(overload.stack)
        running = [pool.submit(outcome, each, call(0.4)) for each in connections]
        wait_until(lambda: overload.function.inside == SLOTS, what="a call in every slot")
        with overload.sessions(1, timeout_ms=600) as (late,):
            with pytest.raises(mysql.connector.Error) as raised:
                execute(late, call(0.4))
            assert (raised.value.errno, raised.value.sqlstate) == (3200, "HY000")
            assert str(raised.value.msg).startswith("lambda_sync UDF failed; overloaded: ")
            assert str(raised.value.msg).endswith("would not have ended within its time (max_concurrency)")
            assert {each.result() for each in running} == {"done"}
            assert execute(late, call(0.0)) == [('"done"',)]
    after = status(overload.stack)
    assert after["errors_overloaded"] - before["errors_overloaded"] == 1
    assert after["connections_opened"] - before["connections_opened"] <= 1
    assert overload.stack.sidecar.log_contains("outcome=overloaded")
    overload.expect_that_every_slot_is_free()


def answers_in(overload: Overload, sessions: int, seconds: float) -> Counter[str]:
    """What became of the calls of so many sessions, each calling again and again, within `seconds`."""
    end = threading.Event()

    def go_on(connection: MySQLConnectionAbstract) -> Counter[str]:
        seen: Counter[str] = Counter()
        while not end.is_set():
            what = outcome(connection, call(0.1))
            seen[what] += not end.is_set()
        return seen

    with overload.sessions(sessions, timeout_ms=300) as connections, ThreadPoolExecutor(sessions) as pool:
        running = [pool.submit(go_on, each) for each in connections]
        end.wait(seconds)
        end.set()
        return sum((each.result() for each in running), Counter())


def test_six_times_as_many_sessions_as_slots_get_nearly_as_many_answers(overload: Overload) -> None:
    """Compared with as many sessions as there are slots: what this machine can do."""
    possible = answers_in(overload, SLOTS, 2)["done"] / 2
    seen = answers_in(overload, 6 * SLOTS, 5)
    assert set(seen) <= {"done", "timed out", "overloaded"}, seen
    assert seen["done"] / 5 >= 0.9 * possible, (possible, seen)
    overload.expect_that_every_slot_is_free()

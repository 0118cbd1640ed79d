"""lambda_map with ten thousand rows in order, and every way in which it ends early: mysqld, the sidecar, and an endpoint
that answers late, in any order, or not at all.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mysql.connector
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.scripted_lambda import (
    Answer,
    Arrival,
    Gate,
    ScriptedLambda,
    answering,
    held,
    scripted_lambda,
)
from tests.support.stack import SANITIZER_REPORTS, Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

ROWS = 10_000
# A KILL is seen within 100 ms; the rest is for a machine that does other things as well.
END_SECONDS = 0.1 + 0.9
MAP = "lambda_map('f', JSON_OBJECT('n', n), n)"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ScriptedLambda]:
    with scripted_lambda() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def slow_stack(
    library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory, endpoint: ScriptedLambda
) -> Iterator[Stack]:
    """Table t: n from 1 to ROWS."""
    directory = tmp_path_factory.mktemp(f"map-{library.value}")
    with start_stack(
        mysql_home,
        directory,
        library,
        # More than the sidecar takes to restart on a machine that runs other tests.
        environment={"LAMBDA_UDF_CONNECT_TIMEOUT_MS": "20000"},
        endpoint_url=endpoint.url,
        max_concurrency=1000,
    ) as stack:
        stack.query("CREATE TABLE t (n INT PRIMARY KEY)")
        numbers = ", ".join(f"({n})" for n in range(1, ROWS + 1))
        stack.query(f"INSERT INTO t VALUES {numbers}")
        yield stack
        log = stack.mysqld.log_text()
    assert not [line for line in log.splitlines() if any(mark in line for mark in SANITIZER_REPORTS)]


@pytest.fixture
def slow(slow_stack: Stack, endpoint: ScriptedLambda) -> Stack:
    """Nothing has arrived, and the function echoes."""
    endpoint.arrivals.clear()
    endpoint.most_under_way.clear()
    endpoint.under_way.clear()
    endpoint.script("f", lambda arrival: answering(arrival.payload))
    return slow_stack


class Delay(Gate):
    """Answers wait behind it for so long."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def pass_by(self, then: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(self._seconds, then)


def wild(seed: int) -> Callable[[Arrival], Answer]:
    """{"n": n, "filler": …} of 20 to 2,000 bytes, after up to 30 ms."""
    source = random.Random(seed)  # noqa: S311  the same each time

    def script(arrival: Arrival) -> Answer:
        document = {**json.loads(arrival.payload), "filler": "x" * int(20 * 100 ** source.random())}
        return held(answering(json.dumps(document).encode()), Delay(source.random() * 0.03))

    return script


def numbers(arrivals: list[Arrival]) -> list[int]:
    return [json.loads(arrival.payload)["n"] for arrival in arrivals]


def pairs(text: Any) -> list[tuple[int, int]]:
    """Each place's key, and the n in its result."""
    return [(place["key"], place["result"]["n"]) for place in json.loads(text)]


# ---- order ----


def test_ten_thousand_answers_with_random_delays_and_sizes_stand_each_in_the_place_of_its_row(
    slow: Stack, endpoint: ScriptedLambda
) -> None:
    endpoint.script("f", wild(1))
    assert pairs(slow.value(f"SELECT {MAP} FROM t ORDER BY n")) == [(n, n) for n in range(1, ROWS + 1)]
    assert sorted(numbers(endpoint.of("f"))) == list(range(1, ROWS + 1))
    assert 50 < endpoint.most_under_way["f"] <= 100


def test_and_in_the_groups_of_one_prepared_statement_three_times(
    slow: Stack, endpoint: ScriptedLambda
) -> None:
    endpoint.script("f", wild(2))
    with contextlib.closing(slow.connect()) as connection:
        quoted = MAP.replace("'", "''")
        execute(
            connection, f"PREPARE s FROM 'SELECT n MOD 7 AS g, {quoted} FROM t WHERE n <= 1000 GROUP BY g'"
        )
        for _ in range(3):
            found = {g: pairs(text) for g, text in execute(connection, "EXECUTE s")}
            assert set(found) == set(range(7))
            for g, places in found.items():
                assert sorted(places) == [(n, n) for n in range(1, 1001) if n % 7 == g]


def test_rows_are_sent_while_others_are_still_being_read(slow: Stack, endpoint: ScriptedLambda) -> None:
    with contextlib.closing(slow.connect()) as holder:
        execute(holder, "SELECT GET_LOCK('second row', 0)")
        payload = "JSON_OBJECT('n', n, 'lock', IF(n = 2, GET_LOCK('second row', 30), 0))"
        statement = Statement(slow, f"SELECT lambda_map('f', {payload}, n) FROM t WHERE n <= 2 ORDER BY n")
        wait_until(lambda: numbers(endpoint.of("f")) == [1], what="the first row at the endpoint")
        execute(holder, "DO RELEASE_LOCK('second row')")
    assert pairs(statement.result()) == [(1, 1), (2, 2)]


# ---- ends ----


class Statement:
    """One statement in a thread of its own."""

    def __init__(self, stack: Stack, sql: str, *before: str) -> None:
        self._connection: MySQLConnectionAbstract = stack.connect()
        self.id = self._connection.connection_id
        self._sql = (*before, sql)
        self._value: Any = None
        self.error: mysql.connector.Error | None = None
        self.ended = 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.closing(self._connection):
            try:
                for sql in self._sql:
                    rows = execute(self._connection, sql)
                self._value = rows[0][0] if rows else None
            except mysql.connector.Error as error:
                self.error = error
            self.ended = time.monotonic()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()

    def result(self) -> Any:
        self.join()
        assert self.error is None, self.error
        return self._value

    def failed(self, since: float) -> tuple[int, str]:
        self.join()
        assert self.error is not None, "the statement succeeded"
        assert self.ended - since < END_SECONDS
        return self.error.errno, str(self.error.msg)


def silent(endpoint: ScriptedLambda) -> Gate:
    """From now on the function answers nothing before the gate is open."""
    gate = Gate()
    endpoint.script("f", lambda arrival: held(answering(arrival.payload), gate))
    return gate


def expect_no_more(endpoint: ScriptedLambda, stack: Stack, arrived: int | None) -> None:
    """A whole other statement later still nothing new; None: whatever was on its way has arrived."""
    endpoint.script("other", lambda arrival: answering(arrival.payload))
    assert stack.value("SELECT lambda_map('other', n) FROM t WHERE n <= 20") == str(list(range(1, 21)))
    assert arrived is None or len(endpoint.of("f")) == arrived


def test_a_failure_in_row_500_of_1000_names_it_and_nothing_begins_after_it_became_known(
    slow: Stack, endpoint: ScriptedLambda
) -> None:
    """Rows behind it are not answered: as long as row 500 is under way, no row behind 599 can be."""
    gate = Gate()

    def script(arrival: Arrival) -> Answer:
        row = json.loads(arrival.payload)["n"]
        if row == 500:
            return answering(b'{"errorType": "E", "errorMessage": "boom"}', function_error="Unhandled")
        return answering(arrival.payload) if row < 500 else held(answering(arrival.payload), gate)

    endpoint.script("f", script)
    with pytest.raises(mysql.connector.Error) as raised:
        slow.query(f"SELECT {MAP} FROM t WHERE n <= 1000 ORDER BY n")
    gate.open()
    assert (raised.value.errno, raised.value.msg) == (
        3200,
        "lambda_map UDF failed; row 500: Lambda function error: Unhandled: E: boom",
    )
    expect_no_more(endpoint, slow, None)
    assert 500 <= max(numbers(endpoint.of("f"))) <= 599


@pytest.mark.parametrize("where", ["while adding", "while waiting"])
@pytest.mark.parametrize("kind", ["KILL QUERY", "KILL CONNECTION", "max_execution_time", "timeout_ms"])
def test_it_ends_at_once_and_the_endpoint_sees_nothing_new(
    slow: Stack, endpoint: ScriptedLambda, kind: str, where: str
) -> None:
    gate = silent(endpoint)
    rows = 50 if where == "while waiting" else ROWS
    limits = ", 'timeout_ms', 700" if kind == "timeout_ms" else ""
    hint = "/*+ MAX_EXECUTION_TIME(700) */" if kind == "max_execution_time" else ""
    call = f"lambda_map(JSON_OBJECT('function', 'f'{limits}), JSON_OBJECT('n', n))"
    began = time.monotonic()
    statement = Statement(slow, f"SELECT {hint} {call} FROM t WHERE n <= {rows} ORDER BY n")
    try:
        wait_until(lambda: len(endpoint.of("f")) == min(rows, 100), what="the calls at the endpoint")
        if kind.startswith("KILL"):
            began = time.monotonic()
            slow.query(f"{kind} {statement.id}")
        else:
            began += 0.7
        errno, text = statement.failed(began)
        if kind == "timeout_ms":
            # The first that becomes known: many rows have the same time.
            assert errno == 3200
            assert re.fullmatch(r"lambda_map UDF failed; row \d+: timed out after 700 ms", text)
        else:
            assert errno in {"KILL QUERY": {1317}, "max_execution_time": {3024}}.get(kind, {1317, 2013, 2055})
        expect_no_more(endpoint, slow, min(rows, 100))
    finally:
        gate.open()


def test_a_client_that_goes_ends_it(slow: Stack, endpoint: ScriptedLambda) -> None:
    gate = silent(endpoint)
    where = [f"--socket={slow.mysqld.socket}"]
    program = subprocess.Popen(
        [
            slow.mysqld.home / "bin/mysql",
            "--no-defaults",
            "--user=root",
            *where,
            "-e",
            f"SELECT {MAP} FROM test.t",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(endpoint.of("f")) == 100, what="the calls at the endpoint")
        program.kill()
        sessions = "SELECT 1 FROM performance_schema.processlist WHERE info LIKE '%lambda_map%' AND id <> CONNECTION_ID()"
        wait_until(lambda: not slow.query(sessions), seconds=END_SECONDS, what="the end of the session")
        expect_no_more(endpoint, slow, 100)
    finally:
        program.kill()
        program.communicate()
        gate.open()


def test_a_session_goes_on_after_each_of_them(slow: Stack, endpoint: ScriptedLambda) -> None:
    with contextlib.closing(slow.connect()) as connection:
        for _ in range(3):
            gate = silent(endpoint)
            with pytest.raises(mysql.connector.Error) as raised:
                execute(connection, f"SELECT /*+ MAX_EXECUTION_TIME(200) */ {MAP} FROM t WHERE n <= 20")
            assert raised.value.errno == 3024
            gate.open()
            endpoint.script("f", lambda arrival: answering(arrival.payload))
            ((text,),) = execute(connection, f"SELECT {MAP} FROM t WHERE n <= 20")
            assert pairs(text) == [(n, n) for n in range(1, 21)]


# ---- a sidecar that restarts ----


def test_a_sidecar_that_restarts_in_the_middle_loses_and_doubles_no_row(
    slow: Stack, endpoint: ScriptedLambda
) -> None:
    endpoint.script("f", wild(3))
    statement = Statement(slow, f"SELECT {MAP} FROM t WHERE n <= 3000 ORDER BY n")
    for arrived in (300, 1200):
        wait_until(lambda: len(endpoint.of("f")) > arrived)  # noqa: B023  called at once
        slow.sidecar.restart()
    assert pairs(statement.result()) == [(n, n) for n in range(1, 3001)]
    assert sorted(numbers(endpoint.of("f"))) == list(range(1, 3001))


def test_a_sidecar_that_dies_fails_the_rows_that_may_have_run(slow: Stack, endpoint: ScriptedLambda) -> None:
    gate = silent(endpoint)
    statement = Statement(slow, f"SELECT {MAP} FROM t WHERE n <= 3000 ORDER BY n")
    try:
        wait_until(lambda: len(endpoint.of("f")) == 100, what="the calls at the endpoint")
        slow.sidecar.kill()
        died = time.monotonic()
        errno, text = statement.failed(died)
        assert errno == 3200
        assert "; the call was under way and may have been carried out" in text
        assert text.startswith("lambda_map UDF failed; row ")
    finally:
        gate.open()
        slow.sidecar.start()
    assert len(endpoint.of("f")) == 100


# ---- memory ----


def resident_mb(pid: int) -> float:
    (line,) = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    ]
    return int(line.split()[1]) / 1024


def test_ten_statements_in_a_row_leave_no_memory_behind(slow: Stack, endpoint: ScriptedLambda) -> None:
    body = json.dumps({"n": 1, "filler": "x" * 100_000}).encode()
    endpoint.script("f", lambda _: answering(body))
    sql = f"SELECT LENGTH({MAP}) FROM t WHERE n <= 200"
    with contextlib.closing(slow.connect()) as connection:

        def run() -> float:
            assert execute(connection, sql)[0][0] > 20_000_000
            return resident_mb(slow.mysqld.pid)

        for _ in range(3):
            run()
        sizes = [run() for _ in range(10)]
    assert sizes[-1] - sizes[0] < 30, sizes

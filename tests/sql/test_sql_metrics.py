"""/metrics after a scripted workload through mysqld: every statement is counted, once and rightly.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mysql.connector
import pytest
from tests.support.component import INSTALL
from tests.support.scrape import Scrape, listener, scrape
from tests.support.stack import CANARY, Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

from lambda_sidecar.testing.ports import free_port

SLEEP = """SELECT lambda_sync('Sleep', '{"seconds": 30}')"""
SHORT_SLEEP = """SELECT lambda_invoke('Sleep', '{"seconds": 30}', '{"timeout_ms": 200}')"""


@dataclass(frozen=True)
class Counted:
    """A stack whose sidecar serves /metrics."""

    stack: Stack
    port: int

    def scrape(self) -> Scrape:
        return scrape(self.port)

    def fails(self, sql: str, text: str, **options: str) -> None:
        with (
            contextlib.closing(self.stack.connect(**options)) as connection,
            pytest.raises(mysql.connector.Error, match=text),
        ):
            execute(connection, sql)


@pytest.fixture
def counted(library: Library, mysql_home: Path, tmp_path: Path) -> Iterator[Counted]:
    """root may invoke everything, app only Echo."""
    port = free_port()
    allow = [{"account": "root@*", "function": "*"}, {"account": "app@localhost", "function": "Echo"}]
    with start_stack(mysql_home, tmp_path, library, allow=allow, metrics=listener(port)) as stack:
        stack.query(INSTALL)
        stack.query("CREATE USER app@localhost")
        stack.query("GRANT INVOKE_LAMBDA ON *.* TO app@localhost")
        stack.query("GRANT ALL ON test.* TO app@localhost")
        yield Counted(stack, port)


def killed_call(counted: Counted) -> None:
    """A call that is seen under way, and then killed."""
    with contextlib.closing(counted.stack.connect()) as connection:
        ended: list[mysql.connector.Error] = []

        def run() -> None:
            try:
                execute(connection, SLEEP)
            except mysql.connector.Error as error:
                ended.append(error)

        session = threading.Thread(target=run)
        session.start()
        try:
            wait_until(lambda: counted.stack.record.requests()["open"] == 1, what="the call at the endpoint")
            seen = counted.scrape()
            now = {name: seen.value(name) for name in ("calls_in_flight", "calls_running", "calls_waiting")}
            assert seen.value("streams") >= 1
            assert now == {"calls_in_flight": 1, "calls_running": 1, "calls_waiting": 0}
        finally:
            counted.stack.query(f"KILL QUERY {connection.connection_id}")
            session.join(20)
        assert [error.errno for error in ended] == [1317]


def test_a_scripted_workload_is_counted_exactly(counted: Counted) -> None:
    query = counted.stack.query
    for number in range(5):
        query(f"SELECT lambda_sync('Echo', '{number}')")
    for version in ("Echo", "Echo:$LATEST"):
        query(f"SELECT lambda_async('{version}', '7')")
    for _ in range(3):
        counted.fails("SELECT lambda_sync('Raise', '{}')", "Lambda function error")
    query("SELECT lambda_invoke('Raise', '{}')")
    for _ in range(2):
        counted.fails(f"""SELECT lambda_sync('Nowhere', '"{CANARY}"')""", "ResourceNotFoundException")
    for _ in range(4):
        counted.fails("SELECT lambda_sync('BasicTestLambda', '1')", "AccessDenied", user="app")
    with contextlib.closing(counted.stack.connect(user="app")) as connection:
        execute(connection, "SELECT lambda_sync('Echo', '1')")
    counted.fails(f"""SELECT lambda_sync('Echo', '{{"{CANARY}": ')""", "payload is not JSON")
    counted.fails(f"SELECT lambda_sync('no/{CANARY}', '1')", "not a function name")
    query("""SELECT lambda_sync('Sleep', '{"seconds": 0}')""")
    for _ in range(2):
        counted.fails(SHORT_SLEEP, "timed out after 200 ms")
    killed_call(counted)
    wait_until(lambda: counted.scrape().value("calls_in_flight") == 0, what="the killed call's end")

    told = counted.scrape()
    assert told.table("calls_total") == {
        ("Echo", "success"): 8,
        ("Echo", "invalid"): 1,
        ("Raise", "function_error"): 4,
        ("Sleep", "success"): 1,
        ("Sleep", "timeout"): 2,
        ("Sleep", "cancelled"): 1,
        ("(other)", "api"): 2,
        ("(other)", "denied"): 4,
        ("(other)", "invalid"): 1,
    }
    sent = {"Echo": 8, "Raise": 4, "Sleep": 4, "(other)": 2}
    assert told.table("call_duration_seconds_count") == {(name,): calls for name, calls in sent.items()}
    assert told.table("api_errors_total") == {("ResourceNotFoundException",): 2}
    assert told.value("call_duration_seconds_bucket", function="Sleep", le="0.1") <= 2, "not the timeouts"
    assert told.value("call_duration_seconds_bucket", function="Sleep", le="+Inf") == 4
    assert told.value("call_duration_seconds_sum", function="Sleep") >= 0.4
    for name in ("calls_running", "calls_waiting", "calls_waited_total", "retries_total"):
        assert told.value(name) == 0
    assert not counted.stack.sidecar.log_contains(CANARY)


def test_rows_of_one_statement_are_counted_each(counted: Counted) -> None:
    rows = " UNION ALL ".join(f"SELECT {number} AS n" for number in range(50))
    counted.stack.query(f"SELECT lambda_sync('Echo', n) FROM ({rows}) AS numbers")
    assert counted.scrape().table("calls_total") == {("Echo", "success"): 50}

"""The library on servers that lack services and functions which 9.7 has: what docs/configuration.md says of each absence.

The server is the one that there is; builds for tests hide parts of it. Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mysql.connector
import pytest
from mysql.connector import errorcode
from tests.pure.test_trace import GOOD
from tests.support.checkout import ROOT
from tests.support.component import installed_component, variables
from tests.support.markdown import tables
from tests.support.old_servers import OldServer
from tests.support.stack import Stack, execute, start_stack
from tests.support.waiting import wait_until

CALL = "SELECT lambda_sync('Echo', '1')"
SLEEP = """SELECT lambda_sync('Sleep', '{"seconds": 20}')"""
# The design's 100 ms, and what a machine that does other things as well may add.
KILL_SECONDS = 0.1 + 0.4


def of(
    server: OldServer, mysql_home: Path, factory: pytest.TempPathFactory
) -> contextlib.AbstractContextManager[Stack]:
    environment = {"LAMBDA_UDF_TIMEOUT_MS": "3000"} if server is OldServer.BARE else {}
    return start_stack(mysql_home, factory.mktemp(server.value), server, environment=environment)


@pytest.fixture(scope="module")
def mysql_8_0(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with of(OldServer.MYSQL_8_0, mysql_home, tmp_path_factory) as stack:
        yield stack


@pytest.mark.parametrize("server", [OldServer.MYSQL_8_4, OldServer.BARE], ids=lambda server: server.value)
def test_there_is_no_table_of_calls_where_its_removal_could_hold_up_or_crash_the_server(
    mysql_home: Path, tmp_path_factory: pytest.TempPathFactory, server: OldServer
) -> None:
    with of(server, mysql_home, tmp_path_factory) as stack, installed_component(stack):
        with pytest.raises(mysql.connector.Error) as raised:
            stack.query("SELECT * FROM performance_schema.lambda_udf_calls")
        assert raised.value.errno == errorcode.ER_NO_SUCH_TABLE


@pytest.fixture(scope="module")
def bare(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with of(OldServer.BARE, mysql_home, tmp_path_factory) as stack:
        yield stack


class Running:
    """A statement in a thread of its own, whose call is at the function."""

    def __init__(self, stack: Stack, sql: str) -> None:
        stack.reset()
        self._connection = stack.connect()
        self.id = self._connection.connection_id
        self._sql = sql
        self._error: mysql.connector.Error | None = None
        self._ended = 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        wait_until(lambda: stack.record.requests()["open"] == 1, what="the call at the function")

    def _run(self) -> None:
        with contextlib.closing(self._connection):
            try:
                execute(self._connection, self._sql)
            except mysql.connector.Error as error:
                self._error = error
            self._ended = time.monotonic()

    def ended(self, since: float) -> tuple[int, float]:
        """Its error, and how many seconds after `since` it came."""
        self._thread.join(30)
        assert self._error is not None, "the statement succeeded, or did not end"
        return self._error.errno, self._ended - since


# ---- as MySQL 8.0: no thd_status, no reader of variables, no warnings ----


@pytest.mark.parametrize("kind", ["QUERY", "CONNECTION"])
def test_kill_ends_a_call_without_thd_status(mysql_8_0: Stack, kind: str) -> None:
    running = Running(mysql_8_0, SLEEP)
    began = time.monotonic()
    mysql_8_0.query(f"KILL {kind} {running.id}")
    errno, seconds = running.ended(began)
    assert errno == 1317 if kind == "QUERY" else errno in (1317, 2013, 2055)
    assert seconds < KILL_SECONDS
    wait_until(lambda: mysql_8_0.record.requests()["open"] == 0, seconds=1, what="the sidecar drops the call")


def test_max_execution_time_ends_a_call_without_thd_status_and_is_told_from_kill(mysql_8_0: Stack) -> None:
    began = time.monotonic()
    running = Running(mysql_8_0, SLEEP.replace("SELECT", "SELECT /*+ MAX_EXECUTION_TIME(1000) */"))
    errno, seconds = running.ended(began + 1)
    assert errno == 3024
    assert seconds < KILL_SECONDS


def test_a_shutdown_of_the_server_ends_a_call_without_thd_status(mysql_8_0: Stack) -> None:
    running = Running(mysql_8_0, SLEEP)
    began = time.monotonic()
    mysql_8_0.mysqld.stop()
    try:
        errno, _ = running.ended(began)
        assert errno in (1053, 1317, 2013, 2055)
        assert time.monotonic() - began < 10
    finally:
        mysql_8_0.mysqld.start()


def test_the_connection_has_its_number_without_the_reader_of_variables(mysql_8_0: Stack) -> None:
    mysql_8_0.reset()
    with contextlib.closing(mysql_8_0.connect()) as connection:
        execute(connection, CALL)
        logged = rf" lambda_sidecar\.call: .*\bconnection={connection.connection_id}\b"
        wait_until(lambda: re.search(logged, mysql_8_0.sidecar.log_text()), what="the call in the log")


def test_a_skipped_call_is_null_without_a_warning_where_there_is_no_service_for_it(mysql_8_0: Stack) -> None:
    with installed_component(mysql_8_0), contextlib.closing(mysql_8_0.connect()) as connection:
        execute(connection, "SET GLOBAL lambda_udf.mode = 'skip'")
        assert execute(connection, CALL) == [(None,)]
        assert execute(connection, "SHOW WARNINGS") == []


def test_variables_have_their_global_value_alone_without_the_reader_of_variables(mysql_8_0: Stack) -> None:
    with installed_component(mysql_8_0), contextlib.closing(mysql_8_0.connect()) as connection:
        assert variables(mysql_8_0)["timeout_ms"] == "900000"
        execute(connection, "SET GLOBAL lambda_udf.timeout_ms = 300")
        with pytest.raises(mysql.connector.Error, match="timed out after 300 ms"):
            execute(connection, SLEEP)
        execute(connection, "SET GLOBAL lambda_udf.mode = 'deny'")
        with pytest.raises(mysql.connector.Error, match="denied"):
            execute(connection, CALL)
        execute(connection, "SET GLOBAL lambda_udf.mode = 'invoke'")
        assert execute(connection, CALL) == [("1",)]


# ---- a server with nothing that is not needed ----


def test_the_timeout_ends_a_call_where_nothing_tells_a_kill(bare: Stack) -> None:
    running = Running(bare, SLEEP)
    began = time.monotonic()
    bare.query(f"KILL QUERY {running.id}")
    errno, seconds = running.ended(began)
    assert errno == 3200
    assert 1 < seconds < 4


def test_a_call_succeeds_where_nothing_is_that_is_not_needed(bare: Stack) -> None:
    bare.reset()
    with installed_component(bare):
        assert bare.value(CALL) == "1"
    wait_until(lambda: re.search(r" lambda_sidecar\.call: .*\bconnection=0\b", bare.sidecar.log_text()))


def test_no_call_has_a_trace_where_the_server_knows_no_query_attributes(bare: Stack) -> None:
    with contextlib.closing(bare.connect()) as connection, connection.cursor() as cursor:
        cursor.add_attribute("traceparent", GOOD)
        cursor.execute(CALL)
        assert cursor.fetchall() == [("1",)]
    wait_until(lambda: bare.sidecar.log_contains("call answered: "), what="the call in the log")
    assert "trace_id" not in bare.sidecar.log_text()


# ---- the documents and the builds ----


def test_every_part_of_the_server_that_may_be_missing_is_documented_with_what_then_happens() -> None:
    code = (ROOT / "udf/server.c").read_text()
    optional = set(re.findall(r'\{\.name = "(\w+)",\s+\.place = &services\.\w+,\s+\.optional = true\}', code))
    optional |= set(re.findall(r'offered\("(\w+)"\)', code)) | {"mysql_simple_error_log"}
    (table,) = [t for t in tables(ROOT / "docs/configuration.md") if t.columns[0] == "part of the server"]
    assert sorted(table.keys) == sorted(optional)
    hidden = re.findall(r"^HIDDEN_\S+ := (.+)$", (ROOT / "udf/Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\w{6,}", " ".join(hidden))) - {"HIDDEN_8"} == optional


def test_the_library_that_ships_hides_nothing() -> None:
    assert b"thd_killed," in OldServer.BARE.path.read_bytes()
    assert b"thd_killed," not in (ROOT / "build/lambda_udf.so").read_bytes()

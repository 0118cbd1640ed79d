"""The component's times are an operator's limits, what it counts has happened, and it says why it cannot come.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import mysql.connector
import pytest
from tests.support.component import INSTALL, status, variables
from tests.support.stack import Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

CALL = "SELECT lambda_sync('Echo', '1')"
SLEEP = """SELECT lambda_sync('Sleep', '{"seconds": 30}')"""
WRONG = "LAMBDA_UDF_TIMEOUT_MS is '15m': a number from 1 to 86400000 is expected"


def message_of(connection: object, sql: str) -> str:
    with pytest.raises(mysql.connector.Error) as raised:
        execute(connection, sql)  # type: ignore[arg-type]  # a MySQLConnectionAbstract
    return raised.value.msg or ""


# ---- times ----


@pytest.mark.parametrize("connected", ["before", "after"])
def test_no_session_gives_itself_more_time_than_the_server_does(component: Stack, connected: str) -> None:
    early = component.connect()
    component.query("SET GLOBAL lambda_udf.timeout_ms = 300")
    connection = early if connected == "before" else component.connect()
    with contextlib.closing(early), contextlib.closing(connection):
        for statement in ("SET SESSION lambda_udf.timeout_ms = 86400000", "SET @nothing = 1"):
            execute(connection, statement)
            assert message_of(connection, SLEEP) == "lambda_sync UDF failed; timed out after 300 ms"


def test_a_session_may_give_itself_less_time_than_the_server_does(component: Stack) -> None:
    component.query("SET GLOBAL lambda_udf.timeout_ms = 20000")
    with contextlib.closing(component.connect()) as connection:
        execute(connection, "SET SESSION lambda_udf.timeout_ms = 200")
        assert message_of(connection, SLEEP) == "lambda_sync UDF failed; timed out after 200 ms"


def test_no_session_connects_for_longer_than_the_server_allows(component: Stack) -> None:
    component.query("SET GLOBAL lambda_udf.connect_timeout_ms = 200")
    component.query("SET GLOBAL lambda_udf.socket = '/nowhere/s'")
    with contextlib.closing(component.connect()) as connection:
        execute(connection, "SET SESSION lambda_udf.connect_timeout_ms = 60000")
        began = time.monotonic()
        assert "sidecar unavailable: /nowhere/s" in message_of(connection, CALL)
        assert time.monotonic() - began < 5


# ---- bytes ----


def test_bytes_that_never_left_are_not_counted_as_sent(component: Stack) -> None:
    component.query(CALL)
    before = status(component)["bytes_out"]
    with contextlib.closing(component.connect()) as connection:
        message_of(connection, "SELECT lambda_sync('Echo', NULL)")
        message_of(connection, "SELECT lambda_sync('Echo', '')")  # refused by the sidecar: 0 bytes, but sent
        execute(connection, "SET SESSION lambda_udf.connect_timeout_ms = 100")
        component.query("SET GLOBAL lambda_udf.socket = '/nowhere/s'")
        message_of(connection, "SELECT lambda_sync('Echo', '\"never\"')")
    assert status(component)["bytes_out"] == before


# ---- why it cannot come ----


@pytest.fixture(scope="module")
def misled(library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A mysqld whose environment has a wrong time, found by nobody so far."""
    directory = tmp_path_factory.mktemp(f"misled-{library.value}")
    environment = {"LAMBDA_UDF_TIMEOUT_MS": "15m"}
    with start_stack(mysql_home, directory, library, environment=environment) as stack:
        yield stack


def test_a_component_that_cannot_be_installed_says_why(misled: Stack) -> None:
    with contextlib.closing(misled.connect()) as connection:
        assert message_of(connection, INSTALL) == f"lambda_udf UDF failed; {WRONG}"
        told = execute(connection, "SHOW ERRORS")
    assert [row[1] for row in told] == [3200, 3536]
    assert variables(misled) == {}
    assert misled.query("SELECT * FROM mysql.component WHERE component_urn LIKE '%lambda_udf'") == []
    (line,) = [line for line in misled.mysqld.log_text().splitlines() if WRONG in line]
    assert "[ERROR]" in line
    assert "lambda_udf" in line


def test_a_server_that_starts_without_its_component_says_why_in_its_log(misled: Stack) -> None:
    misled.mysqld.environment["LAMBDA_UDF_TIMEOUT_MS"] = None
    misled.mysqld.restart()
    misled.query(INSTALL)
    told = misled.mysqld.log_text().count(WRONG)
    misled.mysqld.environment["LAMBDA_UDF_TIMEOUT_MS"] = "15m"
    misled.mysqld.restart()
    wait_until(lambda: misled.mysqld.log_text().count(WRONG) > told, what="the reason in the log")
    assert variables(misled) == {}

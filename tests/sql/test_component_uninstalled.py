"""UNINSTALL COMPONENT and statements that have begun: what the component allowed or forbade does not outlive it.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import mysql.connector
import pytest
from tests.support.component import INSTALL, UNINSTALL, installed_component
from tests.support.stack import Stack, execute
from tests.support.waiting import wait_until

GONE = "lambda_sync UDF failed; the component was uninstalled while the statement ran"
# The lock is held, so the row stops there until it is let go: before the call, or after the first row's.
BEFORE_THE_CALL = "SELECT GET_LOCK('door', 30), lambda_sync('Echo', '1')"
AFTER_THE_FIRST = """SELECT lambda_sync('Echo', n), IF(n = 1, GET_LOCK('door', 30), 0)
                     FROM (VALUES ROW(1), ROW(2), ROW(3)) AS t (n)"""
REFUSED = 3538


@pytest.fixture
def component(stack: Stack) -> Iterator[Stack]:
    """With an account app that may invoke by the component's privilege alone."""
    with installed_component(stack):
        stack.query("CREATE USER app@localhost")
        stack.query("GRANT INVOKE_LAMBDA ON *.* TO app@localhost")
        yield stack
        stack.query("DROP USER app@localhost")


def stopped(stack: Stack) -> bool:
    return bool(stack.query("SELECT 1 FROM performance_schema.processlist WHERE state = 'User lock'"))


def meanwhile(stack: Stack, user: str, sql: str, change: Callable[[], None]) -> list[object]:
    """The rows of a statement that is stopped at the lock while `change` happens."""
    with (
        contextlib.closing(stack.connect()) as holder,
        contextlib.closing(stack.connect(user=user, database=None)) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        # The session of the test before may have it until the server has heard of its end.
        assert execute(holder, "SELECT GET_LOCK('door', 20)") == [(1,)]
        try:
            running: Future[list[object]] = pool.submit(execute, connection, sql)
            wait_until(lambda: stopped(stack), what="the statement at the lock")
            change()
        finally:
            execute(holder, "SELECT RELEASE_LOCK('door')")
        return running.result(30)


def fails(stack: Stack, user: str, sql: str, change: Callable[[], None]) -> tuple[int, str | None]:
    with pytest.raises(mysql.connector.Error) as raised:
        meanwhile(stack, user, sql, change)
    return raised.value.errno, raised.value.msg


@pytest.mark.parametrize("user", ["app", "root"])
@pytest.mark.parametrize(("sql", "calls"), [(BEFORE_THE_CALL, 0), (AFTER_THE_FIRST, 1)])
@pytest.mark.parametrize("again", [False, True], ids=["", "and installed again"])
def test_a_statement_that_began_with_the_component_invokes_nothing_once_it_is_uninstalled(
    component: Stack, user: str, sql: str, calls: int, again: bool
) -> None:
    def change() -> None:
        component.query("SET GLOBAL lambda_udf.mode = 'deny'")
        component.query(UNINSTALL)
        if again:
            component.query(INSTALL)

    assert fails(component, user, sql, change) == (3200, GONE)
    assert component.record.count() == calls


def test_a_statement_that_began_without_the_component_obeys_one_that_came_before_its_first_row(
    stack: Stack,
) -> None:
    def change() -> None:
        stack.query(INSTALL)
        stack.query("SET GLOBAL lambda_udf.mode = 'deny'")

    try:
        message = "lambda_sync UDF failed; denied, because lambda_udf.mode is 'deny'"
        assert fails(stack, "root", BEFORE_THE_CALL, change) == (3200, message)
    finally:
        stack.query(UNINSTALL)
    assert stack.record.count() == 0


def test_a_statement_of_a_super_account_that_began_without_the_component_goes_on_without_it(
    stack: Stack,
) -> None:
    def change() -> None:
        stack.query(INSTALL)
        stack.query(UNINSTALL)

    assert [row[1] for row in meanwhile(stack, "root", BEFORE_THE_CALL, change)] == ["1"]  # type: ignore[index]


def test_an_uninstall_that_is_refused_changes_nothing_for_statements_that_have_begun(
    component: Stack,
) -> None:
    sql = """SELECT lambda_sync('Sleep', JSON_OBJECT('seconds', n)) FROM (VALUES ROW(2), ROW(0), ROW(0)) AS t (n)"""
    with (
        contextlib.closing(component.connect(user="app", database=None)) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(execute, connection, sql)
        wait_until(lambda: component.record.requests()["open"] == 1, what="the first row's call")
        with pytest.raises(mysql.connector.Error) as raised:
            component.query(UNINSTALL)
        assert raised.value.errno == REFUSED
        assert len(running.result(30)) == 3
    assert len(component.record.calls("Sleep")) == 3


def test_a_privilege_counts_as_it_was_when_the_statement_began(component: Stack) -> None:
    """As with MySQL's own privileges."""
    rows = meanwhile(
        component,
        "app",
        AFTER_THE_FIRST,
        lambda: _query(component, "REVOKE INVOKE_LAMBDA ON *.* FROM app@localhost"),
    )
    assert len(rows) == 3
    connection = component.connect(user="app", database=None)
    with contextlib.closing(connection), pytest.raises(mysql.connector.Error) as raised:
        execute(connection, "SELECT lambda_sync('Echo', '1')")
    assert raised.value.errno == 1227


def _query(stack: Stack, sql: str) -> None:
    stack.query(sql)

"""The component that cannot leave yet: mysqld survives whatever is done with it meanwhile.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import mysql.connector
import pytest
from tests.support.component import INSTALL, UNINSTALL, variables
from tests.support.failing_component import make_failing_component
from tests.support.stack import CREATE_FUNCTIONS, Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

TABLE = "performance_schema.lambda_udf_calls"
LOCKED = 1192
NOT_INITIALISED = 3536


@pytest.fixture(scope="module", params=list(Library), ids=lambda library: library.value)
def own_stack(
    request: pytest.FixtureRequest, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack for this module, whose mysqld must not have crashed at its end, nor while it shuts down."""
    with start_stack(mysql_home, tmp_path_factory.mktemp("stays"), request.param) as stack:
        yield stack
        stack.mysqld.stop()
        log = stack.mysqld.log_text()
    assert "got signal" not in log
    assert "Shutdown complete" in log


def functions_dropped(stack: Stack, but: str = "") -> None:
    for (name,) in stack.query("SELECT name FROM mysql.func WHERE dl = 'lambda_udf.so'"):
        if name != but:
            stack.query(f"DROP FUNCTION {name}")


def is_loaded(stack: Stack) -> bool:
    number = (stack.mysqld.directory / "mysqld.pid").read_text().strip()
    return "lambda_udf.so" in Path(f"/proc/{number}/maps").read_text()


@contextlib.contextmanager
def sleeping(stack: Stack) -> Iterator[None]:
    """A call under way until the end of the block, which kills it."""
    with contextlib.closing(stack.connect()) as connection:

        def run() -> None:
            with contextlib.suppress(mysql.connector.Error):
                execute(connection, """SELECT lambda_sync('Sleep', '{"seconds": 30}')""")

        thread = threading.Thread(target=run)
        thread.start()
        try:
            wait_until(lambda: stack.record.requests()["open"] == 1, what="the call at the function")
            yield
        finally:
            stack.query(f"KILL QUERY {connection.connection_id}")
            thread.join(30)


def install_that_is_undone(stack: Stack) -> None:
    """INSTALL COMPONENT that the server undoes while the component cannot leave; nobody else holds the library."""
    failing = make_failing_component(stack.mysqld.plugin_dir)
    functions_dropped(stack, but="lambda_sync")
    with sleeping(stack), pytest.raises(mysql.connector.Error) as raised:
        stack.query(f"{INSTALL}, '{failing}'")
    assert raised.value.errno == NOT_INITIALISED
    functions_dropped(stack)


def test_uninstall_is_refused_under_lock_tables_where_the_session_itself_may_have_the_table_open(
    own_stack: Stack,
) -> None:
    own_stack.query(INSTALL)
    own_stack.query(f"CREATE VIEW test.calls AS SELECT * FROM {TABLE}")
    with contextlib.closing(own_stack.connect()) as connection:
        execute(connection, "LOCK TABLES test.calls READ, mysql.component WRITE")
        with pytest.raises(mysql.connector.Error) as raised:
            execute(connection, UNINSTALL)
        assert raised.value.errno == LOCKED
        assert execute(connection, "SELECT * FROM test.calls") == []
        execute(connection, "UNLOCK TABLES")
        assert execute(connection, "SELECT * FROM test.calls") == [], "the table is as it was"
        execute(connection, UNINSTALL)


def test_the_library_stays_while_the_server_points_into_it_after_an_installation_that_was_undone(
    own_stack: Stack,
) -> None:
    install_that_is_undone(own_stack)
    try:
        assert variables(own_stack)["mode"] == "invoke"
        # Whether MySQL finds the table depends on what it has in its caches; read it can.
        with contextlib.suppress(mysql.connector.errors.ProgrammingError):
            own_stack.query(f"SELECT * FROM {TABLE}")
        own_stack.query(INSTALL)
        assert own_stack.query(f"SELECT * FROM {TABLE} WHERE phase <> 'failed'") == []
        own_stack.query(UNINSTALL)
        assert variables(own_stack) == {}
        assert not is_loaded(own_stack)
    finally:
        for statement in CREATE_FUNCTIONS:
            own_stack.query(statement)


def test_a_server_shuts_down_after_an_installation_that_was_undone(own_stack: Stack) -> None:
    """As own_stack asserts; this is its last test."""
    install_that_is_undone(own_stack)
    assert is_loaded(own_stack)

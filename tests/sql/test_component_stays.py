"""The component that cannot leave yet: mysqld survives whatever is done with it meanwhile.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import mysql.connector
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.component import INSTALL, UNINSTALL, variables
from tests.support.failing_component import make_failing_component
from tests.support.stack import CREATE_FUNCTIONS, Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

TABLE = "performance_schema.lambda_udf_calls"
STORED = "SELECT * FROM mysql.component WHERE component_urn = 'file://lambda_udf'"
LOCKED = 1192
REFUSED = 3538
NOT_INITIALISED = 3536
INTERRUPTED = 3200


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
        execute(connection, "DROP VIEW test.calls")


def test_an_uninstallation_that_calls_refuse_undoes_nothing_even_where_a_view_reads_the_table(
    own_stack: Stack,
) -> None:
    """MySQL commits where it creates a table that a view knows: so it must not be created anew."""
    own_stack.query(INSTALL)
    own_stack.query(f"CREATE VIEW test.calls AS SELECT * FROM {TABLE}")
    with sleeping(own_stack):
        with pytest.raises(mysql.connector.Error) as raised:
            own_stack.query(UNINSTALL)
        assert raised.value.errno == REFUSED
        assert own_stack.query(STORED)
        assert len(own_stack.query("SELECT * FROM test.calls WHERE phase = 'sent'")) == 1
    own_stack.query(UNINSTALL)
    own_stack.query("DROP VIEW test.calls")
    assert not own_stack.query(STORED)


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


def install_and_kill(stack: Stack, killer: MySQLConnectionAbstract, seconds: float) -> int:
    """The error's number of INSTALL COMPONENT that is killed after so many seconds; 0: it was too late."""
    with contextlib.closing(stack.connect()) as connection, ThreadPoolExecutor(1) as pool:
        running = pool.submit(execute, connection, INSTALL)
        wait([running], seconds)
        execute(killer, f"KILL QUERY {connection.connection_id}")
        error = running.exception(30)
        assert error is None or isinstance(error, mysql.connector.Error)
        return 0 if error is None else error.errno


def test_an_installation_that_is_killed_is_whole_or_not_at_all(own_stack: Stack) -> None:
    """A KILL meets the creation of the table once in about a hundred tries."""
    outcomes = set()
    with contextlib.closing(own_stack.connect()) as killer:
        for attempt in range(1500):
            outcome = install_and_kill(own_stack, killer, attempt % 24 / 2000)
            outcomes.add(outcome)
            stored = execute(killer, STORED)
            assert bool(stored) == bool(variables(own_stack)) == (outcome == 0)
            if outcome == INTERRUPTED:
                break
            if stored:
                execute(killer, UNINSTALL)
    assert INTERRUPTED in outcomes


def test_a_server_shuts_down_after_an_installation_that_was_undone(own_stack: Stack) -> None:
    """As own_stack asserts; this is its last test."""
    install_that_is_undone(own_stack)
    assert is_loaded(own_stack)

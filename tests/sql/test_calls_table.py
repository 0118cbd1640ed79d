"""performance_schema.lambda_udf_calls: what it says of calls, who may read it, and that reading harms nobody.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import datetime
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mysql.connector
import pytest
from tests.support.component import INSTALL, UNINSTALL, installed_component
from tests.support.stack import Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

TABLE = "performance_schema.lambda_udf_calls"
SLEEP = """SELECT lambda_sync('Sleep', '{"seconds": 30}')"""
COLUMNS = "connection_id, user, host, function_name, invocation_type, phase, error, message, request_id"
Row = tuple[Any, ...]


@pytest.fixture
def component(stack: Stack) -> Iterator[Stack]:
    with installed_component(stack):
        yield stack


def running(stack: Stack) -> list[Row]:
    return [tuple(row) for row in stack.query(f"SELECT {COLUMNS} FROM {TABLE} WHERE phase <> 'failed'")]


def last_failure(stack: Stack) -> Row:
    (row,) = stack.query(f"SELECT {COLUMNS} FROM {TABLE} WHERE phase = 'failed' LIMIT 1")
    return tuple(row)


def newest(stack: Stack) -> datetime.datetime:
    """When the failure began that began last; long ago where there is none."""
    ((started,),) = stack.query(f"SELECT MAX(started) FROM {TABLE} WHERE phase = 'failed'")
    return started if isinstance(started, datetime.datetime) else datetime.datetime.min


@contextlib.contextmanager
def session(stack: Stack, sql: str, **options: Any) -> Iterator[int]:
    """A session that runs the statement until the end of the block, which kills it; its CONNECTION_ID()."""
    with contextlib.closing(stack.connect(**options)) as connection:
        ended = threading.Event()

        def run() -> None:
            with contextlib.suppress(mysql.connector.Error):
                execute(connection, sql)
            ended.set()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield int(connection.connection_id or 0)
        finally:
            if not ended.is_set():
                stack.query(f"KILL QUERY {connection.connection_id}")
            thread.join(30)


def test_a_call_under_way_says_for_whom_since_when_and_how_far_it_is(component: Stack) -> None:
    component.query("CREATE USER IF NOT EXISTS app@localhost")
    component.query("GRANT INVOKE_LAMBDA ON *.* TO app@localhost")
    component.query("GRANT ALL ON test.* TO app@localhost")
    with session(component, SLEEP, user="app") as number:
        wait_until(lambda: component.record.requests()["open"] == 1, what="the call at the function")
        assert running(component) == [
            (number, "app", "localhost", "Sleep", "RequestResponse", "sent", None, None, None)
        ]
        ((started, ago, took),) = component.query(
            f"SELECT started, TIMESTAMPDIFF(MICROSECOND, started, SYSDATE(6)), duration_us FROM {TABLE} LIMIT 1"
        )
        assert isinstance(started, datetime.datetime)
        assert 0 < took <= ago < took + 1_000_000
    wait_until(lambda: running(component) == [], what="the end of the call")
    assert last_failure(component)[:7] == (
        number, "app", "localhost", "Sleep", "RequestResponse", "failed", "killed"
    )  # fmt: skip
    component.query("DROP USER app@localhost")


@pytest.mark.parametrize(
    ("sql", "function", "kind", "text"),
    [
        ("SELECT lambda_sync('Nowhere', '1')", "Nowhere", "api", "ResourceNotFoundException"),
        ("SELECT lambda_sync('Raise', '1')", "Raise", "function", None),
        ("SELECT lambda_invoke('Raise', '1')", "Raise", "function", None),
        ("""SELECT lambda_invoke('Raise', '1', '{"stream": true}')""", "Raise", "function", None),
        ("SELECT lambda_map('Nowhere', '1')", "Nowhere", "api", "ResourceNotFoundException"),
        ("SELECT lambda_sync('Echo', '{')", "Echo", "argument", "payload"),
    ],
)
def test_a_failure_stays_with_its_kind_and_lambdas_request_id(
    component: Stack, sql: str, function: str, kind: str, text: str | None
) -> None:
    before = newest(component)
    with contextlib.suppress(mysql.connector.Error):
        component.query(sql)
    assert newest(component) > before
    *_, name, _type, phase, error, message, request_id = last_failure(component)
    assert (name, phase, error) == (function, "failed", kind)
    assert (text is None and message is None) or text in message
    asked = kind != "argument"
    assert (request_id is not None) == asked
    if asked:
        wait_until(lambda: request_id in component.sidecar.log_text(), what="the same id in the log")


def test_a_row_of_many_that_times_out_is_noted_with_the_text_that_its_user_reads(component: Stack) -> None:
    options = "JSON_OBJECT('function', 'Sleep', 'timeout_ms', 300)"
    with pytest.raises(mysql.connector.Error, match="timed out after 300 ms"):
        component.query(f"""SELECT lambda_map({options}, '{{"seconds": 5}}')""")
    assert last_failure(component)[6:8] == ("timeout", "timed out after 300 ms")


def test_neither_payloads_nor_what_a_function_says_is_in_it(component: Stack) -> None:
    said = "said-by-the-function"  # which the local Lambda prints, and so it is no canary
    with pytest.raises(mysql.connector.Error, match=said):
        component.query(f"""SELECT lambda_sync('Raise', '{{"message": "{said}"}}')""")
    assert said not in str(component.query(f"SELECT * FROM {TABLE}"))


def test_every_row_of_a_statement_that_is_under_way_is_there(component: Stack) -> None:
    many = """SELECT lambda_map('Sleep', '{"seconds": 30}') FROM
        (WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 40) SELECT i FROM n) AS t"""
    with session(component, many) as number:
        wait_until(lambda: component.record.requests()["open"] == 40, what="all calls at the function")
        rows = running(component)
        assert Counter(row[:6] for row in rows) == {
            (number, "root", "localhost", "Sleep", "RequestResponse", "sent"): 40
        }
        ordered = component.query(
            f"SELECT started FROM {TABLE} WHERE phase = 'sent' ORDER BY started DESC, message"
        )
        assert len(ordered) == 40
    wait_until(lambda: running(component) == [], what="the end of the calls")


def test_failures_are_the_last_hundred_the_newest_first(component: Stack) -> None:
    with contextlib.closing(component.connect()) as connection:
        for number in range(105):
            with contextlib.suppress(mysql.connector.Error):
                execute(connection, f"SELECT lambda_sync('Nowhere{number}', '1')")
    rows = component.query(f"SELECT function_name FROM {TABLE}")
    assert [name for (name,) in rows] == [f"Nowhere{number}" for number in range(104, 4, -1)]


def test_only_who_may_select_from_performance_schema_reads_it_and_nobody_writes(component: Stack) -> None:
    component.query("CREATE USER IF NOT EXISTS reader@localhost")
    with contextlib.closing(component.connect(user="reader", database=None)) as connection:
        with pytest.raises(mysql.connector.Error, match="SELECT command denied"):
            execute(connection, f"SELECT * FROM {TABLE}")
        component.query(f"GRANT SELECT ON {TABLE} TO reader@localhost")
        assert isinstance(execute(connection, f"SELECT * FROM {TABLE}"), list)
    for sql in (
        f"DELETE FROM {TABLE}",
        f"TRUNCATE {TABLE}",
        f"UPDATE {TABLE} SET user = 'x'",
        f"DROP TABLE {TABLE}",
    ):
        with pytest.raises(mysql.connector.Error, match="denied"):
            component.query(sql)
    component.query("DROP USER reader@localhost")


def test_without_the_component_there_is_no_table_and_calls_go_on(stack: Stack) -> None:
    with installed_component(stack):
        assert isinstance(stack.query(f"SELECT * FROM {TABLE}"), list)
    with pytest.raises(mysql.connector.Error, match="1146"):
        stack.query(f"SELECT * FROM {TABLE}")
    assert stack.value("SELECT lambda_sync('Echo', '1')") == "1"


def test_uninstall_waits_for_a_transaction_that_has_read_it_and_calls_go_on_meanwhile(
    component: Stack,
) -> None:
    with contextlib.closing(component.connect(autocommit=False)) as reader:
        execute(reader, f"SELECT * FROM {TABLE}")
        with contextlib.closing(component.connect()) as connection:
            execute(connection, "SET SESSION lock_wait_timeout = 1")
            with pytest.raises(mysql.connector.Error, match="Lock wait timeout exceeded"):
                execute(connection, UNINSTALL)
        with session(component, UNINSTALL) as number:
            waiting = f"SELECT state FROM performance_schema.processlist WHERE id = {number}"
            wait_until(lambda: "metadata lock" in str(component.query(waiting)), what="UNINSTALL waits")
            assert component.value("SELECT lambda_sync('Echo', '1')") == "1"
            component.query("CREATE USER invoker@localhost")
            component.query("GRANT INVOKE_LAMBDA ON *.* TO invoker@localhost")
            with contextlib.closing(component.connect(user="invoker", database=None)) as other:
                assert execute(other, "SELECT lambda_sync('Echo', '1')") == [("1",)], "the privilege counts"
            component.query("DROP USER invoker@localhost")
    # Whoever had it open may go on; the server gives it to nobody new until the component has gone and come again.
    component.query(UNINSTALL)
    component.query(INSTALL)
    assert isinstance(component.query(f"SELECT * FROM {TABLE}"), list)


def test_statements_that_outlive_the_table_find_none_and_then_the_new_one(component: Stack) -> None:
    """Prepared statements, views and the server's cache of open tables know it by name alone."""
    component.query(f"CREATE VIEW test.calls AS SELECT * FROM {TABLE}")
    with contextlib.closing(component.connect()) as connection:
        execute(connection, f"PREPARE look FROM 'SELECT COUNT(*) FROM {TABLE}'")
        for _ in range(3):
            execute(connection, "EXECUTE look")
            execute(connection, "SELECT * FROM test.calls")
            component.query(UNINSTALL)
            for sql in ("EXECUTE look", "SELECT * FROM test.calls", f"SHOW CREATE TABLE {TABLE}"):
                with pytest.raises(mysql.connector.Error, match=r"1146|1356|doesn't exist|invalid"):
                    execute(connection, sql)
            execute(connection, "FLUSH TABLES")
            component.query(INSTALL)
        for sql in (
            "EXECUTE look",
            f"SHOW CREATE TABLE {TABLE}",
            f"CHECK TABLE {TABLE}",
            "SHOW TABLE STATUS FROM performance_schema LIKE 'lambda_udf_calls'",
            f"SELECT a.phase FROM {TABLE} AS a JOIN {TABLE} AS b USING (connection_id) ORDER BY a.started, b.message",
            f"SELECT user, COUNT(*), MAX(duration_us) FROM {TABLE} GROUP BY user WITH ROLLUP",
            f"SELECT * FROM {TABLE} WHERE connection_id IN (SELECT connection_id FROM {TABLE}) ORDER BY RAND()",
        ):
            execute(connection, sql)


def test_uninstall_that_calls_refuse_leaves_the_table(component: Stack) -> None:
    with session(component, SLEEP):
        wait_until(lambda: len(running(component)) == 1, what="the call")
        with pytest.raises(mysql.connector.Error, match="3538"):
            component.query(UNINSTALL)
        assert len(running(component)) == 1


def test_reading_install_and_uninstall_at_once_with_calls_harm_nobody(stack: Stack) -> None:
    over = threading.Event()
    seen: Counter[str] = Counter()

    def repeat(sql: str) -> Callable[[], None]:
        def run() -> None:
            with contextlib.closing(stack.connect()) as connection:
                while not over.is_set():
                    try:
                        execute(connection, sql)
                        seen[sql] += 1
                    except mysql.connector.Error as error:
                        seen[f"{sql}: {error.errno}"] += 1

        return run

    read, call = f"SELECT * FROM {TABLE} ORDER BY started", "SELECT lambda_sync('Echo', '1')"
    fail = "SELECT lambda_map('Nowhere', '1')"
    threads = [threading.Thread(target=repeat(sql)) for sql in (read, read, call, call, fail)]
    stack.query(INSTALL)
    for thread in threads:
        thread.start()
    until, done = time.monotonic() + 5, 0
    try:
        while time.monotonic() < until:
            for sql in (UNINSTALL, INSTALL):
                with contextlib.suppress(mysql.connector.Error):
                    stack.query(sql)
                    done += 1
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
        with contextlib.suppress(mysql.connector.Error):
            stack.query(UNINSTALL)
    assert done > 10
    assert seen[read] > 10
    assert seen[call] > 10
    assert not [name for name in seen if name.startswith(f"{read}: ") and not name.endswith(": 1146")], seen
    # A statement that began under one installation must not go on under another (docs/configuration.md).
    assert not [name for name in seen if name.startswith(f"{call}: ") and not name.endswith(": 3200")], seen
    assert stack.value("SELECT 1") == 1


@pytest.mark.parametrize(
    ("option", "has_table"),
    [
        ("--performance-schema=OFF", True),
        ("--super-read-only=ON", True),
        ("--transaction-read-only=ON", False),
    ],
)
def test_whatever_the_server_is_started_with_the_component_comes_back(
    mysql_home: Path, tmp_path: Path, option: str, has_table: bool
) -> None:
    with start_stack(mysql_home, tmp_path, Library.PLAIN) as stack:
        stack.query(INSTALL)
        stack.mysqld.stop()
        assert "MY-010065" not in stack.mysqld.log_text(), "every service was released"
        ours = stack.mysqld.options
        stack.mysqld.options = (*ours, option)
        stack.mysqld.start()
        assert stack.value("SELECT @@GLOBAL.lambda_udf.mode") == "invoke"
        assert stack.value("SELECT lambda_sync('Echo', '1')") == "1"
        if has_table:
            assert isinstance(stack.query(f"SELECT * FROM {TABLE}"), list)
        else:
            with pytest.raises(mysql.connector.Error, match="1146"):
                stack.query(f"SELECT * FROM {TABLE}")
        stack.mysqld.stop()
        stack.mysqld.options = ours
        stack.mysqld.start()
        stack.query(f"SELECT * FROM {TABLE}")
        stack.query(UNINSTALL)

"""The component: its variables, its counters, lambda_udf.mode, and its coming and going under load.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mysql.connector
import pytest
from tests.support.component import INSTALL, UNINSTALL, VARIABLES, installed_component, status, variables
from tests.support.stack import Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

CALL = "SELECT lambda_sync('Echo', '1')"
SLEEP = """SELECT lambda_sync('Sleep', '{"seconds": 30}')"""
UNINSTALL_REFUSED = 3538
UNINSTALLED = "the component was uninstalled while the statement ran"
ROUNDS = 200
GROWTH_KB = 2048


def error_of(stack: Stack, sql: str) -> tuple[int, str | None]:
    with pytest.raises(mysql.connector.Error) as raised:
        stack.query(sql)
    return raised.value.errno, raised.value.msg


# ---- variables ----


def test_show_variables_shows_all_of_them_with_their_defaults(component: Stack) -> None:
    assert variables(component) == {
        "connect_timeout_ms": "3000",
        "function_error": "error",
        "map_concurrency": "100",
        "batch_concurrency": "16",
        "mode": "invoke",
        "result_max_bytes": "67108864",
        "socket": str(component.sidecar.socket),
        "timeout_ms": "900000",
    }


@pytest.mark.parametrize("scope", ["GLOBAL", "SESSION"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout_ms", "0"),
        ("timeout_ms", "-1"),
        ("timeout_ms", "86400001"),
        ("timeout_ms", "18446744073709551615"),
        ("connect_timeout_ms", "0"),
        ("mode", "'off'"),
        ("mode", "3"),
        ("function_error", "'ignore'"),
        ("map_concurrency", "0"),
        ("map_concurrency", "1001"),
        ("batch_concurrency", "0"),
        ("result_max_bytes", "0"),
        ("result_max_bytes", "-1"),
        ("result_max_bytes", "1073741825"),
    ],
)
def test_a_wrong_value_is_refused_with_1231(component: Stack, scope: str, name: str, value: str) -> None:
    before = variables(component)
    shown = value.strip("'")
    expected = (1231, f"Variable 'lambda_udf.{name}' can't be set to the value of '{shown}'")
    assert error_of(component, f"SET {scope} lambda_udf.{name} = {value}") == expected
    assert variables(component) == before


@pytest.mark.parametrize("path", ["", "/", "s", "relative/s.sock", "/" + "x" * 107, "/" + "x" * 5000])
def test_a_socket_that_cannot_be_meant_is_refused_with_1231(component: Stack, path: str) -> None:
    assert error_of(component, f"SET GLOBAL lambda_udf.socket = '{path}'")[0] == 1231
    assert error_of(component, f"SET GLOBAL lambda_udf.socket = CONCAT('{path}', '')")[0] == 1231
    assert variables(component)["socket"] == str(component.sidecar.socket)


def test_a_new_socket_counts_for_the_next_statement_of_every_session(component: Stack) -> None:
    with contextlib.closing(component.connect()) as connection:
        execute(connection, "SET SESSION lambda_udf.connect_timeout_ms = 100")
        assert execute(connection, CALL) == [("1",)]
        component.query("SET GLOBAL lambda_udf.socket = '/nowhere/s'")
        with pytest.raises(mysql.connector.Error, match="sidecar unavailable: /nowhere/s: No such file"):
            execute(connection, CALL)
        component.query("SET GLOBAL lambda_udf.socket = DEFAULT")
        assert execute(connection, CALL) == [("1",)]


def test_the_socket_has_no_session_value(component: Stack) -> None:
    assert error_of(component, "SET SESSION lambda_udf.socket = '/tmp/s'")[0] == 1229  # a GLOBAL variable


def test_a_sessions_timeout_is_its_own(component: Stack) -> None:
    with contextlib.closing(component.connect()) as connection:
        execute(connection, "SET SESSION lambda_udf.timeout_ms = 300")
        with pytest.raises(mysql.connector.Error, match="timed out after 300 ms"):
            execute(connection, SLEEP)
    assert variables(component)["timeout_ms"] == "900000"


def test_function_error_return_hands_the_error_document_back(component: Stack) -> None:
    with contextlib.closing(component.connect()) as connection:
        execute(connection, "SET SESSION lambda_udf.function_error = 'return'")
        ((answer,),) = execute(connection, """SELECT lambda_sync('Raise', '{"message": "m"}')""")
        document = json.loads(answer)
    assert (document["errorType"], document["errorMessage"]) == ("ValueError", "m")


def test_a_restart_keeps_persisted_values_and_option_files_are_read(
    library: Library, mysql_home: Path, tmp_path: Path
) -> None:
    options = (
        "[mysqld]\nloose-lambda_udf.timeout_ms = 4000\nloose-lambda_udf.connect_timeout_ms = 700\n"
        "loose-lambda_udf.mode = skip\n"
    )
    with start_stack(mysql_home, tmp_path, library, option_file=options) as stack:
        stack.query(INSTALL)
        before = variables(stack)
        assert (before["timeout_ms"], before["connect_timeout_ms"], before["mode"]) == ("4000", "700", "skip")
        stack.query("SET PERSIST lambda_udf.timeout_ms = 5000")
        stack.query("SET PERSIST lambda_udf.mode = 'invoke'")
        stack.mysqld.restart()
        after = variables(stack)
        assert (after["timeout_ms"], after["connect_timeout_ms"], after["mode"]) == ("5000", "700", "invoke")
        assert stack.value(CALL) == "1"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "socket = relative.sock",
            "lambda_udf.socket is 'relative.sock': an absolute path of at most 107 bytes",
        ),
        (f"socket = /{'x' * 200}", "an absolute path of at most 107 bytes is expected"),
    ],
)
def test_a_wrong_value_from_an_option_file_is_named_by_the_first_call(
    library: Library, mysql_home: Path, tmp_path: Path, line: str, text: str
) -> None:
    options = f"[mysqld]\nloose-lambda_udf.{line}\n"
    with start_stack(mysql_home, tmp_path, library, option_file=options) as stack:
        stack.query(INSTALL)
        errno, message = error_of(stack, CALL)
        assert errno == 3200
        assert text in (message or "")


def test_a_number_out_of_range_in_an_option_file_is_clamped_as_mysql_clamps(
    library: Library, mysql_home: Path, tmp_path: Path
) -> None:
    options = "[mysqld]\nloose-lambda_udf.timeout_ms = 0\nloose-lambda_udf.connect_timeout_ms = 99999999999\n"
    with start_stack(mysql_home, tmp_path, library, option_file=options) as stack:
        stack.query(INSTALL)
        read = variables(stack)
    assert (read["timeout_ms"], read["connect_timeout_ms"]) == ("1", "86400000")


# ---- mode ----


def test_mode_skip_returns_null_with_one_warning_per_statement(component: Stack) -> None:
    with contextlib.closing(component.connect()) as connection:
        execute(connection, "SET SESSION lambda_udf.mode = 'skip'")
        rows = execute(
            connection, "SELECT lambda_sync('Echo', n) FROM (VALUES ROW(1), ROW(2), ROW(3)) AS t (n)"
        )
        warnings = execute(connection, "SHOW WARNINGS")
    assert rows == [(None,)] * 3
    text = "lambda_sync UDF failed; skipped, because lambda_udf.mode is 'skip'"
    assert warnings == [("Warning", 3200, text)]
    assert component.record.count() == 0
    assert status(component)["in_flight"] == 0


def test_mode_skip_needs_neither_privilege_nor_sidecar(component: Stack) -> None:
    component.query("SET GLOBAL lambda_udf.mode = 'skip'")
    component.query("CREATE USER app@localhost")
    component.sidecar.stop()
    try:
        with contextlib.closing(component.connect(user="app", database=None)) as connection:
            assert execute(connection, "SELECT lambda_async('Echo', '1')") == [(None,)]
    finally:
        component.sidecar.start()
        component.query("DROP USER app@localhost")


def test_mode_deny_fails_every_call(component: Stack) -> None:
    component.query("SET GLOBAL lambda_udf.mode = 'deny'")
    expected = (3200, "lambda_sync UDF failed; denied, because lambda_udf.mode is 'deny'")
    assert error_of(component, CALL) == expected
    assert component.record.count() == 0


def test_a_session_can_be_stricter_than_the_server_but_not_freer(component: Stack) -> None:
    with contextlib.closing(component.connect()) as connection:
        execute(connection, "SET SESSION lambda_udf.mode = 'deny'")
        with pytest.raises(mysql.connector.Error, match="denied"):
            execute(connection, CALL)
        execute(connection, "SET SESSION lambda_udf.mode = 'invoke'")
        assert execute(connection, CALL) == [("1",)]
        component.query("SET GLOBAL lambda_udf.mode = 'deny'")
        with pytest.raises(mysql.connector.Error, match="denied"):
            execute(connection, CALL)


def test_a_session_keeps_the_mode_that_it_began_with_until_it_says_default(component: Stack) -> None:
    component.query("SET GLOBAL lambda_udf.mode = 'deny'")
    with contextlib.closing(component.connect()) as connection:
        component.query("SET GLOBAL lambda_udf.mode = 'invoke'")
        with pytest.raises(mysql.connector.Error, match="denied"):
            execute(connection, CALL)
        execute(connection, "SET SESSION lambda_udf.mode = DEFAULT")
        assert execute(connection, CALL) == [("1",)]


# ---- counters ----


def test_the_counters_count_a_workload_exactly(component: Stack) -> None:
    before = status(component)
    component.query("SELECT lambda_sync('Echo', n) FROM (VALUES ROW(10), ROW(20), ROW(30)) AS t (n)")
    component.query("SELECT lambda_async('Echo', '[1, 2]')")
    for sql in (
        "SELECT lambda_sync('Echo', NULL)",
        "SELECT lambda_sync('no/name', '1')",
        "SELECT lambda_sync('Nowhere', '1')",
        "SELECT lambda_sync('Raise', '{}')",
    ):
        with pytest.raises(mysql.connector.Error):
            component.query(sql)
    with contextlib.closing(component.connect()) as connection:
        execute(connection, "SET SESSION lambda_udf.timeout_ms = 100")
        with pytest.raises(mysql.connector.Error):
            execute(connection, SLEEP)
        execute(connection, "SET SESSION lambda_udf.mode = 'skip'")
        execute(connection, CALL)
        execute(connection, "SET SESSION lambda_udf.mode = 'deny'")
        with pytest.raises(mysql.connector.Error):
            execute(connection, CALL)
    after = status(component)
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    time_us, longest = changed.pop("call_time_us"), after["call_time_max_us"]
    changed.pop("call_time_max_us", None)
    assert time_us >= 100_000
    assert longest >= 100_000
    # Without a channel from an earlier test one is opened; the timeout closes the one that it used.
    changed.pop("connections", None)
    changed.pop("connections_opened", None)
    raised = len("{}")
    assert changed.pop("bytes_in") >= len("102030")
    assert changed == {
        "calls_sync": 3 + 4 + 3,
        "calls_async": 1,
        "calls_skipped": 1,
        "bytes_out": len("102030") + len("[1, 2]") + len("1") + len("1") + raised + len('{"seconds": 30}'),
        "errors_argument": 2,
        "errors_api": 1,
        "errors_function": 1,
        "errors_timeout": 1,
        "errors_denied": 1,
    }


def test_a_refused_call_and_a_killed_one_are_counted_by_their_kind(component: Stack) -> None:
    component.query("CREATE USER app@localhost")
    before = status(component)
    app = component.connect(user="app", database=None)
    with contextlib.closing(app), pytest.raises(mysql.connector.Error):
        execute(app, CALL)
    component.query("DROP USER app@localhost")
    with pytest.raises(mysql.connector.Error):
        component.query(SLEEP.replace("SELECT", "SELECT /*+ MAX_EXECUTION_TIME(100) */"))
    with contextlib.closing(component.connect()) as connection, ThreadPoolExecutor(1) as pool:
        running = pool.submit(execute, connection, SLEEP)
        wait_until(lambda: status(component)["in_flight"] == 1, what="a call in flight")
        component.query(f"KILL QUERY {connection.connection_id}")
        assert isinstance(running.exception(), mysql.connector.Error)
    after = status(component)
    kinds = ("errors_privilege", "errors_query_time", "errors_killed")
    assert [after[kind] - before[kind] for kind in kinds] == [1, 1, 1]
    assert after["in_flight"] == 0


# ---- coming and going ----


def test_uninstall_leaves_nothing(component: Stack) -> None:
    component.value(CALL)
    assert _connections(component.sidecar.socket) >= 1
    component.query(UNINSTALL)
    assert variables(component) == {}
    assert status(component) == {}
    assert component.query("SELECT * FROM mysql.component WHERE component_urn LIKE '%lambda_udf'") == []
    assert error_of(component, "GRANT INVOKE_LAMBDA ON *.* TO root@localhost")[0] == 1149
    wait_until(lambda: _connections(component.sidecar.socket) == 0, what="every connection closed")


def _connections(socket: Path) -> int:
    """How many connections to a Unix socket are open now (proc(5): state 03 is connected)."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    # The kernel shows the name that the sidecar bound, before it renamed the file: sidecar.sock.1a2b3c4d.
    return len([line for line in lines if line[-1].rpartition(".")[0] == str(socket) and line[5] == "03"])


def test_uninstall_closes_the_idle_connections(component: Stack) -> None:
    component.value(CALL)
    assert status(component)["connections"] >= 1
    component.query(UNINSTALL)
    component.query(INSTALL)
    assert status(component)["connections"] == 0


def test_uninstall_is_refused_while_a_call_is_in_flight_and_all_stays_usable(component: Stack) -> None:
    with contextlib.closing(component.connect()) as connection, ThreadPoolExecutor(1) as pool:
        running = pool.submit(execute, connection, SLEEP)
        wait_until(lambda: status(component)["in_flight"] == 1, what="a call in flight")
        assert error_of(component, UNINSTALL)[0] == UNINSTALL_REFUSED
        assert len(variables(component)) == len(VARIABLES)
        assert component.value(CALL) == "1"
        component.query(f"KILL QUERY {connection.connection_id}")
        assert isinstance(running.exception(), mysql.connector.Error)
    component.query(UNINSTALL)


def test_installing_twice_is_refused_and_harmless(component: Stack) -> None:
    assert error_of(component, INSTALL)[0] == 3529
    assert component.value(CALL) == "1"


def test_it_can_come_and_go_200_times_beside_8_calling_sessions(stack: Stack, library: Library) -> None:
    stack.query("CREATE USER app@localhost")
    stop = threading.Event()
    answers: list[str] = []
    errors: set[tuple[int, str]] = set()

    def session() -> None:
        with contextlib.closing(stack.connect(user="app", database=None)) as connection:
            while not stop.is_set():
                try:
                    ((answer,),) = execute(connection, CALL)
                    answers.append(answer)
                except mysql.connector.Error as error:
                    errors.add((error.errno, UNINSTALLED if UNINSTALLED in (error.msg or "") else ""))

    refused = 0
    sizes: list[int] = []
    with installed_component(stack), ThreadPoolExecutor(8) as pool:
        stack.query("GRANT INVOKE_LAMBDA ON *.* TO app@localhost")
        sessions = [pool.submit(session) for _ in range(8)]
        try:
            with contextlib.closing(stack.connect()) as connection:
                for _ in range(ROUNDS):
                    refused += _until_done(connection, UNINSTALL)
                    execute(connection, INSTALL)
                    sizes.append(_resident_kb(stack.mysqld.pid))
            mark = len(answers)
            wait_until(lambda: len(answers) > mark + 50, what="calls after the last INSTALL")
        finally:
            stop.set()
        for each in sessions:
            each.result()
    stack.query("DROP USER app@localhost")
    assert errors <= {(1227, ""), (3200, UNINSTALLED)}, errors
    assert set(answers) == {"1"}
    assert stack.mysqld.running
    assert refused < ROUNDS
    if library is Library.PLAIN:  # the sanitizers keep freed memory on purpose
        assert sizes[-1] - sizes[ROUNDS // 2] <= GROWTH_KB


def _until_done(connection: object, sql: str) -> int:
    """Repeats a statement while it is refused for calls in flight; how often it was."""
    for refused in range(1000):
        try:
            execute(connection, sql)  # type: ignore[arg-type]  # a MySQLConnectionAbstract
        except mysql.connector.Error as error:
            assert error.errno == UNINSTALL_REFUSED, error
        else:
            return refused
    raise AssertionError(f"refused for ever: {sql}")


def _resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")

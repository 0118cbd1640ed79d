"""A statement's trace, from the query attribute that its client sends to the header that the endpoint sees.

A real mysqld and sidecar before a scripted Lambda. Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import datetime
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mysql.connector
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.pure.test_trace import GOOD, MALFORMED, TRACE_ID
from tests.sidecar.test_traces import HEADER, OTHER, OTHER_HEADER
from tests.support.checkout import ROOT
from tests.support.component import installed_component
from tests.support.lambda_endpoint import Endpoint, Handler, lambda_endpoint
from tests.support.stack import SANITIZER_REPORTS, Library, Stack, execute, start_stack

SYNC = "SELECT lambda_sync('f', '1')"
WITHOUT, ENDING = None, f" (trace {TRACE_ID})"


@dataclass
class Function:
    """Answers what each invocation type and contract asks for; "fail…" is refused with that text, "hang" never answered."""

    ends: threading.Event

    def __call__(self, handler: Handler) -> None:
        event = json.loads(handler.body)
        if handler.headers["X-Amz-Invocation-Type"] == "Event":
            handler.reply(202)
        elif event == "hang":
            self.ends.wait(60)
            handler.close_connection = True
        elif isinstance(event, str) and event.startswith("fail"):
            message = json.dumps({"message": event}, ensure_ascii=False).encode()
            handler.reply(400, message, x_amzn_ErrorType="InvalidParameterValueException")
        elif isinstance(event, dict) and "arguments" in event:
            count = event["num_records"]
            handler.reply(
                200, json.dumps({"success": True, "num_records": count, "results": [1] * count}).encode()
            )
        else:
            handler.reply(200, b'"done"')


@dataclass
class Traced:
    stack: Stack
    endpoint: Endpoint

    def headers(self) -> list[str | None]:
        """X-Amzn-Trace-Id of the requests since the last look."""
        with self.endpoint.lock:
            taken, self.endpoint.headers[:] = list(self.endpoint.headers), []
        return [each.get("x-amzn-trace-id") for each in taken]

    @contextlib.contextmanager
    def session(self, **options: Any) -> Iterator[MySQLConnectionAbstract]:
        with contextlib.closing(self.stack.connect(**options)) as connection:
            yield connection


@pytest.fixture(scope="module")
def shared(library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    ends = threading.Event()
    with lambda_endpoint(Function(ends)) as endpoint:
        folder = tmp_path_factory.mktemp(f"traces-{library.value}")
        with start_stack(mysql_home, folder, library, endpoint_url=endpoint.url) as stack:
            yield Traced(stack, endpoint)
            ends.set()
            log = stack.mysqld.log_text()
    reports = [line for line in log.splitlines() if any(mark in line for mark in SANITIZER_REPORTS)]
    assert not reports, "\n".join(reports)


@pytest.fixture
def traced(shared: Traced) -> Traced:
    shared.stack.create_database()
    shared.headers()
    return shared


def run(
    connection: MySQLConnectionAbstract,
    sql: str,
    parameters: tuple[Any, ...] = (),
    *,
    prepared: bool = False,
    **attributes: Any,
) -> list[Any]:
    """One statement with these query attributes, by default a good traceparent."""
    attributes = attributes or {"traceparent": GOOD}
    with contextlib.closing(connection.cursor(prepared=prepared)) as cursor:
        for name, value in attributes.items():
            cursor.add_attribute(name, value)
        try:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []
        finally:
            cursor.clear_attributes()


@pytest.mark.parametrize(
    ("sql", "calls"),
    [
        (SYNC, 1),
        ("SELECT lambda_async('f', '1')", 1),
        ("SELECT lambda_invoke('f', '1')", 1),
        ("SELECT lambda_invoke('f', '1', JSON_OBJECT('invocation_type', 'Event'))", 1),
        ("SELECT lambda_sync('f', n) FROM (VALUES ROW(1), ROW(2), ROW(3)) AS v (n)", 3),
        ("SELECT lambda_map('f', n) FROM (VALUES ROW(1), ROW(2), ROW(3)) AS v (n)", 3),
        ("SELECT lambda_batch(JSON_OBJECT('function', 'f', 'batch_rows', 2), n) FROM (VALUES ROW(1), ROW(2), ROW(3)) AS v (n)", 2),
        ("DO lambda_sync('f', '1')", 1),
        ("SET @a = lambda_sync('f', '1')", 1),
        ("CREATE TABLE t SELECT lambda_sync('f', '1') AS a", 1),
        ("EXPLAIN ANALYZE SELECT lambda_sync('f', '1')", 1),
    ],
)  # fmt: skip
def test_the_query_attribute_becomes_the_header_that_the_endpoint_sees(
    traced: Traced, sql: str, calls: int
) -> None:
    with traced.session() as connection:
        run(connection, sql)
    assert traced.headers() == [HEADER] * calls


def test_a_prepared_statement_has_the_trace_of_each_execution(traced: Traced) -> None:
    with traced.session() as connection, contextlib.closing(connection.cursor(prepared=True)) as cursor:
        for value in (GOOD, OTHER, None, GOOD):
            cursor.clear_attributes()
            if value is not None:
                cursor.add_attribute("traceparent", value)
            cursor.execute("SELECT lambda_sync('f', ?)", ("1",))
            cursor.fetchall()
    assert traced.headers() == [HEADER, OTHER_HEADER, WITHOUT, HEADER]


def test_a_statement_that_sql_prepared_has_the_trace_of_its_execute(traced: Traced) -> None:
    with traced.session() as connection:
        run(connection, "PREPARE p FROM 'SELECT lambda_sync(''f'', ?)'")
        execute(connection, "SET @a = '1'")
        run(connection, "EXECUTE p USING @a", traceparent=OTHER)
        execute(connection, "EXECUTE p USING @a")
    assert traced.headers() == [OTHER_HEADER, WITHOUT]


def test_a_trigger_has_the_trace_of_the_statement_that_fires_it(traced: Traced) -> None:
    with traced.session() as connection:
        execute(connection, "CREATE TABLE t (a INT, answer TEXT)")
        execute(
            connection,
            "CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.answer = lambda_sync('f', NEW.a)",
        )
        run(connection, "INSERT INTO t (a) VALUES (1), (2)")
        run(connection, "INSERT INTO t (a) VALUES (3)", traceparent=OTHER)
        execute(connection, "INSERT INTO t (a) VALUES (4)")
    assert traced.headers() == [HEADER, HEADER, OTHER_HEADER, WITHOUT]


def test_every_statement_of_a_procedure_and_of_what_it_calls_has_the_trace_of_its_call(
    traced: Traced,
) -> None:
    with traced.session() as connection:
        execute(connection, "CREATE TABLE t (a INT)")
        execute(connection, "CREATE TRIGGER r AFTER INSERT ON t FOR EACH ROW DO lambda_sync('f', '1')")
        execute(connection, "CREATE FUNCTION g() RETURNS TEXT READS SQL DATA RETURN lambda_sync('f', '1')")
        execute(
            connection,
            """CREATE PROCEDURE p() BEGIN
                DECLARE i INT DEFAULT 0;
                DECLARE answer TEXT;
                WHILE i < 2 DO
                  SET answer = lambda_sync('f', i), i = i + 1;
                END WHILE;
                SELECT lambda_map('f', n) INTO answer FROM (VALUES ROW(1), ROW(2)) AS v (n);
                INSERT INTO t VALUES (1);
                SET answer = g();
              END""",
        )
        run(connection, "CALL p()")
        run(connection, "CALL p()", traceparent=OTHER)
        execute(connection, "CALL p()")
    assert traced.headers() == [HEADER] * 6 + [OTHER_HEADER] * 6 + [WITHOUT] * 6


def test_a_pooled_session_keeps_nothing_of_the_statement_before(traced: Traced) -> None:
    with traced.session() as connection:
        for _ in range(2):
            run(connection, SYNC)
            execute(connection, SYNC)
        run(connection, SYNC)
        connection.cmd_reset_connection()
        execute(connection, SYNC)
    assert traced.headers() == [HEADER, WITHOUT, HEADER, WITHOUT, HEADER, WITHOUT]


def test_sessions_side_by_side_have_each_its_own_trace(traced: Traced) -> None:
    traces = [f"00-{i:032x}-{i:016x}-01" for i in range(1, 9)]

    def work(traceparent: str) -> None:
        with traced.session() as connection:
            for _ in range(5):
                run(connection, SYNC, traceparent=traceparent)

    threads = [threading.Thread(target=work, args=(each,)) for each in traces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [f"Root=1-00000000-{i:024x};Parent={i:016x};Sampled=1" for i in range(1, 9)]
    assert sorted(map(str, traced.headers())) == sorted(expected * 5)


def test_what_is_not_a_traceparent_is_ignored_and_never_an_error(traced: Traced) -> None:
    others: list[Any] = [17, -1, 2**63, 1.5, b"\xff" * 55, "é" * 55, "😀" * 27]
    others += [
        datetime.date(2026, 1, 2),
        datetime.datetime(2026, 1, 2, 3, 4, 5, 6),
        datetime.timedelta(hours=25),
    ]
    others += ["x" * 1_000_000]
    with traced.session() as connection:
        for value in [*MALFORMED, *others]:
            assert run(connection, SYNC, traceparent=value) == [('"done"',)], value
        run(connection, SYNC, other=GOOD, traceparents=OTHER)
        assert traced.headers() == [WITHOUT] * (len(MALFORMED) + len(others) + 1)
        # The server hands over what is before a NUL, or before bytes that are no character.
        for value in (GOOD + "\0", GOOD.encode() + b"\xff"):
            run(connection, SYNC, traceparent=value)
        assert traced.headers() == [HEADER, HEADER]


def test_it_counts_among_other_attributes_and_as_bytes_and_under_any_character_set(traced: Traced) -> None:
    with traced.session() as connection:
        run(connection, SYNC, a=1, b="é", traceparent=GOOD, tracestate="k=v")
        run(connection, SYNC, traceparent=GOOD.encode())
        for charset in ("latin1", "gbk", "sjis", "ascii"):
            connection.set_charset_collation(charset)
            run(connection, SYNC)
    assert traced.headers() == [HEADER] * 6


# ---- what the user reads ----


def failing(connection: MySQLConnectionAbstract, sql: str, **attributes: Any) -> str:
    with pytest.raises(mysql.connector.Error) as raised:
        run(connection, sql, **attributes)
    return str(raised.value.msg)


@pytest.mark.parametrize(
    "sql",
    [
        """SELECT lambda_sync('f', '"fail"')""",
        "SELECT lambda_sync('f', 'not JSON')",
        "SELECT lambda_async('f', NULL)",
        """SELECT lambda_invoke('f', '"hang"', '{"timeout_ms": 100}')""",
        """SELECT lambda_map(JSON_OBJECT('function', 'f', 'timeout_ms', 100), '"hang"')""",
        "SELECT lambda_batch(JSON_OBJECT('function', 'no name'), 1)",
    ],
)
def test_the_error_of_a_statement_with_a_trace_ends_with_its_id(traced: Traced, sql: str) -> None:
    with traced.session() as connection:
        without = failing(connection, sql, other="x")
        assert failing(connection, sql) == without + ENDING


def test_errors_that_the_library_makes_by_itself_end_with_it_too(traced: Traced) -> None:
    hang = """SELECT lambda_sync('f', '"hang"')"""
    with installed_component(traced.stack), traced.session() as connection:
        execute(connection, "SET SESSION lambda_udf.timeout_ms = 200")
        assert failing(connection, hang) == f"lambda_sync UDF failed; timed out after 200 ms{ENDING}"
        execute(connection, "SET SESSION lambda_udf.mode = 'deny'")
        assert failing(connection, SYNC).endswith(f"denied, because lambda_udf.mode is 'deny'{ENDING}")
        execute(connection, "SET SESSION lambda_udf.mode = DEFAULT")
        execute(connection, "SET GLOBAL lambda_udf.socket = '/nowhere'")
        execute(connection, "SET SESSION lambda_udf.connect_timeout_ms = 1")
        unavailable = "sidecar unavailable: /nowhere: No such file or directory"
        assert failing(connection, SYNC) == f"lambda_sync UDF failed; {unavailable}{ENDING}"
        assert failing(connection, "SELECT lambda_ping()") == f"lambda_ping UDF failed; {unavailable}"


@pytest.mark.parametrize("character", ["x", "é", "€"])
def test_a_long_error_is_cut_for_the_id_and_stays_utf_8(traced: Traced, character: str) -> None:
    with traced.session() as connection:
        text = failing(connection, f"""SELECT lambda_sync('f', '"fail {character * 600}"')""")
    assert text.endswith(character + ENDING)
    assert "?" not in text
    assert len(text.encode()) <= 511


def test_a_kill_stays_mysqls_own_error(traced: Traced) -> None:
    with traced.session() as connection:
        sql = """SELECT /*+ MAX_EXECUTION_TIME(200) */ lambda_sync('f', '"hang"')"""
        with pytest.raises(mysql.connector.Error) as raised:
            run(connection, sql)
    assert (raised.value.errno, "trace" in str(raised.value)) == (3024, False)


def test_errors_in_the_places_of_rows_do_not_repeat_the_trace(traced: Traced) -> None:
    with traced.session() as connection:
        options = json.dumps({"function": "f", "function_error": "return"})
        ((array,),) = run(connection, f"""SELECT lambda_map('{options}', '"fail"')""")
    assert json.loads(array)[0]["error"]["message"].endswith("InvalidParameterValueException: fail")
    assert traced.headers() == [HEADER]


# ---- where a client cannot send attributes ----


def test_lambda_invoke_takes_a_trace_as_an_option_and_ignores_what_is_none(traced: Traced) -> None:
    sql = "SELECT lambda_invoke('f', '1', JSON_OBJECT('traceparent', @t))"
    with traced.session() as connection:
        execute(connection, sql)
        execute(connection, f"SET @t = '{GOOD}'")
        execute(connection, sql)
        run(connection, sql, traceparent=OTHER)
        execute(connection, "SET @t = 'nonsense'")
        execute(connection, sql)
        run(connection, sql, traceparent=OTHER)
    assert traced.headers() == [WITHOUT, HEADER, HEADER, WITHOUT, OTHER_HEADER]


def test_the_error_of_a_call_with_the_option_ends_with_its_trace_and_not_with_the_statements(
    traced: Traced,
) -> None:
    other = f" (trace {OTHER[3:35]})"
    twice = f'{{"traceparent": "{OTHER}", "traceparent": "{GOOD}"}}'
    with traced.session() as connection:
        for payload in ('"fail"', "{", None):
            for options, attribute, ending in (
                (json.dumps({"traceparent": GOOD}), "none", ENDING),
                (json.dumps({"traceparent": GOOD, "stream": True}), OTHER, ENDING),
                (json.dumps({"traceparent": GOOD, "unknown": 1}), OTHER, ENDING),
                (twice, "none", ENDING),
                ('{"traceparent": "nonsense"}', OTHER, other),
                ('{"traceparent": null}', OTHER, other),
                (f'{{"traceparent": "{GOOD}"', OTHER, other),
                (None, OTHER, other),
                ('{"traceparent": "nonsense"}', "none", ""),
            ):
                with pytest.raises(mysql.connector.Error) as failed:
                    run(
                        connection,
                        "SELECT lambda_invoke('f', %s, %s)",
                        (payload, options),
                        traceparent=attribute,
                    )
                assert str(failed.value.msg).partition(" (trace ")[1:] == ending.partition(" (trace ")[1:]


def test_the_mysql_client_sends_it_too(traced: Traced) -> None:
    script = (
        f"query_attributes traceparent {GOOD}\nSELECT lambda_sync('f', '1');\nSELECT lambda_sync('f', '1');\n"
    )
    done = traced.stack.mysqld.client("-N", "--commands", input=script)
    assert (done.returncode, done.stdout) == (0, '"done"\n"done"\n'), done.stderr
    assert traced.headers() == [HEADER, WITHOUT]


def test_mysql_connectors_own_opentelemetry_support_sends_it_to_a_community_server(traced: Traced) -> None:
    """And says that the trace is not sampled, whether it is or not."""
    program = ROOT / "tests/support/traced_application.py"
    done = subprocess.run(
        [sys.executable, program, traced.stack.mysqld.socket, SYNC],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sent = json.loads(done.stdout)
    root, parent = f"1-{sent['trace'][:8]}-{sent['trace'][8:]}", sent["spans"]["SELECT"]
    assert traced.headers() == [f"Root={root};Parent={parent};Sampled=0"]

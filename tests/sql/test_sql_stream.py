"""lambda_invoke's option stream by SQL: results longer than any message, their limits, and what ends them midway.

A real mysqld and sidecar in front of an endpoint that streams. Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import hashlib
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mysql.connector
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.component import INSTALL, installed_component, status
from tests.support.lambda_endpoint import Endpoint, Handler, lambda_endpoint
from tests.support.stack import SANITIZER_REPORTS, Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

from lambda_sidecar.local.event_stream import CONTENT_TYPE, invoke_complete, payload_chunks

MB = 1_000_000
CALL = """lambda_invoke('f', %s, '{"stream": true}')"""
# KILL and the end of a client are seen within 100 ms; the rest is for mysqld, and a machine that does other things.
SEEN_SECONDS = 0.1 + 0.9
DEFAULT_MAX = 64 * 1024 * 1024


def body_of(length: int, seed: int = 1) -> bytes:
    """ASCII that needs no escape in JSON, of which no stretch is like the one before."""
    block = hashlib.shake_128(bytes([seed])).hexdigest(32_768).encode()
    return (block * (length // len(block) + 1))[:length]


@dataclass
class Streaming:
    """What the endpoint saw: how many answers it began, and how many of its clients went before the end."""

    began: int = 0
    closed: int = 0
    whole: int = 0
    paths: list[str] = field(default_factory=list)

    def __call__(self, handler: Handler) -> None:
        """{"bytes": N, "then": …}: so many bytes, and then the end, an error, a pause, or more without end."""
        self.began += 1
        self.paths.append(handler.path)
        asked = json.loads(handler.body or b"{}")
        if "response-streaming-invocations" not in handler.path:
            handler.reply(200, json.dumps({"plain": "x" * asked.get("bytes", 1)}).encode())
            self.whole += 1
            return
        try:
            self._answer(handler, asked)
            self.whole += 1
        except OSError:
            self.closed += 1
            handler.close_connection = True

    def _answer(self, handler: Handler, asked: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", CONTENT_TYPE)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("x-amzn-RequestId", "r-1")
        handler.end_headers()
        for frame in payload_chunks(body_of(asked.get("bytes", 0), asked.get("seed", 1))):
            self._chunk(handler, frame)
        then = asked.get("then", "end")
        if then == "hold":
            self._hold(handler)
        while then == "more":
            for frame in payload_chunks(b"x" * asked.get("step", 1000)):
                self._chunk(handler, frame)
        members = {"ErrorCode": "Unhandled", "ErrorDetails": "why"} if then == "error" else {}
        self._chunk(handler, invoke_complete(members))
        handler.wfile.write(b"0\r\n\r\n")

    def _chunk(self, handler: Handler, frame: bytes) -> None:
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(frame), frame))

    def _hold(self, handler: Handler) -> None:
        """Until its client goes, or a minute has passed."""
        readable, _, _ = select.select([handler.connection], [], [], 60)
        if readable and not handler.connection.recv(1, socket.MSG_PEEK):
            raise ConnectionError

    def all_over(self) -> bool:
        return self.began == self.closed + self.whole


@dataclass
class Streams:
    stack: Stack
    endpoint: Endpoint
    seen: Streaming

    def call(self, connection: MySQLConnectionAbstract, **asked: Any) -> Any:
        """The document."""
        ((document,),) = execute(connection, f"SELECT {CALL}", (json.dumps(asked),))
        return json.loads(document)

    @contextlib.contextmanager
    def session(self) -> Iterator[MySQLConnectionAbstract]:
        with contextlib.closing(self.stack.connect()) as connection:
            yield connection

    def error(self, connection: MySQLConnectionAbstract, sql: str, **asked: Any) -> mysql.connector.Error:
        with pytest.raises(mysql.connector.Error) as raised:
            execute(connection, sql, (json.dumps(asked),))
        return raised.value

    def closes(self, before: int) -> None:
        """The endpoint sees that its client has gone."""
        wait_until(lambda: self.seen.closed == before + 1, what="the endpoint's connection closes")


@pytest.fixture(scope="module")
def _streams(
    library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Streams]:
    directory = tmp_path_factory.mktemp(f"streams-{library.value}")
    seen = Streaming()
    with (
        lambda_endpoint(seen) as endpoint,
        start_stack(
            mysql_home,
            directory,
            library,
            options=("--max-allowed-packet=256M",),
            endpoint_url=endpoint.url,
        ) as stack,
    ):
        yield Streams(stack, endpoint, seen)
        log = stack.mysqld.log_text()
    reports = [line for line in log.splitlines() if any(mark in line for mark in SANITIZER_REPORTS)]
    assert not reports, "\n".join(reports)


@pytest.fixture
def streams(_streams: Streams) -> Iterator[Streams]:
    """With the component; each test begins with a new database and an endpoint with nothing under way."""
    wait_until(_streams.seen.all_over)
    _streams.stack.create_database()
    with installed_component(_streams.stack):
        yield _streams


def high_water(streams: Streams) -> int:
    """Bytes of the sidecar's VmHWM (proc(5))."""
    text = Path(f"/proc/{streams.stack.sidecar.pid}/status").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


# ---- long results ----


def test_a_result_of_150_MB_comes_whole_and_the_sidecar_never_holds_it(
    streams: Streams, library: Library
) -> None:
    """20 MB under sanitizers, which is more than three messages."""
    length = (150 if library is Library.PLAIN else 20) * MB
    streams.stack.query("SET GLOBAL lambda_udf.result_max_bytes = 200000000")
    with streams.session() as connection:
        streams.call(connection, bytes=100_000)
        before = high_water(streams)
        counted = status(streams.stack)["bytes_in"]
        ((digest, size),) = execute(
            connection,
            "SELECT SHA2(answer, 256), LENGTH(answer) FROM"
            f" (SELECT JSON_UNQUOTE(JSON_EXTRACT({CALL}, '$.Payload')) AS answer) AS one",
            (json.dumps({"bytes": length}),),
        )
    assert (digest, size) == (hashlib.sha256(body_of(length)).hexdigest(), length)
    assert high_water(streams) - before < 24 * 1024 * 1024
    assert length < status(streams.stack)["bytes_in"] - counted < length + 1000


def test_the_document_has_what_the_function_said_in_parts(streams: Streams) -> None:
    with streams.session() as connection:
        document = streams.call(connection, bytes=7 * MB)
        assert document["Payload"].encode() == body_of(7 * MB)
        assert document["StatusCode"] == 200
        failed = streams.call(connection, bytes=100, then="error")
        assert failed["Payload"].encode() == body_of(100)
        assert (failed["FunctionError"], failed["ErrorDetails"]) == ("Unhandled", "why")
        assert streams.call(connection, bytes=0)["Payload"] == ""


def test_without_the_option_an_answer_is_as_ever(streams: Streams) -> None:
    streams.stack.query("SET GLOBAL lambda_udf.result_max_bytes = 1")
    for sql in (
        "lambda_invoke('f', %s)",
        "lambda_invoke('f', %s, '{\"stream\": false}')",
        "lambda_sync('f', %s)",
    ):
        with streams.session() as connection:
            ((document,),) = execute(connection, f"SELECT {sql}", ('{"bytes": 5000000}',))
        assert len(document) > 5 * MB
    assert all("response-streaming" not in path for path in streams.seen.paths[-3:])


# ---- where a result goes ----


LONG = 17 * MB  # more than a MEDIUMTEXT holds


def assert_stored(streams: Streams, table: str, lengths: list[int]) -> None:
    rows = streams.stack.query(
        f"SELECT JSON_UNQUOTE(JSON_EXTRACT(answer, '$.Payload')) FROM {table} ORDER BY LENGTH(answer) DESC"
    )
    assert [len(text) for (text,) in rows] == lengths
    for (text,), length in zip(rows, lengths, strict=True):
        assert (text if isinstance(text, bytes | bytearray) else text.encode()) == body_of(length)


def test_a_long_result_goes_into_a_LONGTEXT_by_INSERT_SELECT_and_its_neighbour_too(streams: Streams) -> None:
    streams.stack.query("CREATE TABLE test.ids (n INT)")
    streams.stack.query(f"INSERT INTO test.ids VALUES ({LONG}), (10)")
    streams.stack.query("CREATE TABLE test.stored (answer LONGTEXT)")
    streams.stack.query(
        "INSERT INTO test.stored SELECT lambda_invoke('f', JSON_OBJECT('bytes', n), '{\"stream\": true}')"
        " FROM test.ids ORDER BY n DESC"
    )
    assert_stored(streams, "test.stored", [LONG, 10])


def test_CREATE_TABLE_AS_SELECT_makes_a_LONGTEXT_of_a_result(streams: Streams) -> None:
    streams.stack.query(f"CREATE TABLE test.made AS SELECT {CALL} AS answer", (json.dumps({"bytes": LONG}),))
    assert streams.stack.value(
        "SELECT COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_NAME = 'made'"
    ) == ("longtext")
    assert_stored(streams, "test.made", [LONG])


THROUGH: dict[str, str] = {
    "a union": f"SELECT LENGTH(a), a LIKE '%%}}' FROM (SELECT {CALL} AS a UNION ALL SELECT 'x') AS u LIMIT 1",
    "a distinct union": f"SELECT LENGTH(a), a LIKE '%%}}' FROM (SELECT {CALL} AS a UNION SELECT 'x') AS u"
    " ORDER BY LENGTH(a) DESC LIMIT 1",
    "a derived table": f"SELECT LENGTH(a), a LIKE '%%}}' FROM (SELECT {CALL} AS a LIMIT 1) AS d",
    "a common table expression": f"WITH c AS (SELECT {CALL} AS a LIMIT 1) SELECT LENGTH(a), a LIKE '%%}}' FROM c",
    "an expression": f"SELECT LENGTH(a) - 1, a LIKE '%%}}y' FROM (SELECT CONCAT({CALL}, 'y') AS a LIMIT 1) AS d",
    "a group": f"SELECT LENGTH(MAX(a)), MAX(a) LIKE '%%}}' FROM (SELECT {CALL} AS a LIMIT 1) AS d GROUP BY LEFT(a, 9)",
}


@pytest.mark.parametrize("name", THROUGH)
def test_no_byte_of_a_long_result_is_lost_in(streams: Streams, name: str) -> None:
    with streams.session() as connection:
        ((whole,),) = execute(connection, f"SELECT LENGTH({CALL})", (json.dumps({"bytes": LONG}),))
        ((length, ends),) = execute(connection, THROUGH[name], (json.dumps({"bytes": LONG}),))
    assert whole > LONG
    assert (length, ends) == (whole, 1)


def test_a_procedure_and_a_prepared_statement_take_long_results(streams: Streams) -> None:
    streams.stack.query(
        "CREATE PROCEDURE test.long_one(n INT, OUT digest TEXT) BEGIN DECLARE answer LONGTEXT;"
        " SET answer = lambda_invoke('f', JSON_OBJECT('bytes', n), '{\"stream\": true}');"
        " SET digest = SHA2(JSON_UNQUOTE(JSON_EXTRACT(answer, '$.Payload')), 256); END"
    )
    expected = hashlib.sha256(body_of(LONG)).hexdigest()
    with streams.session() as connection:
        execute(connection, f"CALL test.long_one({LONG}, @digest)")
        assert execute(connection, "SELECT @digest") == [(expected,)]
        execute(
            connection,
            "PREPARE s FROM 'SELECT SHA2(JSON_UNQUOTE(JSON_EXTRACT("
            "lambda_invoke(''f'', ?, ''{\"stream\": true}''), ''$.Payload'')), 256)'",
        )
        execute(connection, f"SET @payload = '{{\"bytes\": {LONG}}}', @small = '{{\"bytes\": 10}}'")
        assert execute(connection, "EXECUTE s USING @payload") == [(expected,)]
        assert execute(connection, "EXECUTE s USING @small") == [(hashlib.sha256(body_of(10)).hexdigest(),)]


# ---- the most that there may be ----


def too_long(most: int) -> str:
    return (
        f"lambda_invoke UDF failed; Lambda API returned error: ResponseTooLarge: the function's answer has more than {most} bytes as a document"
        " (lambda_udf.result_max_bytes, max_allowed_packet)"
    )


def assert_ends_at(streams: Streams, connection: MySQLConnectionAbstract, most: int) -> None:
    """Beyond so many bytes a stream that has no end ends, and the next statement works."""
    closed = streams.seen.closed
    error = streams.error(connection, f"SELECT {CALL}", bytes=0, then="more", step=60_000)
    assert (error.errno, error.msg) == (3200, too_long(most))
    streams.closes(closed)
    assert streams.call(connection, bytes=10)["Payload"].encode() == body_of(10)


def test_beyond_the_limit_a_statement_fails_and_the_stream_is_closed(streams: Streams) -> None:
    with streams.session() as connection:
        streams.stack.query("SET GLOBAL lambda_udf.result_max_bytes = 3000000")
        assert_ends_at(streams, connection, 3_000_000)


def test_a_document_may_have_just_as_many_bytes_as_the_limit(streams: Streams) -> None:
    with streams.session() as connection:
        ((length,),) = execute(connection, f"SELECT LENGTH({CALL})", (json.dumps({"bytes": 100_000}),))
        streams.stack.query(f"SET GLOBAL lambda_udf.result_max_bytes = {length}")
        assert len(streams.call(connection, bytes=100_000)["Payload"]) == 100_000
        streams.stack.query(f"SET GLOBAL lambda_udf.result_max_bytes = {length - 1}")
        assert streams.error(connection, f"SELECT {CALL}", bytes=100_000).msg == too_long(length - 1)


def test_the_default_limit_is_64_MB(streams: Streams) -> None:
    with streams.session() as connection:
        assert_ends_at(streams, connection, DEFAULT_MAX)


def test_max_allowed_packet_is_a_limit_too(streams: Streams) -> None:
    streams.stack.query("SET GLOBAL max_allowed_packet = 2097152")
    try:
        with streams.session() as connection:
            assert_ends_at(streams, connection, 2_097_152)
    finally:
        streams.stack.query("SET GLOBAL max_allowed_packet = 268435456")


def test_a_session_can_lower_the_limit_but_not_raise_it(streams: Streams) -> None:
    streams.stack.query("SET GLOBAL lambda_udf.result_max_bytes = 2000000")
    with streams.session() as connection:
        execute(connection, "SET SESSION lambda_udf.result_max_bytes = 1000000")
        assert_ends_at(streams, connection, 1_000_000)
        execute(connection, "SET SESSION lambda_udf.result_max_bytes = 3000000")
        assert_ends_at(streams, connection, 2_000_000)


def test_without_the_component_the_environment_has_the_limit(streams: Streams) -> None:
    streams.stack.query("UNINSTALL COMPONENT 'file://lambda_udf'")
    environment = streams.stack.mysqld.environment
    environment["LAMBDA_UDF_RESULT_MAX_BYTES"] = "1500000"
    streams.stack.mysqld.restart()
    try:
        with streams.session() as connection:
            assert_ends_at(streams, connection, 1_500_000)
        streams.stack.query(INSTALL)
        assert streams.stack.value("SELECT @@GLOBAL.lambda_udf.result_max_bytes") == 1_500_000
        streams.stack.query("UNINSTALL COMPONENT 'file://lambda_udf'")
    finally:
        environment["LAMBDA_UDF_RESULT_MAX_BYTES"] = None
        streams.stack.mysqld.restart()


# ---- what ends a stream midway ----


def midway(
    streams: Streams, act: Callable[[MySQLConnectionAbstract], None], **asked: Any
) -> tuple[float, Any]:
    """Acts on a session whose stream is under way: seconds until the statement ended, and its error, if it has one."""
    began, closed = streams.seen.began, streams.seen.closed
    outcome: list[Any] = []
    connection = streams.stack.connect()

    def run() -> None:
        try:
            execute(connection, f"SELECT LENGTH({CALL})", (json.dumps(asked),))
            outcome.append(None)
        except mysql.connector.Error as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: streams.seen.began == began + 1)
    wait_until(lambda: status(streams.stack)["in_flight"] == 1)
    at = time.monotonic()
    act(connection)
    wait_until(lambda: status(streams.stack)["in_flight"] == 0)
    seconds = time.monotonic() - at
    streams.closes(closed)
    thread.join()
    with contextlib.suppress(mysql.connector.Error):
        connection.close()
    return seconds, outcome[0]


MIDWAY = {
    "waits": {"bytes": 1_000_000, "then": "hold"},
    "flows": {"bytes": 0, "then": "more", "step": 20},
}


@pytest.fixture(params=MIDWAY)
def asked(request: pytest.FixtureRequest, streams: Streams) -> dict[str, Any]:
    """A stream that waits in its midst, or that has more and more."""
    streams.stack.query("SET GLOBAL lambda_udf.result_max_bytes = 1073741824")
    return dict(MIDWAY[request.param])


def kill(streams: Streams, victim: MySQLConnectionAbstract) -> None:
    streams.stack.query(f"KILL QUERY {victim.connection_id}")


def test_KILL_QUERY_ends_a_stream_at_once(streams: Streams, asked: dict[str, Any]) -> None:
    seconds, error = midway(streams, lambda victim: kill(streams, victim), **asked)
    assert error.errno == 1317
    assert seconds < SEEN_SECONDS


def test_a_client_that_is_dropped_ends_its_stream_at_once(streams: Streams, asked: dict[str, Any]) -> None:
    def drop(victim: MySQLConnectionAbstract) -> None:
        victim._socket.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]  # as a client that dies

    before = status(streams.stack)["errors_client_gone"]
    seconds, _ = midway(streams, drop, **asked)
    assert seconds < SEEN_SECONDS
    assert status(streams.stack)["errors_client_gone"] == before + 1


def test_max_execution_time_ends_a_stream(streams: Streams, asked: dict[str, Any]) -> None:
    closed = streams.seen.closed
    with streams.session() as connection:
        execute(connection, "SET SESSION max_execution_time = 500")
        at = time.monotonic()
        assert streams.error(connection, f"SELECT {CALL}", **asked).errno == 3024
        assert 0.5 <= time.monotonic() - at < 0.5 + SEEN_SECONDS
    streams.closes(closed)


def test_the_timeout_ends_a_stream(streams: Streams, asked: dict[str, Any]) -> None:
    closed = streams.seen.closed
    streams.stack.query("SET GLOBAL lambda_udf.timeout_ms = 500")
    with streams.session() as connection:
        at = time.monotonic()
        error = streams.error(connection, f"SELECT {CALL}", **asked)
        assert 0.4 <= time.monotonic() - at < 0.5 + SEEN_SECONDS
    assert "timed out" in str(error.msg)
    streams.closes(closed)


def test_a_sidecar_that_dies_midway_fails_the_statement_and_the_next_one_finds_the_new_sidecar(
    streams: Streams, asked: dict[str, Any]
) -> None:
    _, error = midway(streams, lambda _: streams.stack.sidecar.kill(), **asked)
    assert error.errno == 3200
    assert str(error.msg).startswith("lambda_invoke UDF failed; sidecar unavailable: ")
    assert str(error.msg).endswith("; the call was under way and may have been carried out")
    streams.stack.sidecar.start()
    with streams.session() as connection:
        assert streams.call(connection, bytes=10)["Payload"].encode() == body_of(10)


# ---- modes ----


def test_mode_skip_streams_nothing(streams: Streams) -> None:
    began = streams.seen.began
    with streams.session() as connection:
        execute(connection, "SET SESSION lambda_udf.mode = 'skip'")
        assert execute(connection, f"SELECT {CALL}", ('{"bytes": 10}',)) == [(None,)]
    assert streams.seen.began == began

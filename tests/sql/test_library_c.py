"""The library outside mysqld: its parsers under sanitizers, its calls from a program that is no mysqld,
and the file itself.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.pure.test_trace import GOOD, TRACE_ID
from tests.support.contract_server import Echo, serve
from tests.support.host_program import (
    ER_QUERY_INTERRUPTED,
    ER_QUERY_TIMEOUT,
    ER_SPECIFIC_ACCESS_DENIED_ERROR,
    ER_UDF_ERROR,
    ME_FATALERROR,
    NO_VIO,
    PLAIN,
    PROGRAMS,
    QUERY_KILLED,
    QUERY_TIMEOUT,
    SESSION_KILLED,
    VIO_LOCAL,
    VIO_PLUGIN,
    VIO_SOCKET,
    VIO_SSL,
    VIO_TCPIP,
    Concat,
    Host,
    build,
)
from tests.support.stack import CREATE_FUNCTIONS, local_config

from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess
from lambda_udf.v1 import invoker_pb2

# A KILL is seen within 100 ms (design); the rest is for a machine that does other things as well.
KILL_MS = 100 + 50
# What the library may use of nghttp2. All of it is in 1.43 (Oracle Linux 9, Ubuntu 22.04), by Debian's list of
# versions, /var/lib/dpkg/info/libnghttp2-14:amd64.symbols: the newest here is of 1.12. A new call goes in only
# after a look there.
NGHTTP2_1_43 = {
    "nghttp2_session_callbacks_del",
    "nghttp2_session_callbacks_new",
    "nghttp2_session_callbacks_set_on_data_chunk_recv_callback",
    "nghttp2_session_callbacks_set_on_frame_recv_callback",
    "nghttp2_session_callbacks_set_on_header_callback",
    "nghttp2_session_callbacks_set_on_stream_close_callback",
    "nghttp2_session_client_new",
    "nghttp2_session_del",
    "nghttp2_session_mem_recv",
    "nghttp2_session_mem_send",
    "nghttp2_session_resume_data",
    "nghttp2_session_set_local_window_size",
    "nghttp2_session_want_read",
    "nghttp2_session_want_write",
    "nghttp2_strerror",
    "nghttp2_submit_request",
    "nghttp2_submit_rst_stream",
    "nghttp2_submit_settings",
}


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    build()


def output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# ---- the parsers ----


@pytest.mark.parametrize(
    "program",
    [
        "grpc_wire_test",
        "contract_test",
        "failure_test",
        "explain_test",
        "journal_test",
        "waiting_test",
        "aggregate_test",
    ],
)
def test_the_unit_tests_in_c_pass_under_sanitizers(program: str) -> None:
    done = subprocess.run([PROGRAMS / program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- the contract, as Python's protobuf sees it ----


@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize(
    ("function", "payload", "user", "host", "schema", "options", "numbers"),
    [
        ("Echo", '{"n": 1}', "app", "%", "shop", "{}", (1, 900_000, 8, 86_400_000)),
        ("f", "", "", "", "", "", (2**64 - 1, 1, 0, 0)),
        (
            "arn:aws:lambda:us-east-1:123456789012:function:F",
            '"ä€😀"',
            "ü" * 32,
            "h" * 255,
            "ö" * 64,
            '{"client_context": {"ä": "€😀"}}',
            (128, 127, 2**64 - 1, 2**64 - 1),
        ),
        ("x" * 256, '"' + "y" * 100_000 + '"', "u", "h", "s", "o" * 16_384, (2**32, 2**32 - 1, 1, 128)),
    ],
    ids=["usual", "least", "wide characters", "long"],
)
def test_python_reads_the_request_that_c_writes(
    kind: int,
    function: str,
    payload: str,
    user: str,
    host: str,
    schema: str,
    options: str,
    numbers: tuple[int, ...],
) -> None:
    call_id, timeout_ms, connection_id, deadline_ms = numbers
    for_aggregates = [options[:64], schema, user, host] if kind == 1 else [""] * 4
    texts = [
        str(call_id),
        str(kind),
        str(timeout_ms),
        function,
        payload,
        user,
        host,
        schema,
        str(connection_id),
        str(deadline_ms),
        options,
        *for_aggregates,
        str(kind % 2),
        str(kind // 2),
        options[:64],
        schema,
        str(connection_id),
    ]
    written = subprocess.run([PROGRAMS / "contract_tool", "encode", *texts], check=True, capture_output=True)
    expected = invoker_pb2.InvokeRequest(
        call_id=call_id,
        function=function,
        invocation_type=invoker_pb2.InvocationType.Name(kind),
        timeout_ms=timeout_ms,
        caller=invoker_pb2.Caller(user=user, host=host, schema=schema, connection_id=connection_id),
        deadline_ms=deadline_ms,
        options_json=options,
        payload=payload.encode(),
        qualifier=for_aggregates[0],
        region=for_aggregates[1],
        role=for_aggregates[2],
        tenant_id=for_aggregates[3],
        answer_form=invoker_pb2.AnswerForm.Name(kind % 2),
        fails_together=kind != 1,
        durable_execution_name=options[:64],
        traceparent=schema,
        result_max=connection_id,
    )
    assert invoker_pb2.InvokeRequest.FromString(written.stdout) == expected


def decoded(response: invoker_pb2.InvokeResponse) -> dict[str, str]:
    done = subprocess.run(
        [PROGRAMS / "contract_tool", "decode"],
        input=response.SerializeToString(),
        capture_output=True,
        check=True,
    )
    return dict(line.split(" ", 1) for line in done.stdout.decode().splitlines())


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_384, 6_291_556])
def test_c_reads_the_result_that_python_writes(size: int) -> None:
    result = invoker_pb2.InvokeResult(
        status_code=200,
        request_id="8f1c-é",
        executed_version="$LATEST",
        function_error="Unhandled",
        function_error_text="Unhandled: ValueError: ä€😀",
        log_tail=b"\x00\xff log",
        payload=b"p" * size,
    )
    read = decoded(invoker_pb2.InvokeResponse(call_id=2**64 - 1, result=result))
    assert read["call_id"] == str(2**64 - 1)
    assert read["status_code"] == "200"
    for name in ("request_id", "executed_version", "function_error", "function_error_text"):
        assert bytes.fromhex(read[name]).decode() == getattr(result, name)
    assert bytes.fromhex(read["log_tail"]) == result.log_tail
    assert bytes.fromhex(read["payload"]) == result.payload


@pytest.mark.parametrize("kind", invoker_pb2.ErrorKind.values())
def test_c_reads_the_error_that_python_writes(kind: int) -> None:
    error = invoker_pb2.InvokeError(
        kind=invoker_pb2.ErrorKind.Name(kind),
        code="TooManyRequestsException",
        message="Rate exceeded €",
        request_id="id-1",
    )
    read = decoded(invoker_pb2.InvokeResponse(call_id=3, error=error))
    assert (read["call_id"], read["kind"]) == ("3", str(kind))
    for name in ("code", "message", "request_id"):
        assert bytes.fromhex(read[name]).decode() == getattr(error, name)


@pytest.mark.parametrize("size", [1, 127, 128, 16_384, 6_291_556])
def test_c_reads_the_part_that_python_writes(size: int) -> None:
    read = decoded(invoker_pb2.InvokeResponse(call_id=2**64 - 1, part=b"p" * size))
    assert read == {"call_id": str(2**64 - 1), "part": (b"p" * size).hex()}


# ---- calls from a program that is no mysqld ----


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Path]:
    """The socket of a servicer that answers at once."""
    with serve(Echo(), tmp_path / "echo.sock") as socket:
        yield socket


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SidecarProcess]:
    config = local_config(free_port())
    with SidecarProcess(tmp_path_factory.mktemp("sidecar"), config) as started:
        yield started


def test_ten_thousand_calls_leave_no_leak_and_no_open_descriptor(echo: Path) -> None:
    with Host(echo) as host:
        host.load(calls=10_000, threads=2, rows=7)


def test_calls_of_eight_threads_to_a_real_sidecar_leave_nothing_behind(sidecar: SidecarProcess) -> None:
    with Host(sidecar.socket, timeout_ms=60_000) as host:
        host.load(calls=800, threads=8, rows=5)


def test_a_statement_per_call_leaves_nothing_behind(echo: Path) -> None:
    with Host(echo) as host:
        host.load(calls=500, threads=4, rows=1)


def test_six_megabytes_go_and_come_whole(echo: Path) -> None:
    with Host(echo) as host:
        host.load(calls=3, threads=1, rows=3, payload=6_291_456)


def test_the_answer_of_a_function_comes_back(sidecar: SidecarProcess) -> None:
    with Host(sidecar.socket) as host:
        answer = host.sync("Echo", '{"a": "ä€😀"}')
        assert (answer.outcome, json.loads(answer.text)) == ("ok", {"a": "ä€😀"})
        accepted = host.call("lambda_async", "Echo", "{}")
        assert re.fullmatch(r'\{"StatusCode": 202, "RequestId": "[0-9a-f-]{36}"\}', accepted.text.decode())


KILLS = [
    (QUERY_KILLED, ER_QUERY_INTERRUPTED),
    (SESSION_KILLED, ER_QUERY_INTERRUPTED),
    (QUERY_TIMEOUT, ER_QUERY_TIMEOUT),
]


@pytest.mark.parametrize(("status", "errno"), KILLS)
def test_a_kill_ends_a_call_and_nothing_is_left(sidecar: SidecarProcess, status: int, errno: int) -> None:
    with Host(sidecar.socket) as host:
        host.interrupt(status, 200)
        answer = host.sync("Sleep", '{"seconds": 5}')
        assert (answer.outcome, answer.errno, answer.flags) == ("error", errno, ME_FATALERROR)
        assert 200 <= answer.milliseconds <= 200 + KILL_MS
        assert host.sync().outcome == "ok"


@pytest.mark.parametrize(("status", "errno"), KILLS)
def test_where_thd_status_is_missing_thd_killed_tells_a_kill_and_why(
    sidecar: SidecarProcess, status: int, errno: int
) -> None:
    with Host(sidecar.socket, lacks="thd_status") as host:
        host.interrupt(status, 200)
        answer = host.sync("Sleep", '{"seconds": 5}')
        assert (answer.outcome, answer.errno, answer.flags) == ("error", errno, ME_FATALERROR)
        assert 200 <= answer.milliseconds <= 200 + KILL_MS
        assert host.sync().outcome == "ok"


@pytest.mark.parametrize("act", ["close", "half"])
@pytest.mark.parametrize("kind", [VIO_TCPIP, VIO_SOCKET, VIO_SSL])
def test_a_client_that_goes_ends_its_call_with_an_error_that_no_handler_catches(
    sidecar: SidecarProcess, kind: int, act: str
) -> None:
    with Host(sidecar.socket) as host:
        host.client(kind, 200, act)
        answer = host.sync("Sleep", '{"seconds": 5}')
        assert (answer.errno, answer.flags) == (ER_UDF_ERROR, ME_FATALERROR)
        assert answer.message == "lambda_sync|the client has gone away"
        assert 200 <= answer.milliseconds <= 200 + KILL_MS
        assert host.sync().outcome == "ok"


def test_a_client_that_goes_ends_waiting_for_a_sidecar_that_is_not_there(tmp_path: Path) -> None:
    with Host(tmp_path / "nothing.sock", connect_timeout_ms=5000) as host:
        host.client(VIO_SOCKET, 200, "close")
        answer = host.sync()
        assert answer.message == "lambda_sync|the client has gone away"
        assert 200 <= answer.milliseconds <= 200 + KILL_MS


def test_kill_connection_is_told_as_a_kill_though_the_clients_socket_closes_first(
    sidecar: SidecarProcess,
) -> None:
    with Host(sidecar.socket) as host:
        host.client(VIO_TCPIP, 200, "kill")
        answer = host.sync("Sleep", '{"seconds": 5}')
        assert (answer.errno, answer.flags) == (ER_QUERY_INTERRUPTED, ME_FATALERROR)
        assert 200 <= answer.milliseconds <= 200 + KILL_MS


def test_what_a_client_sends_ahead_neither_ends_its_call_nor_makes_it_spin(sidecar: SidecarProcess) -> None:
    with Host(sidecar.socket) as host:
        host.sync()
        host.client(VIO_TCPIP, 0, "send")
        before = host.cpu_seconds()
        answer = host.sync("Sleep", '{"seconds": 1}')
        assert answer.outcome == "ok"
        assert host.cpu_seconds() - before < 0.3


@pytest.mark.parametrize("kind", [NO_VIO, VIO_LOCAL, VIO_PLUGIN])
def test_no_socket_is_asked_of_a_session_that_has_none(sidecar: SidecarProcess, kind: int) -> None:
    """The host program aborts where mysqld's thd_get_fd() would crash."""
    with Host(sidecar.socket) as host:
        host.client(kind, 0, "close")
        assert host.sync("Sleep", '{"seconds": 0.3}').outcome == "ok"


def test_a_killed_session_invokes_nothing_more(tmp_path: Path) -> None:
    servicer = Echo()
    with serve(servicer, tmp_path / "echo.sock") as socket, Host(socket) as host:
        assert host.sync("Echo", "1").outcome == "ok"
        host.interrupt(QUERY_KILLED, 0)
        answer = host.sync("Echo", "2")
        assert (answer.errno, answer.flags) == (ER_QUERY_INTERRUPTED, ME_FATALERROR)
        assert host.sync("Echo", "3").outcome == "ok"
        assert servicer.payloads == [b"1", b"3"]


def test_a_call_ends_at_its_timeout(sidecar: SidecarProcess) -> None:
    with Host(sidecar.socket, timeout_ms=300) as host:
        answer = host.sync("Sleep", '{"seconds": 5}')
        assert (answer.errno, answer.message) == (ER_UDF_ERROR, "lambda_sync|timed out after 300 ms")
        assert 300 <= answer.milliseconds <= 300 + KILL_MS


class Refusing(Echo):
    """Answers each call with an error of one kind, and knows how long the calls had."""

    def __init__(self, kind: int) -> None:
        super().__init__()
        self.kind = kind
        self.streams = 0
        self.left_ms: list[float] = []

    def Invoke(
        self,
        request_iterator: Iterator[invoker_pb2.InvokeRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[invoker_pb2.InvokeResponse]:
        self.streams += 1
        context.send_initial_metadata(())
        for request in request_iterator:
            self.left_ms.append(request.deadline_ms - time.monotonic() * 1000)
            response = invoker_pb2.InvokeResponse(call_id=request.call_id)
            response.error.kind = self.kind  # type: ignore[assignment]  # any number, as from a newer sidecar
            response.error.message = "why"
            yield response


@pytest.mark.parametrize(
    ("kind", "keeps_the_connection"),
    [(invoker_pb2.ERROR_KIND_OVERLOADED, True), (8, False), (9, False), (11, False), (2**31 - 1, False)],
)
def test_a_refusal_of_any_kind_is_an_error_with_its_text(
    tmp_path: Path, kind: int, keeps_the_connection: bool
) -> None:
    servicer = Refusing(kind)
    with serve(servicer, tmp_path / "refusing.sock") as socket, Host(socket) as host:
        for _ in range(2):
            answer = host.sync()
            assert (answer.outcome, answer.errno, answer.message) == (
                "error",
                ER_UDF_ERROR,
                "lambda_sync|why",
            )
    assert servicer.streams == (1 if keeps_the_connection else 2)


def test_a_request_says_until_when_its_session_waits(tmp_path: Path) -> None:
    servicer = Refusing(invoker_pb2.ERROR_KIND_INVALID)
    with serve(servicer, tmp_path / "refusing.sock") as socket, Host(socket, timeout_ms=30_000) as host:
        for _ in range(3):
            host.sync()
    assert len(servicer.left_ms) == 3
    assert all(0 < left <= 30_000 for left in servicer.left_ms)


def test_without_super_the_call_is_refused_in_auroras_words(tmp_path: Path) -> None:
    with Host(tmp_path / "nothing.sock") as host:
        for command in ("super", "lost"):
            host.command(command, 0 if command == "super" else 1)
            answer = host.sync()
            assert (answer.errno, answer.message) == (ER_SPECIFIC_ACCESS_DENIED_ERROR, "Invoke Lambda")
            host.command("super", 1)


@pytest.mark.parametrize("count", [0, 1, 3, 4])
@pytest.mark.parametrize("function", ["lambda_sync", "lambda_async"])
def test_a_wrong_number_of_arguments_is_refused_before_the_statement_runs(
    tmp_path: Path, function: str, count: int
) -> None:
    with Host(tmp_path / "nothing.sock") as host:
        answer = host.call(function, *["x"] * count)
        assert answer.outcome == "refused"
        assert answer.message == f"{function}(function, payload) takes 2 arguments, {count} given"


def test_a_missing_sidecar_is_reported_after_connect_timeout(tmp_path: Path) -> None:
    socket = tmp_path / "nothing.sock"
    with Host(socket, connect_timeout_ms=200) as host:
        answer = host.sync()
        expected = f"lambda_sync|sidecar unavailable: {socket}: No such file or directory"
        assert (answer.errno, answer.message) == (ER_UDF_ERROR, expected)
        assert 180 <= answer.milliseconds <= 200 + KILL_MS


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((None, "{}"), "function is NULL"),
        (("Echo", None), "payload is NULL (does a CONCAT argument evaluate to NULL? JSON_OBJECT keeps it)"),
        (("x" * 257, "{}"), "not a function name or ARN: it has 257 bytes, at most 256 are allowed"),
        (
            ("Echo", 6_291_457),
            "payload too large: it has 6291457 bytes, Lambda takes at most 6291456 for RequestResponse",
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_before_the_socket(
    tmp_path: Path, arguments: tuple[str | int | None, ...], reason: str
) -> None:
    with Host(tmp_path / "nothing.sock") as host:
        answer = host.call("lambda_sync", *arguments)
        assert (answer.errno, answer.message) == (ER_UDF_ERROR, f"lambda_sync|{reason}")


@pytest.mark.parametrize("service", ["registry", "mysql_thd_attributes", "mysql_string_converter"])
def test_a_server_without_a_needed_service_is_named_too_old(tmp_path: Path, service: str) -> None:
    with Host(tmp_path / "nothing.sock", lacks=service) as host:
        answer = host.sync()
        assert answer.outcome == "refused"
        assert service in answer.message


def test_a_server_without_the_reader_of_variables_serves_all_the_same(echo: Path) -> None:
    with Host(echo, lacks="mysql_system_variable_reader") as host:
        assert host.sync().outcome == "ok"


# 9.x copy arguments. 8.0 and 8.4, which lack this service, make their buffer an alias of what the expression
# builds its value in; the host program does as they do.
EACH_SERVER = pytest.mark.parametrize("lacks", ["", "mysql_system_variable_reader"], ids=["9.x", "8.4"])
EACH_COLLATION = pytest.mark.parametrize(
    "collation", ["utf8mb4_0900_ai_ci", "utf8mb4_unicode_ci", "utf8mb3_bin"]
)


@EACH_SERVER
@EACH_COLLATION
@pytest.mark.parametrize(
    "payload",
    [Concat("1"), Concat('"', '"'), Concat('{"id": ', "}"), Concat("", "0"), Concat('"é', '"', growth=1)],
    ids=str,
)
def test_each_row_has_its_own_computed_payload(
    echo: Path, lacks: str, collation: str, payload: Concat
) -> None:
    with Host(echo, lacks=lacks) as host:
        rows = host.rows("Echo", payload, count=9, collation=collation)
        assert [row.decode() for row in rows] == [payload.value(n) for n in range(1, 10)]


@EACH_SERVER
@EACH_COLLATION
def test_each_row_calls_the_function_that_it_computed(tmp_path: Path, lacks: str, collation: str) -> None:
    name = Concat("Echo:")
    servicer = Echo()
    with serve(servicer, tmp_path / "echo.sock") as socket, Host(socket, lacks=lacks) as host:
        host.rows(name, "1", count=3, collation=collation)
    assert servicer.functions == ["Echo:1", "Echo:2", "Echo:3"]


@EACH_SERVER
@EACH_COLLATION
def test_an_argument_that_grows_from_row_to_row_is_right_and_nothing_freed_is_touched(
    tmp_path: Path, lacks: str, collation: str
) -> None:
    payload = Concat('"', '"', growth=3000)
    servicer = Echo()
    with serve(servicer, tmp_path / "echo.sock") as socket, Host(socket, lacks=lacks) as host:
        host.rows("Echo", payload, count=12, collation=collation)
    assert [p.decode() for p in servicer.payloads] == [payload.value(n) for n in range(1, 13)]


@EACH_SERVER
def test_an_argument_in_another_character_set_arrives_in_utf8(echo: Path, lacks: str) -> None:
    with Host(echo, lacks=lacks) as host:
        payload = ",".join([b'"\xe9'.hex(), b'"'.hex(), "0"])
        _, *rows = host.command("rows", "lambda_sync", "latin1_swedish_ci", 2, b"Echo".hex(), payload)
        assert [bytes.fromhex(row).decode() for row in rows] == ['"é1"', '"é2"']


def test_a_library_that_was_never_called_unloads(tmp_path: Path) -> None:
    with Host(tmp_path / "nothing.sock"):
        pass


# ---- hints ----


@EACH_SERVER
def test_hints_from_many_threads_are_one_datagram_a_millisecond_at_most(tmp_path: Path, lacks: str) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, Host(path, lacks=lacks) as host:
        listener.bind(f"{path}.hint")
        listener.settimeout(10)
        assert host.hint(1)[1] == 1
        assert len(listener.recv(10)) == 1
        milliseconds, sent = host.hint(100_000, threads=4)
        assert 0 <= sent <= milliseconds + 1
        for _ in range(sent):
            assert len(listener.recv(10)) == 1
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.recv(10)


def test_a_hint_that_nobody_takes_is_none_and_costs_no_descriptor(tmp_path: Path) -> None:
    """The host program looks for descriptors when it unloads the library."""
    path = tmp_path / "s"
    with Host(path) as host:
        assert host.hint(10_000)[1] == 0
        (tmp_path / "s.hint").write_text("a file")
        assert host.hint(10_000)[1] == 0
    room = 107 - len(f"{tmp_path}/") - len(".hint")
    for length, expected in ((room, True), (room + 1, False)):
        path = tmp_path / ("x" * length)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, Host(path) as host:
            short = tmp_path / f"l{length}"
            listener.bind(str(short))
            short.rename(f"{path}.hint")
            assert (host.hint(1)[1] == 1) is expected
    with Host(Path("relative")) as host:
        assert host.hint(1)[1] == 0


# ---- the file ----


def test_the_library_exports_its_entry_points_and_nothing_else() -> None:
    symbols = {line.split()[-1] for line in output("nm", "-D", "--defined-only", PLAIN).splitlines()}
    entry_points = set()
    for statement in CREATE_FUNCTIONS:
        (name,) = re.findall(r"IF NOT EXISTS (\w+)", statement)
        aggregate = ("_clear", "_add") if "AGGREGATE" in statement else ()
        entry_points |= {name + suffix for suffix in ("", "_init", "_deinit", *aggregate)}
    assert symbols == entry_points | {"lambda_outbox_hint", "lambda_outbox_hint_init", "list_components"}


def test_the_library_needs_libc_and_libnghttp2_only() -> None:
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "--dynamic", PLAIN))
    assert set(needed) == {"libnghttp2.so.14", "libc.so.6"}
    loaded = {line.split()[0] for line in output("ldd", PLAIN).splitlines()}
    assert {Path(name).name.split(".so")[0] for name in loaded} == {
        "linux-vdso",
        "libnghttp2",
        "libc",
        "ld-linux-x86-64",
    }


def test_nothing_is_needed_that_newer_headers_of_glibc_rename() -> None:
    """Headers from 2.38 on turn strtoul() and its like into __isoc23_strtoul()."""
    undefined = {
        line.split()[-1].split("@")[0] for line in output("nm", "-D", "--undefined-only", PLAIN).splitlines()
    }
    renamed = {
        "strtol",
        "strtoul",
        "strtoll",
        "strtoull",
        "strtoimax",
        "strtoumax",
        "sscanf",
        "fscanf",
        "vsscanf",
    }
    assert not {name for name in undefined if name in renamed or "isoc" in name}


def test_no_symbol_of_glibc_is_newer_than_2_34() -> None:
    versions = re.findall(r"@GLIBC_([0-9.]+)", output("nm", "-D", "--undefined-only", PLAIN))
    assert versions
    newest = max(tuple(map(int, version.split("."))) for version in versions)
    assert newest <= (2, 34)


def test_no_call_of_nghttp2_is_newer_than_1_43() -> None:
    used = set(re.findall(r"\bnghttp2_\w+", output("nm", "-D", "--undefined-only", PLAIN)))
    assert used
    assert used <= NGHTTP2_1_43


def test_nothing_in_the_library_can_be_executed_from_the_stack_or_rewritten() -> None:
    dynamic = output("readelf", "--dynamic", "--program-headers", "--wide", PLAIN)
    assert "BIND_NOW" in dynamic or "NOW" in dynamic
    (stack,) = [line for line in dynamic.splitlines() if "GNU_STACK" in line]
    assert "RWE" not in stack
    assert "GNU_RELRO" in dynamic


@pytest.mark.parametrize(
    ("attribute", "ending"),
    [
        ("-", ""),
        ("", ""),
        ("untyped", ""),
        (GOOD, f" (trace {TRACE_ID})"),
        (GOOD[:-1], ""),
        (GOOD + "0", ""),
        (GOOD + "x" * 64, ""),
    ],
)
def test_what_the_server_hands_over_of_a_query_attribute_is_given_back(
    tmp_path: Path, attribute: str, ending: str
) -> None:
    with Host(tmp_path / "nothing.sock", connect_timeout_ms=1) as host:
        host.command("trace", attribute)
        for _ in range(3):
            assert host.sync().message.endswith(f"No such file or directory{ending}")


@pytest.mark.parametrize(
    "lacks",
    ["mysql_query_attributes_iterator", "mysql_query_attribute_string", "mysql_query_attribute_isnull"],
)
def test_a_server_without_query_attributes_serves_without_traces(tmp_path: Path, lacks: str) -> None:
    with Host(tmp_path / "nothing.sock", connect_timeout_ms=1, lacks=lacks) as host:
        host.command("trace", GOOD)
        assert host.sync().message.endswith("No such file or directory")

"""A call with a durable execution's name and a sidecar that goes: it is sent again, and only such a call is.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
import random
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import mysql.connector
import pytest
from tests.pure.test_trace import GOOD, TRACE_ID
from tests.support.component import installed_component, status
from tests.support.contract_server import serve
from tests.support.host_program import PROGRAMS, build
from tests.support.stack import Stack, execute
from tests.support.waiting import wait_until

from lambda_sidecar.calls.lambda_invoke import parse_options
from lambda_sidecar.errors import ApiError, InvalidRequest
from lambda_udf.v1 import invoker_pb2, invoker_pb2_grpc

NAMED = '{"durable_execution_name": "order-17", "log_type": "None"}'
SAFE = "; the durable execution of this name may be running, and it is safe to repeat the same call"
PERHAPS = "the call was under way and may have been carried out"


class Failing(invoker_pb2_grpc.LambdaInvokerServicer):
    """Ends its first `losses` streams when it has taken a call, and answers then; `requests` are all that came."""

    def __init__(self, losses: int, error: invoker_pb2.InvokeError | None = None) -> None:
        self.losses, self.error = losses, error
        self.requests: list[invoker_pb2.InvokeRequest] = []
        self._lock = threading.Lock()

    def Invoke(
        self, request_iterator: Iterator[invoker_pb2.InvokeRequest], context: grpc.ServicerContext
    ) -> Iterator[invoker_pb2.InvokeResponse]:
        context.send_initial_metadata(())
        for request in request_iterator:
            with self._lock:
                self.requests.append(request)
                is_lost = len(self.requests) <= self.losses
            if is_lost:
                context.abort(grpc.StatusCode.INTERNAL, "it dies")
            if self.error is not None:
                yield invoker_pb2.InvokeResponse(call_id=request.call_id, error=self.error)
            else:
                result = invoker_pb2.InvokeResult(status_code=200, payload=b'{"Payload": 1}')
                yield invoker_pb2.InvokeResponse(call_id=request.call_id, result=result)


@pytest.fixture
def component(stack: Stack) -> Iterator[Stack]:
    with installed_component(stack):
        yield stack


def outcome(
    stack: Stack,
    servicer: Failing,
    directory: Path,
    options: str | None,
    traceparent: str = "",
    **settings: int,
) -> str:
    """The answer, or the error's text."""
    with serve(servicer, directory / "s.sock") as socket, contextlib.closing(stack.connect()) as connection:
        stack.query(f"SET GLOBAL lambda_udf.socket = '{socket}'")
        for name, value in settings.items():
            stack.query(f"SET GLOBAL lambda_udf.{name} = {value}")
        sql = "SELECT lambda_invoke('f', '{\"order\": 17}', %s)"
        try:
            with connection.cursor() as cursor:
                if traceparent:
                    cursor.add_attribute("traceparent", traceparent)
                if options is not None:
                    cursor.execute(sql, (options,))
                else:
                    cursor.execute("SELECT lambda_sync('f', '{}')")
                ((answer,),) = cursor.fetchall()
        except mysql.connector.Error as error:
            return str(error.msg)
        return answer.decode() if isinstance(answer, bytes | bytearray) else str(answer)


@pytest.mark.parametrize("named", [NAMED, NAMED.replace("17", "\\u00317")], ids=["plain", "escaped"])
def test_a_named_call_is_sent_again_as_it_was_until_it_has_its_answer(
    component: Stack, tmp_path: Path, named: str
) -> None:
    servicer = Failing(losses=3)
    assert outcome(component, servicer, tmp_path, named) == '{"Payload": 1}'
    assert len(servicer.requests) == 4
    said = {
        (one.function, one.payload, one.options_json, one.durable_execution_name) for one in servicer.requests
    }
    assert said == {("f", b'{"order": 17}', named, "order-17")}


@pytest.mark.parametrize(
    "options",
    [
        None,
        "{}",
        '{"tenant_id": "order-17"}',
        '{"durable_execution_name": "order\\u002d17", "durable_execution_name": "order-17"}',
        '{"durable_execution\\u005fname": "order-17"}',
        '{"durable_execution_name": "order.17"}',
        '{"durable_execution_name": ""}',
        '{"client_context": {"durable_execution_name": "order-17"}}',
        '{"durable_execution_name": "order-17"',
    ],
    ids=ascii,
)
def test_any_other_call_is_sent_once(component: Stack, tmp_path: Path, options: str | None) -> None:
    servicer = Failing(losses=1)
    assert PERHAPS in outcome(component, servicer, tmp_path, options)
    assert [one.durable_execution_name for one in servicer.requests] == [""]


def test_a_sidecar_that_goes_again_and_again_ends_a_named_call_with_that_it_is_safe_to_repeat(
    component: Stack, tmp_path: Path
) -> None:
    servicer = Failing(losses=100)
    text = outcome(component, servicer, tmp_path, NAMED)
    assert text.startswith("lambda_invoke UDF failed; sidecar unavailable: ")
    assert text.endswith(SAFE)
    assert len(servicer.requests) == 5


def test_a_sidecar_that_does_not_come_back_ends_a_named_call_in_time_with_the_same_words(
    component: Stack, tmp_path: Path
) -> None:
    class Last(Failing):
        def Invoke(
            self, request_iterator: Iterator[invoker_pb2.InvokeRequest], context: grpc.ServicerContext
        ) -> Iterator[invoker_pb2.InvokeResponse]:
            (tmp_path / "s.sock").unlink(missing_ok=True)
            return super().Invoke(request_iterator, context)

    text = outcome(component, Last(losses=1), tmp_path, NAMED, connect_timeout_ms=200)
    assert "No such file or directory" in text
    assert text.endswith(SAFE)


def test_a_named_call_whose_time_ends_says_that_it_is_safe_to_repeat(
    component: Stack, tmp_path: Path
) -> None:
    class Silent(Failing):
        def Invoke(
            self, request_iterator: Iterator[invoker_pb2.InvokeRequest], context: grpc.ServicerContext
        ) -> Iterator[invoker_pb2.InvokeResponse]:
            context.send_initial_metadata(())
            yield from (invoker_pb2.InvokeResponse() for _ in request_iterator if not context.is_active())

    text = outcome(component, Silent(losses=0), tmp_path, NAMED, timeout_ms=300)
    assert text == f"lambda_invoke UDF failed; timed out after 300 ms{SAFE}"
    text = outcome(component, Silent(losses=0), tmp_path, "{}", timeout_ms=300)
    assert text == "lambda_invoke UDF failed; timed out after 300 ms"


@pytest.mark.parametrize(
    ("code", "message", "words"),
    [
        ("DurableExecutionAlreadyStartedException", "Lambda API returned error: it is another's", ""),
        ("", "overloaded: 1 calls run", SAFE),
        ("", f"Lambda API returned error: x{SAFE}", ""),
    ],
)
def test_what_the_next_sidecar_says_is_completed_unless_it_says_enough(
    component: Stack, tmp_path: Path, code: str, message: str, words: str
) -> None:
    error = invoker_pb2.InvokeError(kind="ERROR_KIND_API", code=code, message=message)
    text = outcome(component, Failing(losses=1, error=error), tmp_path, NAMED)
    assert text == f"lambda_invoke UDF failed; {message}{words}"
    assert outcome(component, Failing(losses=0, error=error), tmp_path, NAMED) == (
        f"lambda_invoke UDF failed; {message}"
    )


@pytest.mark.parametrize("character", ["m", "ä", "€"])
def test_however_long_a_message_is_and_with_a_trace_nothing_of_those_words_is_cut(
    component: Stack, tmp_path: Path, character: str
) -> None:
    """The library's own, and those of the sidecar."""
    long = invoker_pb2.InvokeError(kind="ERROR_KIND_API", code="E", message=character * 400)
    text = outcome(component, Failing(losses=1, error=long), tmp_path, NAMED, GOOD)
    assert text.endswith(f"{character}{SAFE} (trace {TRACE_ID})")
    said = ApiError("E", character * 400).may_be_repeated().text
    error = invoker_pb2.InvokeError(kind="ERROR_KIND_API", code="E", message=said)
    text = outcome(component, Failing(losses=1, error=error), tmp_path, NAMED, GOOD)
    assert text == f"lambda_invoke UDF failed; {said} (trace {TRACE_ID})"
    assert said.endswith(f"{character}{SAFE}")


def test_kill_ends_a_named_call_at_once_while_it_waits_for_the_next_sidecar(
    component: Stack, tmp_path: Path
) -> None:
    component.query(f"SET GLOBAL lambda_udf.socket = '{tmp_path}/none.sock'")
    component.query("SET GLOBAL lambda_udf.connect_timeout_ms = 60000")
    failed: list[int] = []
    with contextlib.closing(component.connect()) as connection:

        def call() -> None:
            try:
                execute(connection, "SELECT lambda_invoke('f', '{}', %s)", (NAMED,))
            except mysql.connector.Error as error:
                failed.append(error.errno)

        thread = threading.Thread(target=call)
        thread.start()
        wait_until(lambda: status(component)["in_flight"] == 1, seconds=20, what="the call")
        component.query(f"KILL QUERY {connection.connection_id}")
        thread.join(10)
        assert failed == [1317]


def test_a_call_under_way_when_the_sidecar_is_killed_and_started_again_ends_with_its_answer(
    component: Stack,
) -> None:
    """With the local Lambda in the sidecar, which forgets names as it dies: the function runs again."""
    component.query(
        "SET GLOBAL lambda_udf.connect_timeout_ms = 60000"
    )  # on a machine that also runs other tests
    answers: list[str] = []

    def call() -> None:
        answers.append(
            component.value(
                "SELECT JSON_VALUE(lambda_invoke('Sleep', '{\"seconds\": 1}', %s), '$.StatusCode')",
                (NAMED,),
            )
        )

    thread = threading.Thread(target=call)
    thread.start()
    wait_until(lambda: len(component.record.calls("Sleep")) == 1, seconds=20, what="the call")
    component.sidecar.kill()
    component.sidecar.start()
    thread.join(60)
    assert answers == ["200"]


# ---- library and sidecar read the same options ----


def names(options: list[str]) -> list[str]:
    """What udf/durable_name.c finds in each, under sanitizers."""
    build()
    records = b"".join(b"o" + struct.pack("<I", len(one.encode())) + one.encode() for one in options)
    done = subprocess.run(
        [PROGRAMS / "json_tool"], input=records, capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
    found, at = [], 0
    for _ in options:
        status, at = done.stdout[at], at + 1
        if status:
            found.append("")
            continue
        (length,) = struct.unpack_from("<I", done.stdout, at)
        found.append(json.loads(done.stdout[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


def test_the_name_that_the_library_reads_is_the_sidecars_or_the_sidecar_refuses_the_options() -> None:
    choices = random.Random(17)  # noqa: S311  no secret is made of it
    pieces = [
        '{', '}', ',', ':', ' ', '"durable_execution_name"', '"durable_execution_name": ', '"order-17"', '"a"',
        '"a.b"', '"\\u0061"', '"durable_execution\\u005fname": "x"', '"role"', '1', 'null', '[', ']', '\x00', '"é"',
        '"tenant_id": "t"', '"log_type": "Tail"', f'"{"x" * 64}"', f'"{"x" * 65}"', '""',
    ]  # fmt: skip
    members = [
        '"durable_execution_name": "order-17"', '"durable_execution_name":"b"', '"tenant_id": "t"',
        '"durable_execution\\u005fname": "x"', '"durable_execution_name": 7', '"log_type": "Tail"',
        '"client_context": {"durable_execution_name": "inner"}', f'"durable_execution_name": "{"x" * 65}"',
    ]  # fmt: skip
    options = [
        "{" + ", ".join(choices.choices(members, k=choices.randrange(4))) + "}" for _ in range(3_000)
    ] + ["".join(choices.choices(pieces, k=choices.randrange(1, 9))) for _ in range(3_000)]
    found = names(options)
    assert {"order-17", "b", ""} <= set(found)
    for text, name in zip(options, found, strict=True):
        if not name:
            continue
        with contextlib.suppress(InvalidRequest):
            assert parse_options(text).durable_execution_name == name, text

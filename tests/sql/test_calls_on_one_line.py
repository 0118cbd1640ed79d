"""Many calls under way on one line of the library (udf/call.h, udf/line.h), as the C program line_tool makes them,
under sanitizers.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from tests.support.contract_server import serve
from tests.support.host_program import PROGRAMS, build

from lambda_udf.v1.invoker_pb2 import (
    ERROR_KIND_API,
    InvokeError,
    InvokeRequest,
    InvokeResponse,
    InvokeResult,
)
from lambda_udf.v1.invoker_pb2_grpc import LambdaInvokerServicer

Answers = Callable[[list[InvokeRequest], grpc.ServicerContext], Iterator[InvokeResponse]]


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    build()


class AfterAll(LambdaInvokerServicer):
    """Reads so many requests of a stream before it answers any, and then ends the stream."""

    def __init__(self, count: int, answers: Answers) -> None:
        self._count = count
        self._answers = answers
        self.streams = 0

    def Invoke(
        self, request_iterator: Iterator[InvokeRequest], context: grpc.ServicerContext
    ) -> Iterator[InvokeResponse]:
        self.streams += 1
        context.send_initial_metadata(())
        requests = [next(request_iterator) for _ in range(self._count)]
        yield from self._answers(requests, context)


def result(request: InvokeRequest) -> InvokeResponse:
    answer = InvokeResult(status_code=200, payload=b"of " + request.payload)
    return InvokeResponse(call_id=request.call_id, result=answer)


def run(socket: Path, *payloads: str) -> list[str]:
    """The lines that the program printed."""
    done = subprocess.run(
        [PROGRAMS / "line_tool", socket, *payloads], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_answers_in_any_order_end_each_the_call_that_it_belongs_to(tmp_path: Path) -> None:
    servicer = AfterAll(3, lambda requests, _: (result(request) for request in reversed(requests)))
    with serve(servicer, tmp_path / "s.sock") as socket:
        assert run(socket, "a", "b", "c") == ["ended 3 of c", "ended 2 of b", "ended 1 of a"]
    assert servicer.streams == 1


def test_a_refused_call_leaves_the_others_on_the_line_alone(tmp_path: Path) -> None:
    def answers(requests: list[InvokeRequest], _: grpc.ServicerContext) -> Iterator[InvokeResponse]:
        yield result(requests[0])
        error = InvokeError(kind=ERROR_KIND_API, message="why")
        yield InvokeResponse(call_id=requests[1].call_id, error=error)
        yield result(requests[2])

    with serve(AfterAll(3, answers), tmp_path / "s.sock") as socket:
        assert run(socket, "a", "b", "c") == ["ended 1 of a", "refused 2 why", "ended 3 of c"]


@pytest.mark.parametrize("call_id", [0, 1, 3, 2**64 - 1])
def test_an_answer_to_no_call_under_way_is_malformed(tmp_path: Path, call_id: int) -> None:
    def answers(requests: list[InvokeRequest], _: grpc.ServicerContext) -> Iterator[InvokeResponse]:
        yield result(requests[0])
        yield result(InvokeRequest(call_id=call_id, payload=b"x"))

    with serve(AfterAll(2, answers), tmp_path / "s.sock") as socket:
        lines = run(socket, "a", "b")
        assert lines == ["ended 1 of a", f"failed sidecar unavailable: {socket}: malformed answer"]


def test_of_the_calls_on_a_lost_line_only_those_that_were_never_taken_may_begin_anew(tmp_path: Path) -> None:
    def answers(requests: list[InvokeRequest], context: grpc.ServicerContext) -> Iterator[InvokeResponse]:
        yield result(requests[1])
        context.set_trailing_metadata((("lambda-udf-last-call-id", "2"),))
        context.set_code(grpc.StatusCode.UNAVAILABLE)

    with serve(AfterAll(4, answers), tmp_path / "s.sock") as socket:
        lines = run(socket, "a", "b", "c", "d")
        reason = f"sidecar unavailable: {socket}: the sidecar is stopping"
        assert lines == [
            "ended 2 of b",
            f"lost 1 {reason}; the call was under way and may have been carried out",
            "again 3",
            "again 4",
        ]

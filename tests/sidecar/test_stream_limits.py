"""A stream that sends more than it takes answers for is held back, and loses nothing by it.

A real sidecar before an endpoint that waits. Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.support.aws_sidecar import OK, AwsSidecar, aws_sidecar
from tests.support.invoker_client import open_stream, snapshot
from tests.support.lambda_endpoint import held
from tests.support.waiting import wait_until

from lambda_sidecar.contract.stream import LAST_CALL_ID, UNANSWERED_BYTES_MAX, UNANSWERED_MAX

LARGE = b'"' + b"x" * 6_000_000 + b'"'


@dataclass
class Held:
    """A sidecar with a few slots, before an endpoint that answers once `go` is set."""

    aws: AwsSidecar
    go: threading.Event = field(default_factory=threading.Event)

    @property
    def in_flight(self) -> int:
        return snapshot(self.aws.sidecar.socket).in_flight

    def settle(self, number: int) -> None:
        """So many calls are taken, and no more."""
        wait_until(lambda: self.in_flight == number, seconds=60, what=f"{number} calls")
        with pytest.raises(AssertionError):
            wait_until(lambda: self.in_flight != number, seconds=0.3)


@contextlib.contextmanager
def held_sidecar(directory: Path, **settings: Any) -> Iterator[Held]:
    go = threading.Event()
    with aws_sidecar(directory, held(go, OK), max_concurrency=50, log_level="info", **settings) as aws:
        try:
            yield Held(aws, go)
        finally:
            go.set()


def test_of_one_stream_no_more_than_its_share_is_taken_and_all_is_answered(tmp_path: Path) -> None:
    sent = 2 * UNANSWERED_MAX + 500
    with held_sidecar(tmp_path) as held:
        stream = held.aws.stream
        numbers = {stream.send("f", b"1", timeout_ms=900_000) for _ in range(sent)}
        held.settle(UNANSWERED_MAX)
        with open_stream(held.aws.sidecar.socket) as other:
            other.send("f", b"1", timeout_ms=900_000)
            wait_until(lambda: held.in_flight == UNANSWERED_MAX + 1, what="the other stream's call")
            held.go.set()
            assert other.receive().result.payload == b'"done"'
        answers = [stream.receive() for _ in range(sent)]
    assert {answer.call_id for answer in answers} == numbers
    assert {answer.result.payload for answer in answers} == {b'"done"'}


def test_large_payloads_hold_a_stream_back_sooner(tmp_path: Path) -> None:
    fits = -(-UNANSWERED_BYTES_MAX // len(LARGE))
    with held_sidecar(tmp_path) as held:
        stream = held.aws.stream
        for _ in range(2 * fits):
            stream.send("f", LARGE, timeout_ms=900_000)
        held.settle(fits)
        held.go.set()
        assert [stream.receive().result.payload for _ in range(2 * fits)] == [b'"done"'] * 2 * fits


def test_a_stream_that_is_held_back_can_be_cancelled(tmp_path: Path) -> None:
    with held_sidecar(tmp_path) as held:
        with open_stream(held.aws.sidecar.socket) as stream:
            for _ in range(UNANSWERED_MAX + 1):
                stream.send("f", b"1", timeout_ms=900_000)
            held.settle(UNANSWERED_MAX)
        wait_until(lambda: held.in_flight == 0, what="its calls gone")
        held.go.set()
        assert held.aws.stream.ask("f", b"1").result.payload == b'"done"'


def test_a_sidecar_that_stops_says_what_a_held_back_stream_may_send_again(tmp_path: Path) -> None:
    with held_sidecar(tmp_path, drain_seconds=30) as held:
        stream = held.aws.stream
        for _ in range(UNANSWERED_MAX + 10):
            stream.send("f", b"1", timeout_ms=900_000)
        held.settle(UNANSWERED_MAX)
        stopping = threading.Thread(target=held.aws.sidecar.stop)
        stopping.start()
        wait_until(lambda: held.aws.sidecar.log_contains("stopping"), what="the drain")
        held.go.set()
        answered: set[int] = set()
        with pytest.raises(grpc.RpcError):
            while True:
                answered.add(stream.receive().call_id)
        stopping.join()
        assert stream.call.code() is grpc.StatusCode.UNAVAILABLE
        taken = int(dict(stream.call.trailing_metadata())["lambda-udf-last-call-id"])
        assert taken >= UNANSWERED_MAX
        assert answered == set(range(1, taken + 1))


@pytest.mark.parametrize("drain_seconds", [0, 5])
def test_an_idle_stream_ends_as_promised_however_little_time_a_sidecar_has_to_stop(
    tmp_path: Path, drain_seconds: int
) -> None:
    with (
        aws_sidecar(tmp_path, lambda handler: handler.reply(200, b"1"), drain_seconds=drain_seconds) as aws,
        open_stream(aws.sidecar.socket) as stream,
    ):
        assert stream.ask("f").result.payload == b"1"
        aws.sidecar.stop()
        with pytest.raises(grpc.RpcError) as end:
            stream.receive()
        assert end.value.code() == grpc.StatusCode.UNAVAILABLE
        assert dict(stream.call.trailing_metadata())[LAST_CALL_ID] == "1"

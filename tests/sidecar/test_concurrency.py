"""Slots for calls: a real sidecar before a scripted endpoint runs so many, takes turns, and tells of waiting.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.aws_sidecar import aws_sidecar
from tests.support.invoker_client import open_stream, snapshot
from tests.support.lambda_endpoint import Answer, Handler
from tests.support.waiting import wait_until

from lambda_udf.v1 import invoker_pb2


class Gate:
    """An endpoint whose answers wait until they are let go; counts those that wait."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = self.most = 0
        self.open = threading.Event()

    def answer(self) -> Answer:
        def reply(handler: Handler) -> None:
            with self.lock:
                self.inside += 1
                self.most = max(self.most, self.inside)
            self.open.wait(30)
            with self.lock:
                self.inside -= 1
            handler.reply(200, b'"done"')

        return reply


def test_no_more_calls_than_max_concurrency_are_at_lambda_and_waiting_is_told(tmp_path: Path) -> None:
    gate = Gate()
    with aws_sidecar(tmp_path, gate.answer(), max_concurrency=2) as aws, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(open_stream(aws.sidecar.socket)) for _ in range(8)]
        pool = stack.enter_context(ThreadPoolExecutor(8))
        calls = [pool.submit(stream.ask, "f", b"1") for stream in streams]
        try:
            wait_until(lambda: gate.inside == 2 and aws.sidecar.log_contains("calls wait for a slot"))
        finally:
            gate.open.set()
        answers = [call.result() for call in calls]
    assert gate.most == 2
    assert [answer.result.payload for answer in answers] == [b'"done"'] * 8
    assert sum(answer.queued_us > 0 for answer in answers) >= 1


def test_accounts_take_turns_whatever_number_of_sessions_each_has(tmp_path: Path) -> None:
    """One slot, a crowd of one account's sessions, then two of another's."""
    go = threading.Semaphore(0)
    began: list[bytes] = []

    def step(handler: Handler) -> None:
        began.append(handler.body)
        go.acquire(timeout=30)
        handler.reply(200, b'"done"')

    other_account = invoker_pb2.Caller(user="other", host="%")
    with aws_sidecar(tmp_path, step, max_concurrency=1) as aws, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(open_stream(aws.sidecar.socket)) for _ in range(14)]
        for number, stream in enumerate(streams[:12]):
            stream.send("f", f'"crowd {number}"'.encode())
            wait_until(lambda: snapshot(aws.sidecar.socket).in_flight == number + 1)  # noqa: B023
        for number, stream in enumerate(streams[12:]):
            stream.send("f", f'"other {number}"'.encode(), caller=other_account)
            wait_until(lambda: snapshot(aws.sidecar.socket).in_flight == 13 + number)  # noqa: B023
        for _ in streams:
            go.release()
        answers = [stream.receive() for stream in streams]
    assert {answer.result.payload for answer in answers} == {b'"done"'}
    assert sorted(map(began.index, (b'"other 0"', b'"other 1"'))) <= [2, 4]
    crowd = [body for body in began if body.startswith(b'"crowd')]
    assert crowd == [f'"crowd {number}"'.encode() for number in range(12)]


def test_a_call_waits_no_longer_than_its_time(tmp_path: Path) -> None:
    gate = Gate()
    with (
        aws_sidecar(tmp_path, gate.answer(), max_concurrency_per_function=1) as aws,
        open_stream(aws.sidecar.socket) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(aws.stream.ask, "f", b"1")
        wait_until(lambda: gate.inside == 1)
        late = other.ask("f", b"1", timeout_ms=200)
        assert "timed out after 200 ms" in late.error.message
        assert late.queued_us >= 190_000
        wait_until(lambda: aws.sidecar.log_contains("outcome=timeout"), what="its line")
        gate.open.set()
        assert running.result().result.payload == b'"done"'
        assert other.ask("f", b"1").queued_us == 0
    assert gate.most == 1

"""One stream under whatever its client, its calls and a sidecar that stops do, in any order: a machine and its books.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import grpc
import pytest
from hypothesis.stateful import precondition, rule
from tests.support.machine import LoopMachine, lead_through_lives, numbers, one_of
from tests.support.memory_stream import Calls, MemoryContext

from lambda_sidecar.contract import stream as module
from lambda_sidecar.contract.stream import Stream

MOST = 3


class StreamMachine(LoopMachine):
    def begin(self) -> None:
        self.context, self.calls, self.draining = MemoryContext(), Calls(), asyncio.Event()
        self.stream = Stream(self.calls.answer, cast("grpc.aio.ServicerContext[Any, Any]", self.context))
        self.sent = 0
        self.failed: list[int] = []
        self.has_ended = self.has_gone = self.may_break = False
        self.task = self.start(self._serve())

    async def _serve(self) -> None:
        """As service.py does."""
        try:
            await self.stream.serve(self.draining)
        finally:
            await self.stream.cancel_calls()

    # ---- what the client does ----

    @precondition(lambda self: not self.has_ended)
    @rule(number=numbers)
    def sends(self, number: int) -> None:
        for _ in range(1 + number % 3):
            self.sent += 1
            self.context.send(self.sent)

    @precondition(lambda self: not self.has_ended)
    @rule(number=numbers)
    def has_no_more(self, number: int) -> None:
        if number % 4 == 0:
            self.has_ended = True
            self.context.end()

    @rule(number=numbers)
    def goes(self, number: int) -> None:
        if number % 8 == 0:
            self.has_gone = True
            self.task.cancel()

    @rule()
    def reads_slowly(self) -> None:
        self.context.writable.clear()

    @rule()
    def reads_on(self) -> None:
        self.context.writable.set()

    # ---- what becomes of calls, and of the sidecar ----

    @precondition(lambda self: self.calls.running)
    @rule(number=numbers)
    def one_ends(self, number: int) -> None:
        self.calls.end(one_of(self.calls.running, number))

    @precondition(lambda self: self.calls.running)
    @rule()
    def all_end(self) -> None:
        self.calls.end(*self.calls.running)

    @precondition(lambda self: self.calls.running)
    @rule(number=numbers)
    def one_raises(self, number: int) -> None:
        if number % 8 == 0:
            failed = one_of(self.calls.running, number // 8)
            self.calls.fail(failed, grpc.aio.UsageError("a defect"))
            self.failed.append(failed)
            self.may_break = True

    @rule(number=numbers)
    def writing_breaks(self, number: int) -> None:
        if number % 8 == 0:
            self.context.write_error = grpc.aio.UsageError("RPC already finished.")
            self.may_break = True

    @rule(number=numbers)
    def stops(self, number: int) -> None:
        if number % 4 == 0:
            self.draining.set()

    # ---- how it must be ----

    @property
    def answers(self) -> list[int]:
        return [int(event.split()[1]) for event in self.context.events if event.startswith("answer")]

    @property
    def unanswered(self) -> set[int]:
        """Of those that began."""
        return set(self.calls.begun) - set(self.answers) - set(self.calls.cancelled) - set(self.failed)

    def look(self) -> None:
        begun, answers, events = self.calls.begun, self.answers, self.context.events
        assert begun == list(range(1, len(begun) + 1)), "the order of the requests"
        assert len(set(answers)) == len(answers), "one is answered twice"
        assert set(answers) <= set(begun)
        assert len(self.unanswered) <= MOST or self.may_break
        end = events[len(answers) :]
        if "code UNAVAILABLE" in end:
            assert end == [f"trailers {len(begun)}", "code UNAVAILABLE"], "what it took, it names"
            assert self.draining.is_set()
            assert sorted(answers) == begun, "what it names, it has answered"
        elif end:
            assert end == ["code INTERNAL"]
            assert self.may_break

    def look_at_rest(self) -> None:
        self.look()
        waiting, is_over = self.unanswered, self.has_gone or self.task.done()
        if is_over:
            assert self.task.done(), "the client has gone"
            assert not self.calls.running, "a call goes on that nobody waits for"
            return
        assert waiting or not (self.has_ended and not self.context.requests.qsize()), "its end does not come"
        assert waiting or not self.draining.is_set(), "its end does not come"
        if not self.draining.is_set() and len(waiting) < MOST:
            assert self.context.requests.qsize() == 0, "there is room, and nothing is taken"

    def end(self) -> None:
        self.context.writable.set()
        self.draining.set()
        for _ in range(self.sent + 1):
            self.calls.end(*self.calls.running)
            self.loop.settle()
        assert self.task.done()
        if not (self.has_gone or self.may_break):
            assert sorted(self.answers) == self.calls.begun
            assert self.context.events[-1:] == ["code UNAVAILABLE"] or self.has_ended


def test_whatever_happens_in_whatever_order_what_a_stream_took_is_answered_once_and_named_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    defects: list[BaseException] = []
    monkeypatch.setattr(module, "UNANSWERED_MAX", MOST)
    monkeypatch.setattr(module, "log_defect", lambda _, error: defects.append(error))
    lead_through_lives(StreamMachine)
    assert defects == [], "gRPC's own errors are a client that leaves"

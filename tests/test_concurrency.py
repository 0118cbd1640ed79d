"""Slots for calls: how many run, who waits, in which order, and that waiting is told.

The scheduling alone first, then a real sidecar before a scripted endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.aws_sidecar import aws_sidecar
from tests.support.invoker_client import open_stream
from tests.support.lambda_endpoint import Answer, Handler
from tests.support.stack import wait_until

from lambda_sidecar.concurrency import Concurrency, Share


class Order:
    """Calls that note when they are let in, by name."""

    def __init__(self, slots: Concurrency) -> None:
        self.slots = slots
        self.names: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def wait(self, name: str, share: Share, function: str = "f") -> None:
        async def call() -> None:
            await self.slots.wait(function, share)
            self.names.append(name)

        self.tasks[name] = asyncio.create_task(call())
        await asyncio.sleep(0)

    async def release(self, function: str = "f") -> list[str]:
        """Gives a slot back; the names that came in since the beginning."""
        self.slots.release(function)
        await asyncio.sleep(0)
        return self.names


async def test_streams_take_turns_whatever_number_of_calls_each_has_waiting() -> None:
    slots = Concurrency(1, None)
    order = Order(slots)
    assert slots.take("f")
    crowd, single, late = Share(), Share(), Share()
    for number in range(3):
        await order.wait(f"crowd {number}", crowd)
    await order.wait("single", single)
    assert await order.release() == ["crowd 0"]
    await order.wait("late", late)
    for _ in range(4):
        await order.release()
    assert order.names == ["crowd 0", "single", "late", "crowd 1", "crowd 2"]
    await order.release()
    assert (slots.running, slots.waiting) == (0, 0)


async def test_a_function_without_a_slot_holds_up_only_its_own_calls() -> None:
    slots = Concurrency(3, 1)
    order = Order(slots)
    assert slots.take("slow")
    assert not slots.take("slow")
    await order.wait("slow 2", Share(), "slow")
    assert slots.take("quick")
    assert slots.take("other")
    assert not slots.take("third"), "three run: no function has room"
    await order.wait("third", Share(), "third")
    assert await order.release("quick") == ["third"]
    assert await order.release("slow") == ["third", "slow 2"]


async def test_a_call_that_stops_waiting_leaves_no_trace() -> None:
    slots = Concurrency(1, None)
    order = Order(slots)
    assert slots.take("f")
    for name in ("first", "second", "third"):
        await order.wait(name, Share())
    order.tasks["first"].cancel()
    order.tasks["third"].cancel()
    await asyncio.sleep(0)
    assert slots.waiting == 1
    assert await order.release() == ["second"]
    await order.release()
    assert (slots.running, slots.waiting) == (0, 0)
    assert slots.take("f")


async def test_a_call_cancelled_in_the_moment_in_which_it_is_let_in_gives_its_slot_back() -> None:
    slots = Concurrency(1, None)
    assert slots.take("f")
    waiting = asyncio.create_task(slots.wait("f", Share()))
    await asyncio.sleep(0)
    slots.release("f")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (slots.running, slots.waiting) == (0, 0)


async def test_a_higher_limit_lets_in_at_once_and_a_lower_one_takes_nothing_away() -> None:
    slots = Concurrency(1, None)
    order = Order(slots)
    assert slots.take("f")
    await order.wait("second", Share())
    await order.wait("third", Share())
    slots.limit(2, None)
    await asyncio.sleep(0)
    assert order.names == ["second"]
    slots.limit(1, None)
    assert slots.running == 2
    assert await order.release() == ["second"]
    assert await order.release() == ["second", "third"]


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

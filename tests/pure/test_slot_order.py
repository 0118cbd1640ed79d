"""Slots for calls alone: how many run, who waits, and in which order.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.support.need import Need
from tests.support.waiting import rest

from lambda_sidecar.concurrency.slots import Concurrency, Share, Shed, Slot


class Order:
    """Calls that note when they are let in, by name, and keep their slots."""

    def __init__(self, slots: Concurrency) -> None:
        self.slots = slots
        self.names: list[str] = []
        self.held: dict[str, list[Slot]] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def take(self, function: str = "f") -> bool:
        if (slot := self.slots.take(function)) is None:
            return False
        self.held.setdefault(function, []).append(slot)
        return True

    async def wait(
        self,
        name: str,
        share: Share,
        function: str = "f",
        *,
        account: str = "app",
        seconds: float = 60.0,
        need: Need | None = None,
        again_since: float | None = None,
    ) -> None:
        async def call() -> None:
            deadline = time.monotonic() + seconds
            slot = await self.slots.wait(
                function, account, share, deadline=deadline, need=need or Need(), again_since=again_since
            )
            self.names.append(name)
            self.held.setdefault(function, []).append(slot)

        self.tasks[name] = asyncio.create_task(call())
        await rest()

    async def release(self, function: str = "f") -> list[str]:
        """Gives a slot back; the names that came in since the beginning."""
        self.slots.give_back(self.held[function].pop())
        await rest()
        return self.names


async def test_streams_take_turns_whatever_number_of_calls_each_has_waiting() -> None:
    slots = Concurrency(1, None)
    order = Order(slots)
    assert order.take()
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


async def test_an_account_with_60_sessions_costs_another_one_turn() -> None:
    slots = Concurrency(1, None)
    order = Order(slots)
    assert order.take()
    for number in range(60):
        await order.wait(f"crowd {number}", Share(), account="crowd")
    await order.wait("other", Share(), account="other")
    assert await order.release() == ["crowd 0"]
    assert await order.release() == ["crowd 0", "other"]
    for number in range(1, 31):  # and so again and again, though its sessions come and go
        await order.wait(f"other {number}", Share(), account="other")
        await order.release()
        await order.release()
    crowd = [name for name in order.names if name.startswith("crowd")]
    assert crowd == [f"crowd {number}" for number in range(len(crowd))]
    assert len(crowd) == len(order.names) // 2


async def test_one_stream_after_the_other_cannot_keep_a_known_one_waiting() -> None:
    """What each statement does that times out: its next call comes on a new connection."""
    slots = Concurrency(1, None)
    order = Order(slots)
    assert order.take()
    crowd = Share()
    for number in range(3):
        await order.wait(f"crowd {number}", crowd)
    for number in range(50):
        await order.wait(f"new {number}", Share())
        await order.release()
    assert order.names.index("crowd 1") <= 6
    assert order.names.index("crowd 2") <= 12


async def test_a_function_without_a_slot_holds_up_only_its_own_calls() -> None:
    slots = Concurrency(3, 1)
    order = Order(slots)
    assert order.take("slow")
    assert not order.take("slow")
    await order.wait("slow 2", Share(), "slow")
    assert order.take("quick")
    assert order.take("other")
    assert not order.take("third"), "three run: no function has room"
    await order.wait("third", Share(), "third")
    assert await order.release("quick") == ["third"]
    assert await order.release("slow") == ["third", "slow 2"]


async def test_a_call_that_stops_waiting_leaves_no_trace() -> None:
    slots = Concurrency(1, None)
    order = Order(slots)
    assert order.take()
    for name in ("first", "second", "third"):
        await order.wait(name, Share())
    order.tasks["first"].cancel()
    order.tasks["third"].cancel()
    await rest()
    assert slots.waiting == 1
    assert await order.release() == ["second"]
    await order.release()
    assert (slots.running, slots.waiting) == (0, 0)
    assert order.take()


async def test_a_call_cancelled_in_the_moment_in_which_it_is_let_in_gives_its_slot_back() -> None:
    slots = Concurrency(1, None)
    order = Order(slots)
    assert order.take()
    await order.wait("second", Share())
    slots.give_back(order.held["f"].pop())
    order.tasks["second"].cancel()
    with pytest.raises(asyncio.CancelledError):
        await order.tasks["second"]
    assert (slots.running, slots.waiting) == (0, 0)


async def test_a_call_cancelled_in_the_moment_before_a_slot_comes_free_does_not_get_it() -> None:
    slots = Concurrency(1, None)
    order = Order(slots)
    assert order.take()
    await order.wait("cancelled", Share())
    await order.wait("next", Share())
    order.tasks["cancelled"].cancel()
    assert await order.release() == ["next"]
    assert (slots.running, slots.waiting) == (1, 0)
    await order.release()
    assert (slots.running, slots.waiting) == (0, 0)


async def test_a_slot_that_was_given_back_is_not_given_back_twice() -> None:
    slots = Concurrency(2, None)
    first, second = slots.take("f"), slots.take("f")
    assert first is not None
    assert second is not None
    slots.give_back(first)
    slots.give_back(first)
    assert slots.running == 1
    assert slots.take("f") is not None
    assert slots.take("f") is None


async def test_a_call_that_cannot_end_in_its_time_is_shed_and_the_next_one_is_let_in() -> None:
    slots = Concurrency(1, None)
    order = Order(slots)
    assert order.take()
    await order.wait("expired", Share(), seconds=0.0)
    await order.wait("doomed", Share(), seconds=2.0, need=Need(5.0))
    await order.wait("in time", Share(), seconds=60.0, need=Need(5.0))
    assert await order.release() == ["in time"]
    for name in ("expired", "doomed"):
        with pytest.raises(Shed):
            await order.tasks[name]
    assert (slots.running, slots.waiting) == (1, 0)


async def test_a_higher_limit_lets_in_at_once_and_a_lower_one_takes_nothing_away() -> None:
    slots = Concurrency(1, None)
    order = Order(slots)
    assert order.take()
    await order.wait("second", Share())
    await order.wait("third", Share())
    slots.limit(2, None)
    await rest()
    assert order.names == ["second"]
    slots.limit(1, None)
    assert slots.running == 2
    assert await order.release() == ["second"]
    assert await order.release() == ["second", "third"]


async def test_who_had_a_turn_for_nothing_is_first_of_its_stream_and_pays_for_no_second_one() -> None:
    slots = Concurrency(1, None)
    order = Order(slots)
    assert order.take()
    one, other = Share(), Share()
    for number in range(3):
        await order.wait(f"one {number}", one)
        await order.wait(f"other {number}", other)
    await order.wait("later again", one, again_since=2.0)
    await order.wait("sooner again", one, again_since=1.0)
    for _ in range(8):
        await order.release()
    assert order.names == [
        *("sooner again", "later again", "one 0", "other 0", "one 1", "other 1", "one 2", "other 2")
    ]
    await order.release()


async def test_a_function_that_throttles_holds_up_none_but_its_own_calls() -> None:
    slots = Concurrency(10, None)
    order = Order(slots)
    assert order.take("f")
    slots.refused(order.held["f"][0], RuntimeError("429"))
    await order.wait("f again", Share(), "f", again_since=0.0)
    assert order.names == ["f again"], "the first is due at once"
    assert not order.take("f"), "it would be too soon"
    assert order.take("g")
    await order.wait("f next", Share(), "f")
    await order.wait("g next", Share(), "g")
    assert order.names == ["f again", "g next"]
    assert not slots.is_stuck()
    await asyncio.wait_for(order.tasks["f next"], 5)
    assert order.names == ["f again", "g next", "f next"]
    for function in ("f", "f", "f", "g", "g"):
        await order.release(function)
    assert (slots.running, slots.waiting) == (0, 0)

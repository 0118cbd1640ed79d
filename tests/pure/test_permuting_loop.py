"""The loop that permutes: what it promises to tests, and that it finds what the usual order hides.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import time
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.planted.faults import FAULTS
from tests.support.need import Need
from tests.support.permuting_loop import EPOCH, PermutingLoop, Stuck, in_any_order, run_in_order

from lambda_sidecar.concurrency import slots as slots_room

LEAK = "a slot is handed to a call that waits no more, and is gone"


async def written(names: str = "abcd", seconds: Callable[[int], float] = lambda _: 0.0) -> str:
    """By as many tasks, each after its time, in the order in which they ran."""
    log: list[str] = []

    async def write(name: str, wait: float) -> None:
        if wait:
            await asyncio.sleep(wait)
        log.append(name)

    await asyncio.gather(*(write(name, seconds(number)) for number, name in enumerate(names)))
    return "".join(log)


def test_what_is_ready_runs_in_every_order_and_a_seed_always_gives_the_same() -> None:
    orders = [run_in_order(written, seed) for seed in range(300)]
    assert len(set(orders)) == 24
    assert orders == [run_in_order(written, seed) for seed in range(300)]


def test_timers_run_when_time_has_it_and_those_of_one_moment_in_every_order() -> None:
    in_time = partial(written, "abcdef", lambda number: 1.0 + number // 2)
    orders = {run_in_order(in_time, seed) for seed in range(200)}
    assert orders == {
        one + two + three for one in ("ab", "ba") for two in ("cd", "dc") for three in ("ef", "fe")
    }


def test_what_is_ready_runs_in_this_turn_and_what_it_makes_ready_in_the_next() -> None:
    async def rounds() -> list[int]:
        log: list[int] = []

        async def three() -> None:
            for number in range(3):
                log.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(three() for _ in range(3)))
        return log

    for seed in range(20):
        assert run_in_order(rounds, seed) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_nobody_waits_for_time_to_pass_and_every_clock_shows_it() -> None:
    async def a_day() -> tuple[float, float, float]:
        loop = asyncio.get_running_loop()
        began = loop.time(), time.monotonic(), time.time()
        await asyncio.sleep(86_400)
        return loop.time() - began[0], time.monotonic() - began[1], time.time() - began[2]

    began = time.monotonic()
    assert run_in_order(a_day, 0) == pytest.approx((86_400.0,) * 3)
    assert time.monotonic() - began < 60
    assert abs(time.time() - EPOCH) > 86_400, "the clocks are the machine's again"


def test_whoever_sleeps_waits_until_all_others_have_come_to_rest() -> None:
    async def rests() -> str:
        log: list[str] = []

        async def steps() -> None:
            for _ in range(1000):
                await asyncio.sleep(0)
            log.append("others")

        working = asyncio.create_task(steps())
        await asyncio.sleep(1e-6)
        log.append("sleeper")
        await working
        return " ".join(log)

    assert run_in_order(rests, 0) == "others sleeper"


def test_a_wait_that_nobody_will_end_is_an_error_that_names_the_seed_and_no_hang() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck) as raised:
        run_in_order(waits, 7)
    assert raised.value.__notes__ == ["in the order of seed 7"]


def test_an_error_that_nobody_looks_at_is_one() -> None:
    async def forgets() -> None:
        asyncio.get_running_loop().call_soon(partial(int, "no number"))
        await asyncio.sleep(1)

    with pytest.raises(AssertionError, match="no number"):
        run_in_order(forgets, 0)


def test_it_has_neither_threads_nor_sockets() -> None:
    loop = PermutingLoop(0)
    with pytest.raises(NotImplementedError):
        loop.run_in_executor(None, print)
    with pytest.raises(NotImplementedError):
        loop.add_reader(0, print)
    loop.close()


async def three_calls_and_one_slot(room: Any) -> bool:
    """One runs and ends by itself, one waits and is cancelled by itself: whether the slot is there afterwards. A test
    of a few lines, which says nothing of how the two meet."""
    slots = room.Concurrency(1, None)

    async def runs(first: asyncio.Event) -> None:
        slot = slots.take("f")
        first.set()
        await asyncio.sleep(1)
        slots.give_back(slot)

    async def waits() -> None:
        slot = await slots.wait("f", "app", room.Share(), deadline=time.monotonic() + 60, need=Need())
        slots.give_back(slot)

    async def leaves(task: asyncio.Task[None]) -> None:
        await asyncio.sleep(1)
        task.cancel()

    taken = asyncio.Event()
    running = asyncio.create_task(runs(taken))
    await taken.wait()
    waiting = asyncio.create_task(waits())
    leaving = asyncio.create_task(leaves(waiting))
    await asyncio.gather(running, waiting, leaving, return_exceptions=True)
    return slots.take("f") is not None


def test_it_finds_the_slot_that_leaked_to_a_call_that_was_cancelled_in_the_same_turn() -> None:
    (fault,) = [fault for fault in FAULTS if fault.name == LEAK]
    leaking = types.ModuleType("leaking_slots")
    exec(compile(fault.planted(), fault.file, "exec"), leaking.__dict__)  # noqa: S102
    assert run_in_order(partial(three_calls_and_one_slot, leaking), None), "in asyncio's own order"
    found = [seed for seed in range(20) if not run_in_order(partial(three_calls_and_one_slot, leaking), seed)]
    assert len(found) > 3
    for seed in range(20):
        assert run_in_order(partial(three_calls_and_one_slot, slots_room), seed)


def test_an_async_test_runs_in_as_many_orders_as_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_UDF_ORDERS", "200")
    orders: set[str] = set()

    async def one(names: str) -> None:
        orders.add(await written(names))

    in_any_order(one)(names="abc")
    assert len(orders) == 6

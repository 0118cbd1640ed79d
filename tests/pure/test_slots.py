"""Slots and their queue under any order of what can happen to them, against models that count by hand.

Quick: no process, no socket. Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections import Counter

import pytest
from tests.support.need import Need

from lambda_sidecar.concurrency.durations import SAMPLES, Estimate
from lambda_sidecar.concurrency.fair_queue import FairQueue, Place
from lambda_sidecar.concurrency.slots import SHED_AT_ONCE, Concurrency, Share, Shed, Slot
from lambda_sidecar.concurrency.turns import KNOWN_MIN, Turns

FUNCTIONS = ("f", "g", "h")
ACCOUNTS = ("app", "batch", "report")
STEPS = 3000


class Model:
    """Does at random what sessions, Lambda and operators do, and keeps its own books."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.maximum = 3
        self.per_function: int | None = None
        self.slots = Concurrency(self.maximum, self.per_function)
        self.held: list[Slot] = []
        self.tasks: dict[asyncio.Task[None], str] = {}
        self.shares = [Share() for _ in range(6)]
        self.seen: Counter[str] = Counter()

    def take(self) -> None:
        if (slot := self.slots.take(self.random.choice(FUNCTIONS))) is not None:
            self.held.append(slot)
            self.seen["taken"] += 1

    def wait(self) -> None:
        """As service.py does it: only where there is no slot."""
        function = self.random.choice(FUNCTIONS)
        if (slot := self.slots.take(function)) is not None:
            self.held.append(slot)
        else:
            task = asyncio.create_task(self._wait(function))
            self.tasks[task] = function
            task.add_done_callback(self.tasks.pop)

    async def _wait(self, function: str) -> None:
        seconds = self.random.choice((-1.0, 0.0, 60.0, 60.0, 60.0))
        need = Need(self.random.choice((0.0, 0.0, 90.0)))
        share, account = self.random.choice(self.shares), self.random.choice(ACCOUNTS)
        try:
            deadline = time.monotonic() + seconds
            self.held.append(await self.slots.wait(function, account, share, deadline=deadline, need=need))
            self.seen["let in"] += 1
        except Shed:
            self.seen["shed"] += 1
        except asyncio.CancelledError:
            self.seen["cancelled"] += 1
            raise

    def cancel(self) -> None:
        if self.tasks:
            self.random.choice(list(self.tasks)).cancel()

    def give_back(self) -> None:
        if self.held:
            self.slots.give_back(self.held.pop(self.random.randrange(len(self.held))))

    def limit(self) -> None:
        self.maximum = self.random.randint(1, 5)
        self.per_function = self.random.choice((None, 1, 2))
        self.slots.limit(self.maximum, self.per_function)

    async def settle(self) -> None:
        """Some turns of the loop: whoever was let in, shed or cancelled has heard of it."""
        for _ in range(3):
            await asyncio.sleep(0)
        assert self.slots.running == len(self.held)
        assert self.slots.waiting == len(self.tasks)
        running = Counter(slot.function for slot in self.held)
        if len(self.held) < self.maximum:
            limit = self.per_function or self.maximum
            assert all(running[function] >= limit for function in self.tasks.values())
        assert not self.slots.is_stuck()

    def step(self) -> None:
        steps = (self.take, self.wait, self.wait, self.wait, self.cancel, self.cancel, self.give_back)
        before = self.slots.running
        self.random.choice((*steps, *steps, *steps, self.limit))()
        assert self.slots.running <= max(before, self.maximum)


@pytest.mark.parametrize("seed", range(8))
async def test_under_any_order_of_cancel_and_release_the_sum_of_slots_is_right(seed: int) -> None:
    model = Model(seed)
    for _ in range(STEPS):
        model.step()
        if model.random.random() < 0.5:  # otherwise more happens in the same turn of the loop
            await model.settle()
    for task in list(model.tasks):
        task.cancel()
    while model.held:
        model.give_back()
    await model.settle()
    while model.held:  # whoever was let in before it heard that it was cancelled
        model.give_back()
    await model.settle()
    assert (model.slots.running, model.slots.waiting) == (0, 0)
    assert min(model.seen[what] for what in ("taken", "let in", "shed", "cancelled")) > 20


async def test_calls_of_a_function_that_is_stopped_are_shed_a_few_in_each_turn_of_the_loop() -> None:
    slots = Concurrency(1, None)
    slots.throttles.stopped_seconds = 0
    slot = slots.take("f")
    assert slot is not None
    deadline, share = time.monotonic() + 900, Share()
    calls = [
        asyncio.create_task(slots.wait("f", "app", share, deadline=deadline, need=Need())) for _ in range(500)
    ]
    await asyncio.sleep(0)
    left = [slots.waiting]
    slots.refused(slot, Exception())
    while left[-1]:
        left.append(slots.waiting)
        await asyncio.sleep(0)
    assert left[0] == len(calls)
    assert max(before - after for before, after in itertools.pairwise(left)) == SHED_AT_ONCE
    assert {type(each) for each in await asyncio.gather(*calls, return_exceptions=True)} == {Shed}
    assert slots.running == 1


class PlainQueue:
    """What FairQueue promises, by looking at every call that waits."""

    def __init__(self) -> None:
        self.accounts = Turns()
        self.waiting: list[Place[int]] = []
        self.aside: set[str] = set()
        self.of: dict[int, tuple[str, str, str]] = {}
        self.again: dict[int, float] = {}
        """Since when those have been there who had a turn for nothing."""

    def add(
        self, place: Place[int], function: str, account: str, stream: str, again_since: float | None
    ) -> None:
        party = self.accounts.join(account)
        if party.members is None:
            party.members = Turns()
        party.members.join(stream)
        self.of[place.item] = (function, account, stream)
        if again_since is not None:
            self.again[place.item] = again_since
        self.waiting.append(place)

    def due(self, place: Place[int]) -> tuple[float, ...]:
        _, account, stream = self.of[place.item]
        party = self.accounts.parties[account]
        assert party.members is not None
        since = self.again.get(place.item, math.inf)
        return (party.start, party.members.parties[stream].start, since, place.item)

    def first(self) -> Place[int] | None:
        open_ones = [place for place in self.waiting if self.of[place.item][0] not in self.aside]
        return min(open_ones, key=self.due, default=None)

    def leave(self, place: Place[int], *, turn: bool) -> None:
        _, account, stream = self.of[place.item]
        party = self.accounts.parties[account]
        assert party.members is not None
        for each in (party.members.parties[stream], party):
            if turn and place.item not in self.again:
                each.take_turn()
            each.leave()
        self.waiting.remove(place)


@pytest.mark.parametrize("seed", range(8))
def test_the_order_is_that_of_a_look_at_every_waiting_call(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    queue: FairQueue[int] = FairQueue()
    plain = PlainQueue()
    for number in range(STEPS):
        what = chance.randrange(12)
        if what < 6:
            function = chance.choice(FUNCTIONS)
            account, stream = chance.choice(ACCOUNTS), f"stream {chance.randrange(5)}"
            again_since = chance.choice((None, None, float(chance.randrange(9))))
            added = queue.add(number, function, account, stream, again_since=again_since)
            plain.add(added, function, account, stream, again_since)
        elif what < 10:
            place = queue.first()
            assert place is plain.first()
            if place is not None:
                queue.serve(place)
                plain.leave(place, turn=True)
        elif what == 10 and plain.waiting:
            place = chance.choice(plain.waiting)
            queue.leave(place)
            queue.leave(place)
            plain.leave(place, turn=False)
        elif what == 11 and (function := chance.choice(FUNCTIONS)) in plain.aside:
            queue.take_back(function)
            plain.aside.discard(function)
        elif what == 11 and any(plain.of[place.item][0] == function for place in plain.waiting):
            queue.put_aside(function)
            plain.aside.add(function)
        plain.aside &= {plain.of[place.item][0] for place in plain.waiting}
        assert len(queue) == len(plain.waiting)
        assert set(queue.functions()) == {plain.of[place.item][0] for place in plain.waiting}


def test_who_has_left_is_forgotten() -> None:
    turns = Turns()
    for number in range(10_000):
        party = turns.join(number)
        party.take_turn()
        party.leave()
        assert len(turns.parties) <= KNOWN_MIN + 2
    queue: FairQueue[int] = FairQueue()
    for number in range(1000):
        queue.serve(queue.add(number, f"f{number}", f"account {number}", "stream"))
    assert (len(queue), queue.functions(), queue.first()) == (0, [], None)


def test_an_estimate_is_what_nearly_every_call_needs() -> None:
    estimate = Estimate()
    assert estimate.seconds == 0.0, "nothing is known"
    estimate.note(0.1, answered=True)
    assert estimate.seconds == 0.1
    for n in range(SAMPLES):
        estimate.note(0.1 + n / 1000, answered=True)
    assert 0.1 + 0.028 <= estimate.seconds <= 0.1 + 0.032


def test_a_cold_start_and_a_hung_call_do_not_change_what_is_expected_of_the_others() -> None:
    estimate = Estimate()
    for _ in range(SAMPLES):
        estimate.note(0.1, answered=True)
    for _ in range(SAMPLES // 8 - 1):
        estimate.note(5.0, answered=True)
    assert estimate.seconds == 0.1


def test_calls_without_an_answer_only_raise_the_estimate() -> None:
    estimate = Estimate()
    for _ in range(SAMPLES):
        estimate.note(0.5, answered=True)
    for _ in range(SAMPLES):
        estimate.note(0.1, answered=False)
    assert estimate.seconds == 0.5
    for _ in range(SAMPLES):
        estimate.note(2.0, answered=False)
    assert estimate.seconds == 2.0
    for _ in range(SAMPLES):
        estimate.note(0.1, answered=True)
    assert estimate.seconds == 0.1, "it has become quick again"

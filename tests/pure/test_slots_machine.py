"""Slots under whatever calls, clients, operators and the clock do, in any order: a machine and its own books.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

import hypothesis.strategies as st
from hypothesis.stateful import precondition, rule
from tests.support.machine import LoopMachine, lead_through_lives, numbers, one_of
from tests.support.need import Need

from lambda_sidecar.concurrency.pace import OVER
from lambda_sidecar.concurrency.slots import Concurrency, Share, Shed, Slot

FUNCTIONS, ACCOUNTS, SHARES = ("f", "g"), ("app", "batch"), 2


class Refused(Exception):
    """As Lambda's 429."""


class Call:
    """As the pipeline has one: it takes a slot or waits for one, runs until it is ended, and gives it back."""

    def __init__(self, function: str, account: str, share: int) -> None:
        self.number = 0
        """In the order in which calls began to wait."""
        self.function = function
        self.line = (function, account, share)
        self.end = asyncio.Event()
        self.waits = False
        self.is_refused = False
        """Lambda's answer is 429, once `end` is set."""
        self.had_turn = False
        self.slot: Slot | None = None
        self.task: asyncio.Task[None] | None = None


class SlotsMachine(LoopMachine):
    def begin(self) -> None:
        self.maximum = 2
        self.per_function: int | None = None
        self.slots = Concurrency(2, None)
        self.shares = [Share() for _ in range(SHARES)]
        self.calls: list[Call] = []
        self.given_back: list[Slot] = []
        self.count = 0
        self.most = 2
        self.most_of: Counter[str] | None = Counter()
        """None after a change of the limits, as long as some are on their way who were let in before."""
        self.last_let_in: defaultdict[tuple[str, str, int], int] = defaultdict(lambda: -1)

    @rule(
        function=st.sampled_from(FUNCTIONS),
        account=st.sampled_from(ACCOUNTS),
        share=st.integers(0, SHARES - 1),
        seconds=st.sampled_from((0.0, 0.5, 60.0, 60.0)),
        need=st.sampled_from((0.0, 0.0, 1.0)),
    )
    def call(self, function: str, account: str, share: int, seconds: float, need: float) -> None:
        call = Call(function, account, share)
        self.calls.append(call)
        call.task = self.start(self._run(call, account, share, self.loop.time() + seconds, need))
        call.task.add_done_callback(lambda _: self.calls.remove(call))

    async def _run(self, call: Call, account: str, share: int, deadline: float, need: float) -> None:
        slot = self.slots.take(call.function)
        began = self.loop.time()
        while True:
            if slot is None:
                self.count += 1
                call.number, call.waits = self.count, True
                again_since = began if call.had_turn else None
                try:
                    slot = await self.slots.wait(
                        call.function,
                        account,
                        self.shares[share],
                        deadline=deadline,
                        need=Need(need),
                        again_since=again_since,
                    )
                except Shed:
                    assert deadline - self.loop.time() <= need or self.is_stopped(call.function)
                    return
                finally:
                    call.waits = False
                assert deadline - self.loop.time() > need, "it cannot end in its time"
                if not call.had_turn:
                    self.last_let_in[call.line] = max(self.last_let_in[call.line], call.number)
            call.slot, call.had_turn = slot, True
            try:
                await call.end.wait()
                if call.is_refused:
                    self.slots.refused(slot, Refused())
            finally:
                call.slot = None
                self.slots.give_back(slot)
                self.given_back.append(slot)
            if not call.is_refused:
                return
            slot, call.is_refused = None, False
            call.end.clear()

    def is_stopped(self, function: str) -> bool:
        throttle = self.slots.throttles.of.get(function)
        return throttle is not None and throttle.pace.is_stopped

    @precondition(lambda self: self.calls)
    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        task = one_of(self.calls, number).task
        assert task is not None
        task.cancel()

    @precondition(lambda self: self.running)
    @rule(number=numbers)
    def end_one(self, number: int) -> None:
        one_of(self.running, number).end.set()

    @precondition(lambda self: self.running)
    @rule(number=numbers)
    def throttle_one(self, number: int) -> None:
        call = one_of(self.running, number)
        call.is_refused = True
        call.end.set()

    @precondition(lambda self: self.given_back)
    @rule(number=numbers)
    def give_back_once_more(self, number: int) -> None:
        self.slots.give_back(one_of(self.given_back, number))

    @rule(maximum=st.integers(1, 3), per_function=st.sampled_from((None, 1, 2)))
    def limit(self, maximum: int, per_function: int | None) -> None:
        self.start(self._limit(maximum, per_function))
        self.loop.settle()

    async def _limit(self, maximum: int, per_function: int | None) -> None:
        """A callback of the loop's, as a reload is."""
        self.maximum, self.per_function, self.most_of = maximum, per_function, None
        self.slots.limit(maximum, per_function)

    @property
    def running(self) -> list[Call]:
        return [call for call in self.calls if call.slot is not None]

    def look(self) -> None:
        slots, running = self.slots, self.running
        assert slots.running - slots.on_their_way == len(running)
        assert not slots.is_stuck()
        self.most = max(self.maximum, min(self.most, slots.running))
        assert slots.running <= self.most
        if self.per_function is not None and (most_of := self.most_of) is not None:
            of = Counter(call.function for call in running)
            for function in FUNCTIONS:
                most_of[function] = max(self.per_function, min(of[function], most_of[function]))
                assert of[function] <= most_of[function]

    def look_at_rest(self) -> None:
        waiting = [call for call in self.calls if call.waits]
        running = Counter(call.function for call in self.running)
        if self.most_of is None:
            self.most_of = running.copy()
        assert self.slots.waiting == len(waiting)
        assert self.slots.running == running.total()
        if running.total() < self.maximum:
            limit = self.per_function or self.maximum
            assert all(
                running[call.function] >= limit or self.is_held_back(call.function, running[call.function])
                for call in waiting
            ), "it waits though there is room"
        assert all(call.number > self.last_let_in[call.line] for call in waiting if not call.had_turn), (
            "it was overtaken"
        )

    def is_held_back(self, function: str, running: int) -> bool:
        """Its pace has not come to the next one."""
        throttle = self.slots.throttles.of.get(function)
        if throttle is None:
            return False
        return throttle.pace.due(now := self.loop.time(), running) > now

    def end(self) -> None:
        for call in self.calls:
            call.is_refused = False
            if call.slot is None and call.task is not None:
                call.task.cancel()
            call.end.set()
        self.loop.settle()
        assert (self.slots.running, self.slots.waiting) == (0, 0)
        self.slots.limit(self.maximum, None)
        self.loop.pass_time(OVER + 1)
        self.slots.throttles.forget(self.loop.time())
        taken = [self.slots.take("f") for _ in range(self.maximum + 1)]
        assert [slot is not None for slot in taken] == [True] * self.maximum + [False]


def test_whatever_happens_in_whatever_order_no_slot_is_lost_and_none_is_given_out_twice() -> None:
    lead_through_lives(SlotsMachine)

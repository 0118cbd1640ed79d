"""How many calls run at once, of one function and of all; the others wait for a slot.

On one event loop; knows nothing of gRPC or HTTP. Who of those that wait is next: fair_queue.py."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Hashable, Iterator
from typing import Protocol

from lambda_sidecar.concurrency.fair_queue import FairQueue, Place
from lambda_sidecar.concurrency.pace import Start
from lambda_sidecar.concurrency.throttles import Throttles

# Calls that are shed in one turn of the event loop: each fails then, which takes some 50 us.
SHED_AT_ONCE = 32


class Share:
    """Stands for one stream in the queue: all its calls are handed the same one."""

    __slots__ = ()


class Slot:
    """The right to run, of one call. Whoever has it gives it back, whatever happens."""

    __slots__ = ("function",)

    def __init__(self, function: str) -> None:
        self.function = function


class PacedSlot(Slot):
    """Of a call that began at the pace of a function that throttles; `start` is None once it was refused."""

    __slots__ = ("start",)

    def __init__(self, function: str, start: Start) -> None:
        super().__init__(function)
        self.start: Start | None = start


class Shed(Exception):
    """Its turn has come too late: what is left of its time is less than the function needs. Or it has none:
    the function throttles and has taken nothing for long."""


class Need(Protocol):
    """How long a call is expected to run."""

    def is_met(self, left: float, now: float) -> bool:
        """Whether `left` seconds are enough, or whether that has to be tried; `now` is time.monotonic()'s."""
        ...


class _Waiting:
    """A call in the queue. It is no more in it, as far as anybody is concerned, once the future is done:
    it was let in, or shed, or its task was cancelled and has not yet heard of it."""

    __slots__ = ("deadline", "let_in", "need")

    def __init__(self, deadline: float, need: Need) -> None:
        self.let_in: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self.deadline = deadline
        self.need = need


class Concurrency:
    """Slots for calls. A function that has no slot left holds up none but its own calls."""

    def __init__(self, maximum: int, per_function: int | None) -> None:
        """`maximum` over all functions; `per_function` for each one, None: no other limit. A function is
        known by the text that names it: its canonical ARN."""
        self.maximum = maximum
        self._per_function = per_function
        self._held: set[Slot] = set()
        self._running: dict[str, int] = {}  # of those held, by function
        self._queue: FairQueue[_Waiting] = FairQueue()
        # They have a slot and have not heard of it: until the event loop's next turn.
        self._let_in_just_now: set[_Waiting] = set()
        self.throttles = Throttles(self._is_due)
        self._throttled = self.throttles.of

    @property
    def running(self) -> int:
        """Slots that are held."""
        return len(self._held)

    @property
    def on_their_way(self) -> int:
        """Slots of those that are held that no call knows of yet. Under load there often are some."""
        return len(self._let_in_just_now)

    @property
    def waiting(self) -> int:
        """Calls that wait for one."""
        return len(self._queue)

    def limit(self, maximum: int, per_function: int | None) -> None:
        """New limits. Calls that run go on, also those beyond them."""
        self.maximum = maximum
        self._per_function = per_function
        for function in self._queue.functions():
            self._queue.take_back(function)
        self._let_in()

    def take(self, function: str) -> Slot | None:
        """A slot, if there is one now."""
        # Nobody is passed by: whoever waits does so because there is none.
        running, limit = self._running.get(function, 0), self._per_function
        if len(self._held) >= self.maximum or (limit is not None and running >= limit):
            return None
        if self._throttled and function in self._throttled:
            return None
        return self._hold(Slot(function), running)

    async def wait(
        self,
        function: str,
        account: Hashable,
        share: Share,
        *,
        deadline: float,
        need: Need,
        again_since: float | None = None,
    ) -> Slot:
        """A slot, as soon as it is this call's turn; `again_since`: it had one, was throttled, and came then.
        Raises Shed if what is left then until `deadline` (time.monotonic()'s) does not meet `need`, or if it
        is to have no turn. Cancelled, it leaves the queue and holds nothing."""
        waiting = _Waiting(deadline, need)
        place = self._queue.add(waiting, function, account, share, again_since=again_since)
        self._let_in()
        let_in = waiting.let_in
        try:
            return await let_in
        except asyncio.CancelledError:
            # Let in or shed and cancelled in one and the same turn of the loop.
            if not let_in.cancelled() and let_in.done() and let_in.exception() is None:
                self.give_back(let_in.result())
            raise
        finally:
            self._let_in_just_now.discard(waiting)
            self._queue.leave(place)

    def give_back(self, slot: Slot, *, is_taken: bool = False) -> None:
        """Lets in whoever can run now. A slot that was given back is none any more. `is_taken`: Lambda has
        let its call in, for all that one can know."""
        if slot not in self._held:
            return
        self._held.remove(slot)
        function = slot.function
        if running := self._running[function] - 1:
            self._running[function] = running
        else:
            del self._running[function]
        if is_taken and self._throttled and isinstance(slot, PacedSlot) and (start := slot.start) is not None:
            start.pace.took(time.monotonic(), start)
        if len(self._queue):
            self._queue.take_back(function)
            self._let_in()

    def refused(self, slot: Slot, why: Exception) -> None:
        """Lambda has throttled this call, which still has its slot. From now on the function has a pace,
        until it has recovered. If it counts as stopped, those that wait for it are shed."""
        start = None
        if isinstance(slot, PacedSlot):
            start, slot.start = slot.start, None
        others = self._running[slot.function] - 1
        if self.throttles.refused(slot.function, why, others, start):
            self._shed(iter(self._queue.of(slot.function)))

    def _shed(self, places: Iterator[Place[_Waiting]]) -> None:
        """Thousands may wait: a few in each turn of the event loop."""
        shed = 0
        for place in itertools.islice(places, SHED_AT_ONCE):
            shed += 1
            self._queue.leave(place)
            if not place.item.let_in.done():
                place.item.let_in.set_exception(Shed())
        if shed == SHED_AT_ONCE:
            asyncio.get_running_loop().call_soon(self._shed, places)

    def is_stuck(self) -> bool:
        """Whether a call waits although it could run: a defect, there is no such moment."""
        return len(self._held) < self.maximum and any(
            self._is_below_limit(function) and self.throttles.is_missed(function)
            for function in self._queue.functions()
        )

    def _is_due(self, function: str) -> None:
        """The pace of the function lets the next one in."""
        self._queue.take_back(function)
        self._let_in()

    def _hold(self, slot: Slot, running: int) -> Slot:
        """One more than the `running` of its function."""
        self._running[slot.function] = running + 1
        self._held.add(slot)
        return slot

    def _is_below_limit(self, function: str) -> bool:
        return self._per_function is None or self._running.get(function, 0) < self._per_function

    def _has_room(self, function: str) -> bool:
        """Below its own limit, and at its pace if it throttles."""
        return self._is_below_limit(function) and (
            not self._throttled or self.throttles.has_turn(function, self._running.get(function, 0))
        )

    def _let_in(self) -> None:
        while len(self._held) < self.maximum and (place := self._queue.first()) is not None:
            if not self._has_room(place.function):
                self._queue.put_aside(place.function)
            else:
                self._decide(place)

    def _decide(self, place: Place[_Waiting]) -> None:
        """Its turn has come, and there is room."""
        waiting, running = place.item, self._running.get(place.function, 0)
        left = waiting.deadline - (now := time.monotonic())
        if waiting.let_in.done():
            self._queue.leave(place)
        elif left <= 0 or not waiting.need.is_met(left, now):
            self._queue.leave(place)
            waiting.let_in.set_exception(Shed())
        else:
            self._queue.serve(place)
            self._let_in_just_now.add(waiting)
            waiting.let_in.set_result(self._hold(self._new_slot(place.function, running), running))

    def _new_slot(self, function: str, running: int) -> Slot:
        """For a call that has waited, besides the `running`."""
        start = self.throttles.start(function, running) if self._throttled else None
        return Slot(function) if start is None else PacedSlot(function, start)

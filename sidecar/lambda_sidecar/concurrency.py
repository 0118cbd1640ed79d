"""How many calls run at once, of one function and of all, and in which order the others wait.

Scheduling only, on one event loop; knows nothing of gRPC or HTTP."""

from __future__ import annotations

import asyncio
import itertools
from bisect import bisect_left, insort
from collections import Counter


class Share:
    """One stream's place in the queue: all its calls are handed the same one."""

    __slots__ = ("finish",)

    def __init__(self) -> None:
        self.finish = 0  # the virtual time at which the last of its waiting calls would be done


class Concurrency:
    """Slots for calls. Who finds none waits: the calls of a stream in order, streams in turn, whatever
    number each has waiting (start-time fair queuing: Goyal, Vin and Cheng, 1996). A function that has
    no slot left holds up none but its own calls."""

    def __init__(self, maximum: int, per_function: int | None) -> None:
        """`maximum` over all functions; `per_function` for each one, None: no other limit. Functions are
        told apart by whatever text names them: their canonical ARNs."""
        self.maximum = maximum
        self._per_function = per_function
        self._running: Counter[str] = Counter()
        # Sorted by virtual time, then arrival.
        self._waiting: dict[str, list[tuple[int, int, asyncio.Future[None]]]] = {}
        self._arrivals = itertools.count()
        self._now = 0  # virtual time: that of the waiting call which was let in last
        self.running = 0
        self.waiting = 0

    def limit(self, maximum: int, per_function: int | None) -> None:
        """New limits. Calls that run go on, also those beyond them."""
        self.maximum = maximum
        self._per_function = per_function
        self._let_in()

    def take(self, function: str) -> bool:
        """A slot, if there is one now."""
        # Nobody is passed by: whoever waits does so because there is none.
        if not self._has_room(function):
            return False
        self.running += 1
        self._running[function] += 1
        return True

    async def wait(self, function: str, share: Share) -> None:
        """A slot, as soon as it is this call's turn. Cancelled, it leaves the queue and holds nothing."""
        start = max(self._now, share.finish)
        share.finish = start + 1
        let_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (start, next(self._arrivals), let_in)
        insort(self._waiting.setdefault(function, []), place)
        self.waiting += 1
        try:
            await let_in
        except asyncio.CancelledError:
            if let_in.done() and not let_in.cancelled():
                self.release(function)
            else:
                self._leave(function, place)
            raise

    def release(self, function: str) -> None:
        """Gives a slot back, and lets in whoever can run now."""
        self.running -= 1
        self._running[function] -= 1
        if not self._running[function]:
            del self._running[function]
        if self._waiting:
            self._let_in()

    def _has_room(self, function: str) -> bool:
        limit = self._per_function
        return self.running < self.maximum and (limit is None or self._running[function] < limit)

    def _let_in(self) -> None:
        while ready := [(line[0], name) for name, line in self._waiting.items() if self._has_room(name)]:
            place, function = min(ready, key=lambda each: each[0][:2])
            self._leave(function, place)
            self.take(function)
            self._now = place[0]
            place[2].set_result(None)

    def _leave(self, function: str, place: tuple[int, int, asyncio.Future[None]]) -> None:
        line = self._waiting[function]
        del line[bisect_left(line, place[:2], key=lambda each: each[:2])]
        if not line:
            del self._waiting[function]
        self.waiting -= 1

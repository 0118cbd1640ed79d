"""An asyncio event loop for tests: what is ready runs in an order that a seed chooses, on a clock of its own.

Knows asyncio's loop; nothing of what runs on it. Without sockets and threads, so that a seed's run comes again."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import heapq
import inspect
import os
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

# On the loop's own clock, and in seconds since the epoch: not 0, which code takes for "never".
BEGINNING = 1_000.0
EPOCH = 2_000_000_000.0
# Whoever has not come to rest after so many turns never will.
TURNS_MAX = 100_000
# So many orders are tried of each test; `make orders` tries more.
ORDERS = 2


class Stuck(Exception):
    """Nothing is ready and no timer runs: what is waited for never comes."""


class PermutingLoop(asyncio.BaseEventLoop):
    """asyncio runs callbacks in the order in which they became ready, which depends on who was heard first:
    the network, a timer, another process. Here all that is ready in a turn of the loop runs in that turn, in any
    order. The clock stands still while something is ready, and then moves on to the next timer at once; so whoever
    sleeps, however shortly, waits until all others have come to rest."""

    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self, seed: int | None) -> None:
        """None: in asyncio's own order."""
        super().__init__()
        self._permutes = seed is not None
        self._chance = random.Random(seed)  # noqa: S311
        self._now = BEGINNING
        self._timers: list[asyncio.TimerHandle] = []
        self.unseen: list[str] = []
        """What asyncio would have logged: errors that nobody looked at."""
        self.set_exception_handler(lambda _, what: self.unseen.append(_described(what)))

    # ---- asyncio's side ----

    def time(self) -> float:
        return self._now

    def call_at(  # type: ignore[override]  # a callback's arguments are nobody's business here
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, timer)
        return timer

    def _timer_handle_cancelled(self, _timer: asyncio.TimerHandle) -> None:
        """It stays where it is, and is passed by."""

    def _run_once(self) -> None:
        """One turn."""
        if not self._ready and not self._stopping:
            self._move_on()
        turn = [*self._ready, *self._due()]
        self._ready.clear()
        if self._permutes:
            self._chance.shuffle(turn)
        for handle in turn:
            if not handle.cancelled():
                handle._run()

    def _due(self) -> Iterator[asyncio.Handle]:
        while (moment := self._next_timer()) is not None and moment <= self._now:
            yield heapq.heappop(self._timers)

    def _next_timer(self) -> float | None:
        while self._timers and self._timers[0].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0].when() if self._timers else None

    def _move_on(self) -> None:
        if (moment := self._next_timer()) is None:
            raise Stuck
        self._now = max(self._now, moment)

    def run_in_executor(self, *_: Any) -> Any:  # type: ignore[override]  # as above
        raise NotImplementedError("a thread ends when it will, and no run would come again")

    # ---- a test's side, from outside of what runs ----

    def turn(self) -> None:
        """Runs what is ready, once."""
        self.stop()
        self.run_forever()

    def settle(self) -> None:
        """Runs until nothing is ready. The clock stands still."""
        for _ in range(TURNS_MAX):
            if not self._ready:
                return
            self.turn()
        raise AssertionError(f"no rest after {TURNS_MAX} turns")

    def pass_time(self, seconds: float) -> None:
        """Settles, lets so much time pass with all that it brings, and settles again."""
        end = self._now + seconds
        self.settle()
        while (moment := self._next_timer()) is not None and moment <= end:
            self._now = max(self._now, moment)
            self.turn()
            self.settle()
        self._now = end

    @contextlib.contextmanager
    def clock(self) -> Iterator[None]:
        """While it lasts, everybody's clocks are this loop's."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("time.monotonic", self.time)
            patch.setattr("time.time", lambda: EPOCH + self._now - BEGINNING)
            yield

    def finish(self) -> None:
        """Cancels what still runs, and closes the loop. Fails if something was never looked at."""
        left = self.give_up()
        assert not [task for task in left if not task.done()]
        assert not self.unseen, self.unseen

    def give_up(self) -> set[asyncio.Task[Any]]:
        """The same whatever was seen; those tasks that were still running."""
        left = asyncio.all_tasks(self)
        for task in left:
            task.cancel()
        self.settle()
        self.close()
        return left


def _described(what: dict[str, Any]) -> str:
    return f"{what.get('message')}: {what.get('exception')!r}"


def run_in_order(main: Callable[[], Coroutine[Any, Any, T]], seed: int | None) -> T:
    """What `main` returns on such a loop. Its error names the seed."""
    loop = PermutingLoop(seed)
    try:
        with loop.clock():
            try:
                result = loop.run_until_complete(main())
            except BaseException:
                loop.give_up()
                raise
            loop.finish()
    except BaseException as error:
        error.add_note(f"in the order of seed {seed}")
        raise
    return result


@dataclass(frozen=True)
class Orders:
    """How many orders of each test are tried, and which is the first: LAMBDA_UDF_ORDERS, LAMBDA_UDF_ORDERS_FROM."""

    number: int
    first: int

    @classmethod
    def asked_for(cls) -> Orders | None:
        """None: as few as always."""
        number = os.environ.get("LAMBDA_UDF_ORDERS")
        first = int(os.environ.get("LAMBDA_UDF_ORDERS_FROM", "0"))
        return None if number is None else cls(int(number), first)


def seeds() -> range:
    """Those that are asked for, or ORDERS of them."""
    orders = Orders.asked_for() or Orders(ORDERS, 0)
    return range(orders.first, orders.first + orders.number)


def in_any_order(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """An async test as one that pytest runs on such loops, one for each of `seeds`, with the same fixtures."""

    @functools.wraps(test)
    def in_orders(**fixtures: Any) -> None:
        for seed in seeds():
            if isinstance(caplog := fixtures.get("caplog"), pytest.LogCaptureFixture):
                caplog.clear()
            run_in_order(functools.partial(test, **fixtures), seed)

    return in_orders


def async_tests(module: object) -> dict[str, Callable[..., Coroutine[Any, Any, None]]]:
    """Those of a test file, by name."""
    return {
        name: found
        for name, found in vars(module).items()
        if name.startswith("test_") and inspect.iscoroutinefunction(found)
    }

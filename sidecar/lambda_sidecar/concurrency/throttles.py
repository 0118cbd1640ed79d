"""The functions that throttle now: each has a pace, and a timer for its next turn.

On one event loop; knows nothing of slots, nor of who waits. How a pace is found: pace.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from lambda_sidecar.concurrency.pace import OVER, Pace, Start

# A function that has taken nothing for so many seconds, and has nothing to do, counts as stopped.
STOPPED_SECONDS = 30.0


class Throttle:
    """Of one function; made at its first 429."""

    __slots__ = ("pace", "timer", "wakes_at", "why")

    def __init__(self, pace: Pace, why: Exception) -> None:
        self.pace = pace
        self.why = why
        """Of its last 429."""
        self.timer: asyncio.TimerHandle | None = None
        self.wakes_at = 0.0
        """On time.monotonic()'s clock, as long as there is a timer."""


class Throttles:
    """Most of the time there are none."""

    def __init__(self, is_due: Callable[[str], None]) -> None:
        """`is_due` is called when a function's next call may begin, after `has_turn` has said that it may
        not."""
        self._is_due = is_due
        self.stopped_seconds = STOPPED_SECONDS
        self._look_at = 0.0
        self.of: dict[str, Throttle] = {}
        """By function."""

    def refused(self, function: str, why: Exception, others: int, start: Start | None) -> bool:
        """A 429; `others` of its calls run besides. `start`: of this one, if it began at a pace. Whether the
        function counts as stopped."""
        now = time.monotonic()
        throttle = self.of.get(function)
        if throttle is None:
            if now >= self._look_at:  # seldom: there may be many
                self._look_at = now + OVER
                self.forget(now)
            throttle = self.of[function] = Throttle(Pace(now), why)
        throttle.why = why
        is_ours = start is not None and start.pace is throttle.pace
        throttle.pace.refuse(now, others, start if is_ours else None, self.stopped_seconds)
        return throttle.pace.is_stopped

    def has_turn(self, function: str, running: int) -> bool:
        """Whether a call of the function may be let in, besides the `running`."""
        throttle = self.of.get(function)
        if throttle is None:
            return True
        now = time.monotonic()
        if throttle.pace.is_over(now):
            self._forget(function)
            return True
        due = throttle.pace.due(now, running)
        if due <= now:
            return True
        self._wake(function, throttle, now, due)
        return False

    def start(self, function: str, running: int) -> Start | None:
        """One of its calls begins, besides the `running`; at its pace, if it throttles."""
        throttle = self.of.get(function)
        return None if throttle is None else throttle.pace.start(time.monotonic(), running)

    def is_missed(self, function: str) -> bool:
        """Whether nothing will say when calls that wait for it may begin."""
        throttle = self.of.get(function)
        return throttle is None or throttle.timer is None

    def is_stopped(self, function: str) -> bool:
        """Whether it has taken nothing for long."""
        throttle = self.of.get(function)
        return throttle is not None and throttle.pace.is_stopped

    def why(self, function: str) -> Exception | None:
        """Its last 429, if it throttles now."""
        throttle = self.of.get(function)
        return None if throttle is None else throttle.why

    def forget(self, now: float) -> None:
        """Those that have recovered."""
        for function in [name for name, throttle in self.of.items() if throttle.pace.is_over(now)]:
            self._forget(function)
            self._is_due(function)

    def _forget(self, function: str) -> None:
        if (timer := self.of.pop(function).timer) is not None:
            timer.cancel()

    def _wake(self, function: str, throttle: Throttle, now: float, at: float) -> None:
        if throttle.timer is not None:
            if throttle.wakes_at <= at:
                return
            throttle.timer.cancel()
        throttle.wakes_at = at
        throttle.timer = asyncio.get_running_loop().call_later(at - now, self._wakes, function, throttle)

    def _wakes(self, function: str, throttle: Throttle) -> None:
        throttle.timer = None
        self._is_due(function)

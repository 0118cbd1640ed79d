"""A call's turn to be sent: the waits for a slot and for its function's pace, and the rests between attempts.

Knows slots, and what Lambda's refusals mean for those that wait; nothing of what a call does then."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Iterator

from lambda_sidecar.calls.call import WAITING, Call
from lambda_sidecar.calls.traffic import OTHER, Traffic
from lambda_sidecar.concurrency.durations import Estimate
from lambda_sidecar.concurrency.slots import Concurrency, Shed, Slot
from lambda_sidecar.errors import InvokeFailure, Overloaded, Throttled

log = logging.getLogger(__name__)

# At most so often the log says that calls wait for a slot, and that Lambda throttles.
WARN_SECONDS = 60.0
# What Lambda has throttled rests before it waits for its turn again, at most so many seconds, twice as long
# each time up to the most. Others have their turn meanwhile.
REST_FIRST, REST_MOST = 0.05, 1.0
# So much of a call's whole time, and no more than this share of it, is left for the answer that Lambda
# throttles it: that says more than that its time is over, and has to arrive on a machine that is busy.
ANSWER_SECONDS, ANSWER_SHARE = 0.1, 0.1


class Waits:
    """Of all calls."""

    def __init__(self, concurrency: Concurrency, traffic: Traffic) -> None:
        self._concurrency = concurrency
        self._traffic = traffic
        self._warned_of_waiting = self._warned_of_throttling = -WARN_SECONDS

    def held_to(self) -> dict[str, float]:
        """Calls in a second, of functions that throttle now, by the names under which they are counted."""
        throttles = self._concurrency.throttles
        throttles.forget(time.monotonic())
        speeds: dict[str, float] = {}
        for function, throttle in throttles.of.items():
            name = function.rpartition(":")[2]
            counted = name if name in self._traffic.functions else OTHER
            speeds[counted] = speeds.get(counted, 0.0) + throttle.pace.per_second
        return speeds

    def held_back(self) -> int:
        """Calls that wait because their function throttles."""
        functions = self._concurrency.throttles.of
        return sum(
            call.phase is WAITING and call.limited_as in functions
            for call in (self._traffic.in_flight if functions else ())
        )

    async def wait(self, call: Call, estimate: Estimate, refusal: Throttled | None) -> Slot:
        """A slot. Also a wait that the deadline ends is reported. `refusal`: it had one, for nothing, because
        Lambda throttled it; an attempt that came to something was a turn. Raises Overloaded, CallTimeout, or
        Throttled where that is why it has no turn."""
        concurrency, function = self._concurrency, call.limited_as
        if function not in concurrency.throttles.of:
            self._warn_of_waiting()
        began = time.monotonic()
        call.phase = WAITING
        try:
            async with asyncio.timeout(None) as turn:
                with self._last_turn_of(call, turn):
                    return await concurrency.wait(
                        function,
                        call.account,
                        call.share,
                        deadline=call.deadline,
                        need=estimate,
                        again_since=None if refusal is None else call.began,
                    )
        except (Shed, TimeoutError):
            if (failure := self._refusal(function, refusal)) is not None:
                raise failure from None
            call.seconds_left()
            raise Overloaded(concurrency.running, concurrency.waiting) from None
        finally:
            call.queued_us += int((time.monotonic() - began) * 1_000_000)

    @contextlib.contextmanager
    def _last_turn_of(self, call: Call, turn: asyncio.Timeout) -> Iterator[None]:
        """Ends the wait at the call's last turn if its function throttles then; that it did when the wait
        began is not needed."""
        loop = asyncio.get_running_loop()

        def end() -> None:
            if call.limited_as in self._concurrency.throttles.of:
                turn.reschedule(loop.time())

        alarm = loop.call_later(_last_turn(call) - time.monotonic(), end)
        try:
            yield
        finally:
            alarm.cancel()

    def throttled(self, call: Call, slot: Slot, failure: Throttled) -> bool:
        """Lambda's answer to it is 429, and it has its slot still. Whether the function has taken nothing for
        so long that nobody waits for it."""
        throttles = self._concurrency.throttles
        self._traffic.throttled(call)
        now = time.monotonic()
        if slot.function not in throttles.of and now - self._warned_of_throttling >= WARN_SECONDS:
            self._warned_of_throttling = now
            text = "Lambda throttles %s: its calls wait for their turn, at the pace that it allows"
            log.warning(text, slot.function)
        self._concurrency.refused(slot, failure.of_another())
        return throttles.is_stopped(slot.function)

    async def rest(self, call: Call, refusal: Throttled, attempts: int) -> None:
        """Until what was throttled may wait for its turn again; it holds nothing. Raises the refusal if there
        is no time for that."""
        left = _last_turn(call) - time.monotonic()
        asked = refusal.retry_after or 0.0
        if left <= asked or left <= 0:
            raise refusal
        pause = min(REST_FIRST * 2 ** min(attempts - 1, 30), REST_MOST, left / 2) * random.uniform(0.5, 1.0)  # noqa: S311
        await self.pause(call, max(asked, pause))

    async def pause(self, call: Call, seconds: float) -> None:
        """Between two attempts, holding nothing."""
        call.phase = WAITING
        began = time.monotonic()
        try:
            await asyncio.sleep(seconds)
        finally:
            call.queued_us += int((time.monotonic() - began) * 1_000_000)

    def late(self, call: Call) -> InvokeFailure:
        """Its time has passed."""
        if call.phase is WAITING and (refusal := self._refusal(call.limited_as, None)) is not None:
            return refusal
        return call.timeout()

    def _refusal(self, function: str, own: Throttled | None) -> Throttled | None:
        """Why a call of it has no turn, if that is because Lambda throttles: its own 429, or another's."""
        if own is not None:
            return own
        why = self._concurrency.throttles.why(function)
        return why.of_another() if isinstance(why, Throttled) else None

    def _warn_of_waiting(self) -> None:
        now = time.monotonic()
        if now - self._warned_of_waiting >= WARN_SECONDS:
            self._warned_of_waiting = now
            text = "calls wait for a slot: %d run, %d wait already (max_concurrency)"
            log.warning(text, self._concurrency.running, self._concurrency.waiting)


def _last_turn(call: Call) -> float:
    """Until then it may wait for its function's pace, on time.monotonic()'s clock. It is a share of the whole
    time: one of what is left whenever it is asked would leave nothing in the end."""
    return call.deadline - min(ANSWER_SECONDS, ANSWER_SHARE * (call.deadline - call.began))

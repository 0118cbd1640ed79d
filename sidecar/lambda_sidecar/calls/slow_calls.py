"""The slowest calls of the last minutes: a bounded memory of what took long.

Knows calls that have ended and a clock; nothing of who looks."""

from __future__ import annotations

import heapq
import itertools
import time
from dataclasses import dataclass

from lambda_sidecar.calls.call import Call, Outcome

# So many of each window are kept, and shown of both together.
SLOW_MAX = 20
# Two windows are kept, the one that runs and the one before: 5 to 10 minutes.
WINDOW_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class EndedCall:
    """The memory of one call. Neither its payload nor its result is kept."""

    user: str
    host: str
    connection_id: int
    function: str
    invocation_type: str
    outcome: Outcome
    seconds: float
    queued_us: int
    ended: float
    """On time.monotonic()'s clock."""
    request_id: str


def ended_call(call: Call, outcome: Outcome, seconds: float, ended: float) -> EndedCall:
    """`seconds` is how long it took."""
    account = call.account
    return EndedCall(
        user=account.user,
        host=account.host,
        connection_id=call.connection_id,
        function=str(call.function) if call.function is not None else "",
        invocation_type=call.invocation.invocation_type if call.invocation is not None else "",
        outcome=outcome,
        seconds=seconds,
        queued_us=call.queued_us,
        ended=ended,
        request_id=call.result.request_id if call.result is not None else "",
    )


class SlowCalls:
    """Compare with `floor` and `window_ends` first, which costs next to nothing, and `note` only then."""

    def __init__(self) -> None:
        self.floor = 0.0
        """Seconds: what took less is not among the slowest of this window."""
        self.window_ends = time.monotonic() + WINDOW_SECONDS
        # Heaps, the quickest first; numbered, because calls have no order.
        self._now: list[tuple[float, int, EndedCall]] = []
        self._before: list[tuple[float, int, EndedCall]] = []
        self._numbers = itertools.count()

    def note(self, call: Call, outcome: Outcome, seconds: float, ended: float) -> None:
        """A call that took longer than `floor`, or ended after `window_ends`."""
        self._turn(ended)
        if seconds <= self.floor:
            return
        entry = (seconds, next(self._numbers), ended_call(call, outcome, seconds, ended))
        if len(self._now) < SLOW_MAX:
            heapq.heappush(self._now, entry)
        else:
            heapq.heapreplace(self._now, entry)
        if len(self._now) == SLOW_MAX:
            self.floor = self._now[0][0]

    def slowest(self, now: float) -> list[EndedCall]:
        """The slowest first, SLOW_MAX at most. `now` is time.monotonic()'s."""
        self._turn(now)
        return [entry[2] for entry in heapq.nlargest(SLOW_MAX, self._now + self._before)]

    def _turn(self, now: float) -> None:
        """Forgets what is too old."""
        if now < self.window_ends:
            return
        # Nothing was noted for a whole window or more: what is there is older than one.
        self._before = self._now if now < self.window_ends + WINDOW_SECONDS else []
        self._now = []
        self.floor = 0.0
        self.window_ends = now + WINDOW_SECONDS

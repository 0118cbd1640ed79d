"""How long a function is expected to need: what its last calls took, and how far they were apart.

Pure; knows nothing of who waits for that reason."""

from __future__ import annotations

from collections import deque
from functools import lru_cache

# So many calls back: enough that three cold starts among them change nothing, few enough that a function that
# has become quicker or slower is known soon.
SAMPLES = 32
# Functions, each with its invocation type; 1.3 KB each.
ESTIMATES_MAX = 2048


class Estimate:
    """Of one function."""

    __slots__ = ("_samples", "_seconds", "_tried", "_try_at")

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES)
        self._seconds: float | None = 0.0
        self._try_at: float | None = None
        self._tried = False

    @property
    def seconds(self) -> float:
        """Seconds that nearly every call needs; 0 as long as nothing is known.

        The median, and twice the distance from there to what seven of eight calls needed, which for a normal
        distribution is 99 of 100; at most the longest of them. By ranks, and not by mean and deviation as
        TCP's time-out (RFC 6298), because one cold start or one hung call would count for dozens of calls."""
        if self._seconds is None:
            ranked = sorted(self._samples)
            median, late = ranked[len(ranked) // 2], ranked[len(ranked) * 7 // 8]
            self._seconds = min(2 * late - median, ranked[-1])
        return self._seconds

    def is_met(self, left: float, now: float) -> bool:
        """Whether a call with so many seconds left is worth sending at `now`, on any clock. So is one with
        too few where another was refused, and none has ended since, for as long as one is expected to need:
        what is never sent would be expected to take that long for ever."""
        if left > self.seconds:
            return True
        if self._try_at is not None and now >= self._try_at:
            self._try_at = now + self.seconds
            self._tried = True
            return True
        if self._try_at is None:
            self._try_at = now + self.seconds
        return False

    def note(self, seconds: float, *, answered: bool) -> None:
        """A call that was sent has ended. One without an answer would have taken longer, or failed before the
        function ran: it can only raise the estimate."""
        self._try_at = None
        if self._tried:
            self._tried = False
            if answered and seconds < self.seconds:  # what was known is out of date
                self._samples.clear()
        if answered or seconds > self.seconds:
            self._samples.append(seconds)
            self._seconds = None


class Durations:
    """Estimates by function and invocation type, those used last."""

    def __init__(self) -> None:
        self.of = lru_cache(ESTIMATES_MAX)(_new_estimate)


def _new_estimate(_function: str, _invocation_type: str) -> Estimate:
    return Estimate()

"""The pace of a function that throttles: how many of its calls begin in a second, and how many run at once.

Pure; the time is passed in. Knows nothing of slots, of who waits for its turn, or of timers."""

from __future__ import annotations

import math

# Calls begun in a second. Lambda is asked at the least so often whether it takes some again.
RATE_MIN = 1.0
# After the first 429, as long as it is not known what the function takes: twice as many after each look.
RATE_FIRST = 200.0
# What began within so many seconds, and was refused of it, is looked at together; the first time sooner.
# Fewer calls than LOOK_CALLS say little, so they are looked at after LOOK_LONG only.
LOOK_FIRST, LOOK, LOOK_CALLS, LOOK_LONG = 0.3, 0.5, 8, 2.0
# If more than this share was refused, and that is not a few by chance, what was taken is the new rate.
REFUSED_MANY, REFUSED_FEW = 0.1, 3
# But below REFUSED_MOST the rate becomes no smaller than by DECREASE_MOST: where no two calls may begin too
# close to each other, a rate that is a little too high has every second one refused.
REFUSED_MOST, DECREASE_MOST = 0.6, 0.8
# A single 429 makes the rate so much smaller; those of the next EVENT seconds are the same event.
DECREASE, EVENT = 0.98, 0.25
# It grows by this share of itself in a second. Once there was no decrease for EVEN seconds, and as many as
# EVEN_CALLS take, each further second makes it grow FASTER times as fast, up to GROWTH_MOST: a function that
# has recovered has all its calls back in some seconds. But never beyond FAR times as many as began lately.
GROWTH, GROWTH_EVEN, GROWTH_EVEN_CALLS, GROWTH_FASTER, GROWTH_MOST, FAR = 0.02, 1.25, 16, 8.0, 2.0, 4.0
# So many calls that had the last of the places, and were not refused, make one place more; after that, each
# round of all places does.
PLACE_CALLS = 32
# A 429 is put down to the places if at least this share of the most calls that were taken at once run. (Calls
# that have ended count as running until their answers are read.)
FULL = 0.85
# While the places are full, one call more is tried once none has begun for this time, which halves with each
# that is not refused: long calls that run say nothing of what Lambda takes by now.
TRY_SECONDS = 1 / RATE_MIN
# A start that comes so many seconds late is made up for by the next ones: neither timers nor the event loop
# are exact.
LATE = 0.02
# Lambda has taken one after so many refusals in a row: what it takes is looked for anew, from this rate on.
MISSES, RATE_AGAIN = 3, 20.0
# After so many seconds without a 429, and without anybody who had to wait for the pace, it is over.
OVER = 10.0


class Start:
    """Of one call, at a pace, besides `others` that ran. `is_beyond` the places: only tried."""

    __slots__ = ("is_beyond", "others", "pace")

    def __init__(self, pace: Pace, others: int, *, is_beyond: bool) -> None:
        self.pace = pace
        self.others = others
        self.is_beyond = is_beyond


class Pace:
    """Additive increase and multiplicative decrease, of a rate and of the number of calls that run at once.

    Lambda limits both (developer guide, "Lambda quotas"), other callers use some of it, and a 429 does not
    say how much is left: what is taken is what is allowed. A refused attempt costs little, and what is
    allowed and not used is lost. So both stay close to where refusals begin. The numbers of this file are
    those with which the models of tests/pure/test_throttling.py are used best."""

    def __init__(self, now: float) -> None:
        """`now` and all other times are seconds of one clock."""
        self.rate = RATE_FIRST
        self.is_stopped = False
        """It takes nothing, and is tried RATE_MIN times a second."""
        self._searches = True
        self._next = now
        self._places = math.inf
        self._others = 1
        self._place_calls = 0
        self._place_at = PLACE_CALLS
        self._started_at = now
        self._try_after = TRY_SECONDS
        self._looked = now
        self._speed = RATE_FIRST
        self._started = 0
        self._refused = 0
        self._most_taken = self._most_before = 0
        self._misses = 0
        self._cut = now
        self._grown = now
        self._refused_at = now
        self._taken_at = now
        self._held_at = now

    @property
    def per_second(self) -> float:
        """Calls that begin in a second: the rate, or what the places let through lately."""
        return min(self.rate, max(self._speed, RATE_MIN))

    def due(self, now: float, running: int) -> float:
        """When the next call may begin, while `running` run: sooner if one of them ends and has a place."""
        due = self._next
        if running >= self._places:
            due = max(due, self._started_at + self._try_after)
            self._held_at = now
        if due > now:
            self._held_at = now
        return due

    def start(self, now: float, running: int) -> Start:
        """One call begins, besides the `running`, when it is due."""
        if now - self._next <= max(LATE, 1 / self.rate):  # somebody has waited for it
            self._grow(now)
        self._grown = now
        self._next = max(self._next, now - LATE) + 1 / self.rate
        self._started_at = now
        if running >= self._places:
            self._try_after /= 2
            return Start(self, running, is_beyond=True)
        self._started += 1
        if running + 1 >= self._places:
            self._use_last_place()
        self._look(now)
        return Start(self, running, is_beyond=False)

    def took(self, now: float, start: Start) -> None:
        """The call has ended, and was not refused."""
        self._taken_at = now
        self._most_taken = max(self._most_taken, start.others + 1)
        if start.is_beyond:
            self._places = max(self._places, start.others + 1)
        self.is_stopped = False
        if self._misses >= MISSES and self.rate < RATE_AGAIN and not self._searches:
            self._searches, self._places = True, math.inf
            self.rate = RATE_AGAIN
            self._next = min(self._next, now + 1 / self.rate)
            self._looked, self._started, self._refused = now, 0, 0
        self._misses = 0

    def refuse(self, now: float, others: int, start: Start | None, stopped_after: float) -> None:
        """A 429, while `others` run; None: of a call that did not begin at this pace. A function that has
        taken nothing for `stopped_after` seconds counts as stopped."""
        self._refused_at = now
        if others == 0 and now - self._taken_at >= stopped_after:
            self.is_stopped = True
        if start is None:
            return
        if start.is_beyond:
            self._try_after = TRY_SECONDS
            return
        self._refused += 1
        self._misses += 1
        self._others = max(1, others)
        if not self._searches:
            self._decrease(now, others)
        self._look(now)

    def is_over(self, now: float) -> bool:
        """Whether it may be forgotten."""
        return now - max(self._refused_at, self._held_at) >= OVER

    def _decrease(self, now: float, others: int) -> None:
        if others >= FULL * max(self._most_taken, self._most_before):
            if others < self._places:
                self._places, self._try_after = max(1, others), TRY_SECONDS
            self._place_calls, self._place_at = 0, PLACE_CALLS
        elif now - self._cut >= EVENT:
            self._cut = now
            # Its turn was not used: the next one comes sooner.
            self._next = max(self._next - 1 / self.rate, now + 0.25 / self.rate)
            self.rate = max(RATE_MIN, DECREASE * self.rate)

    def _grow(self, now: float) -> None:
        longer = now - self._cut - self._even()
        share = min(GROWTH_MOST, GROWTH * GROWTH_FASTER ** min(9.0, max(0.0, longer)))
        if self.rate < FAR * self._speed:
            self.rate *= 1 + share * min(1.0, now - self._grown)

    def _even(self) -> float:
        """Seconds without a decrease after which it grows faster."""
        return max(GROWTH_EVEN, GROWTH_EVEN_CALLS / self.rate)

    def _use_last_place(self) -> None:
        self._place_calls += 1
        if self._place_calls >= self._place_at:
            self._places += 1
            self._place_calls, self._place_at = 0, max(1, int(self._places))

    def _look(self, now: float) -> None:
        """At what became of those that began since the last look."""
        seconds = now - self._looked
        if seconds < (LOOK_FIRST if self._searches else LOOK):
            return
        if self._started < LOOK_CALLS and seconds < LOOK_LONG:
            return
        if self._refused >= REFUSED_FEW and self._refused > REFUSED_MANY * self._started:
            taken = (max(0, self._started - self._refused) + 1) / seconds
            if not self._searches and self._refused <= REFUSED_MOST * self._started:
                taken = max(taken, DECREASE_MOST * self.rate)
            self.rate = max(RATE_MIN, min(DECREASE * self.rate, taken))
            self._next = min(self._next, now + 1 / self.rate)
            self._cut = now
            if self._searches:
                self._searches, self._misses = False, 0
                self._places, self._try_after = self._others, TRY_SECONDS
                self._cut = now - self._even()
        elif self._searches:
            self.rate *= 2
        self._speed = self._started / seconds
        self._looked, self._started, self._refused = now, 0, 0
        self._most_before, self._most_taken = self._most_taken, 0

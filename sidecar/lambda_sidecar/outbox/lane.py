"""One function: its rows that wait for their turn, how many are under way, and how long it pauses.

Pure; knows no clock, no other function, and nothing of how much room there is for all."""

from __future__ import annotations

from collections import deque

from lambda_sidecar.outbox.row import Row

# An answer of which nothing is known is expected to have ANSWER_BYTES, and what is expected falls by so much
# with each that is smaller. A function whose answers grow all at once takes more memory, once.
ANSWER_BYTES, ANSWER_DECAY = 1024 * 1024, 0.75
# A lane that fails waits before its next try, twice as long each time.
PAUSE_MIN, PAUSE_MAX = 0.1, 30.0
# One of which many rows are locked waits so long at each further one.
LOCKED_SECONDS = 1.0


class Lane:
    """`name`: as SQL gave it."""

    __slots__ = (
        "answer_bytes",
        "answer_room",
        "answering",
        "failures",
        "limit",
        "name",
        "paused_until",
        "rows",
        "skipped_from",
        "under_way",
    )

    def __init__(self, name: str, limit: float) -> None:
        self.name = name
        self.rows: deque[Row] = deque()
        self.under_way = 0
        self.answering = 0
        """Of those under way, rows that wait for their function."""
        self.answer_room = 0
        """Bytes that are expected of their answers, as far as these are kept."""
        self.limit = limit
        """So many may be under way. It is halved when Lambda throttles and grows by one with each success."""
        self.failures = 0
        """In a row."""
        self.paused_until = 0.0
        self.answer_bytes = float(ANSWER_BYTES)
        """Bytes that the next answer is expected to have: the largest so far, forgotten a little with each
        smaller one."""
        self.skipped_from: int | None = None
        """The id of the first row that had no room here, and is to be read again."""

    def skip(self, row: Row) -> None:
        """It is to be read again, if it is one of `outbox`: the others are found whenever they are due."""
        if not row.is_waiting and (self.skipped_from is None or row.id < self.skipped_from):
            self.skipped_from = row.id

    def begin(self) -> Row:
        """The first of its rows, which is under way from now on."""
        row = self.rows.popleft()
        row.answer_room = int(self.answer_bytes) if row.keep_result else 0
        self.under_way += 1
        self.answering += row.waits_for_function
        self.answer_room += row.answer_room
        return row

    def end(self, row: Row) -> None:
        """It is under way no more."""
        self.under_way -= 1
        self.answering -= row.waits_for_function
        self.answer_room -= row.answer_room

    def answered(self, size: int) -> None:
        """An answer that is kept has so many bytes."""
        self.answer_bytes = max(size, ANSWER_DECAY * self.answer_bytes)

    def works(self, most: int) -> None:
        """The function answers; `most` is the highest limit."""
        self.failures = 0
        self.limit = min(self.limit + 1, most)

    def fails(self, now: float) -> None:
        """Those that were under way when it failed first count as one failure."""
        if now < self.paused_until:
            return
        self.limit = max(1.0, self.limit / 2)
        self.paused_until = now + min(PAUSE_MAX, PAUSE_MIN * 2**self.failures)
        self.failures = min(self.failures + 1, 30)

    def is_locked(self, now: float) -> None:
        """Many of its rows are locked in the tables: one at a time shows when that is over."""
        self.limit = 1.0
        self.paused_until = max(self.paused_until, now + LOCKED_SECONDS)

    def is_idle(self, now: float) -> bool:
        """Whether it has nothing to do, and nothing to remember."""
        is_needed = self.rows or self.under_way or self.skipped_from is not None
        return not is_needed and self.paused_until + (PAUSE_MAX if self.failures else 0.0) <= now

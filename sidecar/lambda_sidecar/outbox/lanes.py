"""Which row is next, and how many of each function are under way: a slow function holds up none but itself.

Pure; knows no clock, no MySQL and no Lambda. A lane is one function, by the name that SQL gave it."""

from __future__ import annotations

from collections import deque

from lambda_sidecar.outbox.row import Row

# Rows that were read and have not begun, of all lanes; small ones, for large payloads do not come along.
BUFFERED_ROWS = 2000
# A lane may always have so many, however full the others are.
LANE_ROWS = 16
# Answers that are kept are in memory until they are stored. So many bytes may be expected of all that are
# under way; an answer of which nothing is known is expected to have ANSWER_BYTES, and what is expected falls
# by so much with each that is smaller. A function whose answers grow all at once takes more, once.
ANSWERS_MAX = 64 * 1024 * 1024
ANSWER_BYTES, ANSWER_DECAY = 1024 * 1024, 0.75
# A lane that fails waits before its next try, twice as long each time.
PAUSE_MIN, PAUSE_MAX = 0.1, 30.0
# One of which many rows are locked waits so long at each further one.
LOCKED_SECONDS = 1.0


class Lane:
    """Rows of one function."""

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


class Lanes:
    """`capacity` rows may be under way. One function gets at most half of what the others leave free, so that
    there is always room for one more (dynamic thresholds: Choudhury and Hahne, 1998)."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lanes: dict[str, Lane] = {}
        self._turns: deque[Lane] = deque()
        self.under_way = 0
        self.buffered = 0
        self._answering = 0
        """Of those under way, rows that wait for their function, up to 15 minutes each."""
        self._answer_room = 0

    def offer(self, row: Row) -> bool:
        """Takes the row. False: its function's lane is full. A row of `outbox` is remembered as skipped then;
        so is one behind a row that was skipped, for rows are read in order."""
        lane = self._lanes.get(row.function_name)
        if lane is None:
            lane = self._lanes[row.function_name] = Lane(row.function_name, float(self._capacity))
            self._turns.append(lane)
        room = self._room(lane)
        if not row.is_waiting and (lane.skipped_from is not None or len(lane.rows) >= room):
            if lane.skipped_from is None or row.id < lane.skipped_from:
                lane.skipped_from = row.id
            return False
        if len(lane.rows) >= room:
            return False
        lane.rows.append(row)
        self.buffered += 1
        return True

    def next(self, now: float, *, small: bool = False) -> Row | None:
        """The next row to send, which counts as under way from now on; functions take turns. `small`: there
        is no memory for a payload that did not come along."""
        for _ in range(len(self._turns)):
            lane = self._turns[0]
            self._turns.rotate(-1)
            if (
                lane.rows
                and now >= lane.paused_until
                and lane.under_way < self._limit(lane)
                and self._may_answer(lane)
                and self._has_answer_room(lane)
                and not (small and lane.rows[0].payload is None)
            ):
                return self._begin(lane)
        return None

    def _begin(self, lane: Lane) -> Row:
        row = lane.rows.popleft()
        self.buffered -= 1
        waits = _waits_for_function(row)
        self._answering += waits
        lane.answering += waits
        row.answer_room = int(lane.answer_bytes) if row.keep_result else 0
        self._answer_room += row.answer_room
        lane.answer_room += row.answer_room
        self.under_way += 1
        lane.under_way += 1
        return row

    def _may_answer(self, lane: Lane) -> bool:
        """Rows that wait for their function get half of the capacity, however many functions they are of, and
        one function half of what the others leave of that."""
        free = max(1, self._capacity // 2) - self._answering
        return lane.answering < free or not _waits_for_function(lane.rows[0])

    def _has_answer_room(self, lane: Lane) -> bool:
        """For an answer that is kept; one function gets half of what the others leave, here too. One answer
        may be larger than all the room."""
        size, free = int(lane.answer_bytes), ANSWERS_MAX - self._answer_room
        if not lane.rows[0].keep_result or not self._answer_room:
            return True
        return size <= free and (not lane.answer_room or lane.answer_room + size <= free)

    def answered(self, row: Row, size: int) -> None:
        """Its answer, which is kept, has so many bytes."""
        lane = self._lanes[row.function_name]
        lane.answer_bytes = max(size, ANSWER_DECAY * lane.answer_bytes)

    def succeeded(self, row: Row) -> None:
        """It has ended; its function answers."""
        lane = self._ended(row)
        lane.failures = 0
        lane.limit = min(lane.limit + 1, self._capacity)

    def failed(self, row: Row, now: float, *, row_alone: bool) -> None:
        """It has ended; the failure is the row's alone, or its function's."""
        lane = self._ended(row)
        if row_alone or now < lane.paused_until:
            return
        lane.limit = max(1.0, lane.limit / 2)
        lane.paused_until = now + min(PAUSE_MAX, PAUSE_MIN * 2**lane.failures)
        lane.failures = min(lane.failures + 1, 30)

    def is_locked(self, function_name: str, now: float) -> None:
        """Many rows of it are locked in the tables: they would be sent, and nothing could be settled. One at
        a time shows when that is over."""
        if (lane := self._lanes.get(function_name)) is not None:
            lane.limit = 1.0
            lane.paused_until = max(lane.paused_until, now + LOCKED_SECONDS)

    def room_for(self, function_name: str) -> int:
        """So many more rows of outbox_waiting `offer` takes of that function."""
        lane = self._lanes.get(function_name)
        return self._room(None) if lane is None else max(0, self._room(lane) - len(lane.rows))

    def full(self) -> list[str]:
        """Names of the functions that have enough rows: half of those for which there is room."""
        return [lane.name for lane in self._turns if len(lane.rows) >= max(1, self._room(lane) // 2)]

    def skipping(self) -> dict[str, int]:
        """The functions that have rows to be read again, and the first such id: from it on all are."""
        return {lane.name: lane.skipped_from for lane in self._turns if lane.skipped_from is not None}

    def to_read_again(self) -> Lane | None:
        """A lane with rows that were skipped, and with room for more of them now; such lanes take turns."""
        lane = self._next_to_read_again()
        if lane is not None:
            self._lanes[lane.name] = self._lanes.pop(lane.name)
        return lane

    def has_to_read_again(self) -> bool:
        """Whether there is such a lane."""
        return self._next_to_read_again() is not None

    def _next_to_read_again(self) -> Lane | None:
        for lane in self._lanes.values():
            few = max(1, min(LANE_ROWS, self._room(lane)) // 2)
            if lane.skipped_from is not None and len(lane.rows) < few:
                return lane
        return None

    def resumes(self, now: float) -> float | None:
        """When the first lane that has rows and pauses may go on."""
        return min(
            (lane.paused_until for lane in self._turns if lane.rows and lane.paused_until > now), default=None
        )

    def clear(self) -> list[Row]:
        """Gives all rows that have not begun; they are read again."""
        rows = [row for lane in self._turns for row in lane.rows]
        for lane in self._turns:
            lane.rows.clear()
            lane.skipped_from = None
        self.buffered = 0
        return rows

    def thin(self) -> list[Row]:
        """Takes rows away from functions that fail, but for one each, by which it is seen that they work
        again. Those of `outbox` are remembered as skipped."""
        gone: list[Row] = []
        for lane in self._turns:
            while lane.failures and len(lane.rows) > 1:
                row = lane.rows.pop()
                if not row.is_waiting and (lane.skipped_from is None or row.id < lane.skipped_from):
                    lane.skipped_from = row.id
                gone.append(row)
        self.buffered -= len(gone)
        return gone

    def _room(self, lane: Lane | None) -> int:
        """So many rows may a lane have now. While there are many rows, one that fails has only one."""
        if lane is not None and lane.failures and self.buffered >= BUFFERED_ROWS:
            return 1
        return max(LANE_ROWS, (BUFFERED_ROWS - self.buffered) // 2)

    def _limit(self, lane: Lane) -> float:
        free = self._capacity - self.under_way
        return min(lane.limit, free) if free > 0 else 0

    def _ended(self, row: Row) -> Lane:
        self.under_way -= 1
        waits = _waits_for_function(row)
        self._answering -= waits
        self._answer_room -= row.answer_room
        lane = self._lanes[row.function_name]
        lane.answering -= waits
        lane.answer_room -= row.answer_room
        lane.under_way -= 1
        return lane

    def forget_idle(self, now: float) -> None:
        """Lanes that have nothing to do and nothing to remember."""
        idle = [
            lane
            for lane in self._turns
            if not (lane.rows or lane.under_way or lane.skipped_from is not None)
            and lane.paused_until + (PAUSE_MAX if lane.failures else 0.0) <= now
        ]
        for lane in idle:
            del self._lanes[lane.name]
        if idle:
            self._turns = deque(lane for lane in self._turns if lane.name in self._lanes)


def _waits_for_function(row: Row) -> bool:
    return row.call.invocation_type == "RequestResponse"

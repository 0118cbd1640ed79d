"""Which row is next, and how many of each function there are: a slow function holds up none but itself.

Pure; knows no clock, no MySQL and no Lambda; lane.py has what is of one function alone."""

from __future__ import annotations

from collections import deque

from lambda_sidecar.outbox.lane import Lane
from lambda_sidecar.outbox.row import Row

# Rows that were read and have not begun, of all lanes; small ones, for large payloads do not come along.
BUFFERED_ROWS = 2000
# A lane may always have so many, however full the others are.
LANE_ROWS = 16
# Answers that are kept are in memory until they are stored: so many bytes may be expected of those under way.
# What has come of them counts in sending.py, until it is stored.
ANSWERS_MAX = 64 * 1024 * 1024


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
        is_behind = lane.skipped_from is not None and not row.is_waiting
        if is_behind or len(lane.rows) >= self._room(lane):
            lane.skip(row)
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
        row = lane.begin()
        self.buffered -= 1
        self.under_way += 1
        self._answering += row.waits_for_function
        self._answer_room += row.answer_room
        return row

    def _may_answer(self, lane: Lane) -> bool:
        """Rows that wait for their function get half of the capacity, however many functions they are of, and
        one function half of what the others leave of that."""
        free = max(1, self._capacity // 2) - self._answering
        return lane.answering < free or not lane.rows[0].waits_for_function

    def _has_answer_room(self, lane: Lane) -> bool:
        """For an answer that is kept; one function gets half of what the others leave, here too. One answer
        may be larger than all the room."""
        size, free = int(lane.answer_bytes), ANSWERS_MAX - self._answer_room
        if not lane.rows[0].keep_result or not self._answer_room:
            return True
        return size <= free and (not lane.answer_room or lane.answer_room + size <= free)

    def answered(self, row: Row, size: int) -> None:
        """Its answer, which is kept, has so many bytes."""
        self._lanes[row.function_name].answered(size)

    def succeeded(self, row: Row) -> None:
        """It has ended; its function answers."""
        self._ended(row).works(self._capacity)

    def failed(self, row: Row, now: float, *, row_alone: bool) -> None:
        """It has ended; the failure is the row's alone, or its function's."""
        lane = self._ended(row)
        if not row_alone:
            lane.fails(now)

    def is_locked(self, function_name: str, now: float) -> None:
        """Many rows of it are locked in the tables: they would be sent, and nothing could be settled."""
        if (lane := self._lanes.get(function_name)) is not None:
            lane.is_locked(now)

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
                gone.append(lane.rows.pop())
                lane.skip(gone[-1])
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
        self._answering -= row.waits_for_function
        self._answer_room -= row.answer_room
        lane = self._lanes[row.function_name]
        lane.end(row)
        return lane

    def forget_idle(self, now: float) -> None:
        """Lanes that have nothing to do and nothing to remember."""
        idle = [lane for lane in self._turns if lane.is_idle(now)]
        for lane in idle:
            del self._lanes[lane.name]
        if idle:
            self._turns = deque(lane for lane in self._turns if lane.name in self._lanes)

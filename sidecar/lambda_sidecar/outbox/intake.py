"""Reads what can be delivered soon, each kind of rows when it is its time; what was read waits for its turn.

Knows when what is read; new_rows.py and waiting_rows.py know how, lanes.py and groups.py keep it. What is
next of a group_key is group_heads.py's. Nothing is sent here."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lambda_sidecar.outbox import new_rows, reading, waiting_rows
from lambda_sidecar.outbox.clock import ServerClock
from lambda_sidecar.outbox.group_heads import GroupHeads
from lambda_sidecar.outbox.groups import Groups
from lambda_sidecar.outbox.held import Held
from lambda_sidecar.outbox.lane import Lane
from lambda_sidecar.outbox.lanes import BUFFERED_ROWS, Lanes
from lambda_sidecar.outbox.row import Group, Row
from lambda_sidecar.outbox.scan import Scan
from lambda_sidecar.outbox.session import Session
from lambda_sidecar.outbox.settlement import Settlement
from lambda_sidecar.outbox.verdict import Dead, Parked
from lambda_sidecar.outbox.wakeup import Wakeup

# How often rows of outbox_waiting are looked for that others have put there, as outbox_redrive does.
DUE_SECONDS = 1.0
# Rows that have not begun, of however many functions.
BUFFERED_MAX = 2 * BUFFERED_ROWS
# When a function whose rows are due is full, until they are looked for again.
FULL_SECONDS = 0.02


class Intake:
    """`begin_anew` on each server, and again whenever this sidecar is elected."""

    def __init__(
        self,
        held: Held,
        lanes: Lanes,
        groups: Groups[Group],
        settlement: Settlement,
        wakeup: Wakeup,
        clock: ServerClock,
    ) -> None:
        self._held = held
        self._lanes = lanes
        self._groups = groups
        self._settlement = settlement
        self._wakeup = wakeup
        self._clock = clock
        self._heads = GroupHeads(held, lanes, groups, settlement, clock)
        self._scan = Scan()
        self._next_due = 0.0  # on time.monotonic()'s clock, as what follows
        self._next_look = 0.0
        self._due_after = ""
        """The functions whose names come up to this one have had their turn among those that are due."""

    async def begin_anew(self, session: Session) -> None:
        """Rows that have not begun are read again: it may be another server, or the same with less in it.
        Raises SessionLost and StatementFailed, as all that reads."""
        asked = time.monotonic()
        self._clock.says(await reading.server_time(session), asked)
        self.give_back()
        self._heads.begin_anew()
        self._scan = Scan()
        self._next_due = self._next_look = 0.0

    def give_back(self) -> None:
        """Rows that have not begun, when they are another sidecar's business, or are to be read again."""
        for row in self._lanes.clear():
            self._held.give_back(row)
            if row.group is not None:
                self._groups.forget(row.group)
        self._groups.clear()

    def pause(self) -> float:
        """Seconds until there is something to do here, unless somebody says so before."""
        now = time.monotonic()
        moments = [self._next_due - now, self._heads.pause(now)]
        if (resumes := self._lanes.resumes(now)) is not None:
            moments.append(resumes - now)
        if self._has_room():  # else there is an event when there is some
            has_more = self._scan.has_more or self._lanes.has_to_read_again()
            moments.append(0.0 if has_more else self._next_look - now)
        return max(0.0, min(moments))

    def is_due(self, at: float) -> None:
        """A row waits until then (seconds since 1970)."""
        self._next_due = min(self._next_due, time.monotonic() + at - self._clock.now())

    def _has_room(self) -> bool:
        """Whether more rows may be held: each that is read is held until it is settled, or has no room."""
        return self._lanes.buffered < BUFFERED_MAX and not self._settlement.is_full

    async def look(self, session: Session) -> None:
        """Reads what can be begun soon."""
        if self._lanes.buffered >= BUFFERED_MAX:
            self._make_room()
        await self._look_for_new(session)
        if self._has_room() and (lane := self._lanes.to_read_again()) is not None:
            await self._read_again(session, lane)
        if time.monotonic() >= self._next_due:
            if self._has_room():
                await self._look_for_due(session)
            else:
                self._next_due = time.monotonic() + FULL_SECONDS
        await self._heads.look(session)
        self._lanes.forget_idle(time.monotonic())

    def _make_room(self) -> None:
        """Functions that fail must not take the room of the others."""
        for row in self._lanes.thin():
            self._held.give_back(row)
            if row.group is not None:
                self._groups.end(row.group)
                self._groups.reading(row.group)
                self._groups.full(row.group, row.function_name)

    # ---- rows of `outbox` ----

    async def _look_for_new(self, session: Session) -> None:
        now = time.monotonic()
        if self._wakeup.take_hint():
            self._next_look = min(self._next_look, now + self._wakeup.seconds_after_hint())
        if not (now >= self._next_look or self._scan.has_more) or not self._has_room():
            return
        self._held.begin_reading()
        without = self._lanes.skipping()
        found = await self._scan.look(session, without=without, is_recent=self._wakeup.is_recent())
        ended = time.monotonic()
        rows = self._held.new(found)
        self._wakeup.looked(found=bool(rows))
        for row in rows:
            self._take(row)
        # Behind an old snapshot, or rows that are not purged, a look takes long: half of the time at most.
        wait = max(self._wakeup.interval(), ended - now)
        self._next_look = min(ended + wait, self._scan.sweeps_on)

    async def _read_again(self, session: Session, lane: Lane) -> None:
        """Rows that had no room."""
        since, lane.skipped_from = lane.skipped_from or 0, None
        self._held.begin_reading()
        scanned = await new_rows.scan_function(session, lane.name, since)
        for row in self._held.new(scanned.rows):
            self._take(row)
        if not scanned.is_end and lane.skipped_from is None:
            lane.skipped_from = scanned.looked_to + 1

    def _take(self, row: Row) -> None:
        """A row of `outbox`. It may come twice in one reading."""
        if row.id in self._held:
            return
        if row.wrong is not None:
            self._held.hold(row)
            self._settlement.add(row, Dead(row.wrong))
        elif not row.is_plain:
            self._held.hold(row)
            row.payload = None  # it is read again when it is its turn
            self._settlement.add(row, Parked())
        elif self._lanes.offer(row):
            self._held.hold(row)

    # ---- rows of `outbox_waiting` ----

    async def _look_for_due(self, session: Session) -> None:
        """Each function that is due has its share of a look, and one without room costs nothing."""
        held = [row for row in self._held if row.is_waiting]
        without = self._lanes.full()
        began = time.monotonic()
        due = await waiting_rows.due_functions(session, self._due_after, without=without)
        self._clock.says(due.now, began)
        self._due_after = "" if due.is_end else due.functions[-1]
        rows, taken = [], 0
        if due.functions:
            self._held.begin_reading()
            rows = self._held.new(await waiting_rows.due(session, self._shares(due.functions), held))
            taken = sum(map(self._take_due, rows))
        wait = DUE_SECONDS if due.seconds is None or due.seconds <= 0 else min(due.seconds, DUE_SECONDS)
        if taken:  # there may be more
            wait = 0.0
        elif without or rows or not due.is_end:
            wait = min(wait, FULL_SECONDS)
        # Behind rows that are not purged a look takes long: half of the time at most.
        ended = time.monotonic()
        self._next_due = ended + max(wait, ended - began)

    def _shares(self, functions: Sequence[str]) -> dict[str, int]:
        most = max(1, waiting_rows.DUE_ROWS // len(functions))
        return {name: max(1, min(most, self._lanes.room_for(name))) for name in functions}

    def _take_due(self, row: Row) -> bool:
        """Whether it is held now; of a row with a group_key its key becomes known."""
        if row.group is not None:
            self._groups.know(row.group)
            return False
        if is_taken := self._lanes.offer(row):
            self._held.hold(row)
        return is_taken

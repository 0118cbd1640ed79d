"""Which rows of `outbox` have not been looked at: those at its end, and those whose transactions ended late.

Knows ids in the order in which they were given out; nothing of what is done with a row."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping

from lambda_sidecar.outbox import new_rows
from lambda_sidecar.outbox.row import Row
from lambda_sidecar.outbox.session import Session

# An id that is missing may be a transaction's that has not ended: it is looked for so often, and so long, and
# then only if a row is there that is not committed: most ids that are missing never come.
GAP_LOOK_SECONDS, GAP_SECONDS = 0.02, 10.0
# However late a transaction ends: everything is looked at so often, at least.
SWEEP_SECONDS = 1.0
# And if that takes long, as behind many deleted rows that are not purged yet, no more of the time than this.
SWEEP_SHARE = 0.05
# So many rows are read at once where ids were missing, more than are ever in hand; and for so long, unless an
# order hangs on it.
GAP_ROWS, GAP_SCAN_SECONDS = 20_000, 0.05

Gap = tuple[int, int, float]


class Scan:
    """Ids are given out when a row is inserted and seen when it is committed, so that a lower one may come
    after a higher one."""

    def __init__(self) -> None:
        self._position = 0
        """Everything up to it has been looked at, but for what came late."""
        self._looked = math.inf
        """When the last look was, on the server's clock."""
        self._gaps: deque[Gap] = deque()
        """Between which ids one was missing, or was passed by, and until when it is looked for."""
        self._next_gap_look = 0.0
        self._gaps_seen = 0
        """Everything up to it has been looked at in the look into the gaps that is under way."""
        self._swept = 0
        """Everything up to it has been looked at once more, by the sweep that is under way."""
        self._next_sweep = 0.0
        self.has_more = False
        """Whether the last look ended before the end."""
        self.sweeps_on = math.inf
        """When a sweep that has not come to its end goes on, on time.monotonic()'s clock."""

    async def look(self, session: Session, *, without: Mapping[str, int], is_recent: bool) -> list[Row]:
        """Some rows, by id; among them may be those that were looked at before. Plain rows of the functions
        `without` are passed by. `is_recent`: something was inserted not long ago."""
        before, swept = self._position, self._swept
        scanned = await new_rows.scan(session, before, without=without)
        if scanned.highest < before and scanned.highest_created > self._looked:
            # Written since the last look, and with an id of before it: ids have begun again, as after a
            # TRUNCATE. Else those behind it have been delivered.
            before = swept = self._position = self._swept = self._gaps_seen = 0
            self._gaps.clear()
            scanned = await new_rows.scan(session, before, without=without)
        self._looked = scanned.now
        rows = scanned.rows
        self.has_more = not scanned.is_end
        self._position = max(before, scanned.looked_to)
        now = time.monotonic()
        forgotten, late = await self._forget_gaps(session, now, without)
        is_noted = self._note_gap(before, rows, now, passed_by=bool(without))
        rows += late
        if not scanned.highest:  # the table is empty: a sweep would find nothing
            self._swept, self.sweeps_on = 0, math.inf
        elif now >= self._next_sweep and self._position:
            rows += await self._sweep(session, without=without)
        # Before rows with a group_key: what has come late may be of the same key, and goes first.
        has_group = any(row.group_key is not None for row in rows)
        if self._gaps and (has_group or now >= self._next_gap_look):
            seconds = math.inf if has_group else GAP_SCAN_SECONDS
            found, is_end = await self._look_into_gaps(session, without, is_recent=is_recent, seconds=seconds)
            if has_group and not is_end:  # once these are out of the way, all is read again
                self._position, self._swept, self.has_more = before, swept, True
                self._gaps.extendleft(reversed(forgotten))
                if is_noted:
                    self._gaps.pop()
                return found
            rows += found
        rows.sort(key=lambda row: row.id)
        return rows

    async def _forget_gaps(
        self, session: Session, now: float, without: Mapping[str, int]
    ) -> tuple[list[Gap], list[Row]]:
        """Those that are old, and where nobody is writing: what has been committed there since the last look
        into them must not wait for a sweep, for rows of the same key may follow."""
        rows: list[Row] = []
        forgotten: list[Gap] = []
        while self._gaps and now >= self._gaps[0][2] and time.monotonic() <= now + GAP_SCAN_SECONDS:
            after, until, _ = self._gaps.popleft()
            settled = await new_rows.settled_up_to(session, after, until)
            if settled is None:
                self._gaps.append((after, until, now + GAP_SECONDS))
                continue
            forgotten.append((after, settled, now))
            while after < settled:
                scanned = await new_rows.scan(session, after, settled, without=without)
                rows += scanned.rows
                after = scanned.looked_to
            if settled < until:
                self._gaps.appendleft((settled, until, now))
        return forgotten, rows

    def _note_gap(self, before: int, rows: list[Row], now: float, *, passed_by: bool) -> bool:
        for row in rows:
            if row.id != before + 1:
                break
            before = row.id
        else:
            if before == self._position or not passed_by:
                return False
        self._gaps.append((before, self._position, now + GAP_SECONDS))
        return True

    async def _look_into_gaps(
        self, session: Session, without: Mapping[str, int], *, is_recent: bool, seconds: float
    ) -> tuple[list[Row], bool]:
        """In `seconds`; then the rest is looked into the next time. Whether that was all of them."""
        began = time.monotonic()
        since = min(after for after, _, _ in self._gaps)
        if seconds < math.inf:
            since = max(since, self._gaps_seen)
        found: list[Row] = []
        while len(found) < GAP_ROWS:
            scanned = await new_rows.scan(session, since, self._position, without=without)
            found += scanned.rows
            since = 0 if scanned.is_end else scanned.looked_to
            if scanned.is_end or time.monotonic() - began > seconds:
                break
        self._gaps_seen = since
        now = time.monotonic()
        wait = GAP_LOOK_SECONDS if is_recent else SWEEP_SECONDS
        self._next_gap_look = now + max(wait, (now - began) / SWEEP_SHARE)
        return found, since == 0

    async def _sweep(self, session: Session, *, without: Mapping[str, int]) -> list[Row]:
        began = time.monotonic()
        scanned = await new_rows.scan(session, self._swept, self._position, without=without)
        now = time.monotonic()
        self._next_sweep = now + (now - began) / SWEEP_SHARE
        if scanned.is_end:
            self._swept = 0
            self._next_sweep = max(self._next_sweep, now + SWEEP_SECONDS)
            self.sweeps_on = math.inf
        else:
            self._swept = scanned.looked_to
            self.sweeps_on = self._next_sweep
        return scanned.rows

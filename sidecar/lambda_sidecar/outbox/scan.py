"""Which rows of `outbox` have not been looked at: those at its end, and those whose transactions ended late.

Knows ids in the order in which they were given out; nothing of what is done with a row."""

from __future__ import annotations

import time

from lambda_sidecar.outbox import store
from lambda_sidecar.outbox.row import Row
from lambda_sidecar.outbox.session import Session

# An id that is missing may be a transaction's that has not ended: it is looked for so often, and so long.
GAP_LOOK_SECONDS, GAP_SECONDS = 0.02, 10.0
# However late a transaction ends: everything is looked at so often, at least.
SWEEP_SECONDS = 1.0
# And if that takes long, as behind many deleted rows that are not purged yet, no more of the time than this.
SWEEP_SHARE = 0.05


class Scan:
    """Ids are given out when a row is inserted and seen when it is committed, so that a lower one may come
    after a higher one."""

    def __init__(self) -> None:
        self._position = 0
        """Everything up to it has been looked at, but for what came late."""
        self._swept = 0
        """Everything up to it has been looked at again."""
        self._gap: tuple[int, float] | None = None
        """The id before the lowest one that was missing lately, and until when it is looked for."""
        self._next_sweep = 0.0
        self.has_more = False
        """Whether the last look ended before the end."""

    async def look(self, session: Session, *, without: list[str], is_recent: bool) -> list[Row]:
        """Some rows; among them may be those that were looked at before. Those of the functions `without` are
        passed by. `is_recent`: something was inserted not long ago."""
        rows, last = await store.scan(session, self._position, without=without)
        self.has_more = len(rows) == store.SCAN_ROWS
        if rows and not without:
            self._note_gap(rows)
        self._position = max(self._position, rows[-1].id if self.has_more else last)
        now = time.monotonic()
        if now >= self._next_sweep and self._position:
            rows += await self._sweep(session, now, without=without, is_recent=is_recent)
        return rows

    async def _sweep(self, session: Session, now: float, *, without: list[str], is_recent: bool) -> list[Row]:
        rows, _ = await store.scan(session, self._swept, self._position, without=without)
        is_full = len(rows) == store.SCAN_ROWS
        if is_full:
            self._swept = rows[-1].id
        elif self._gap is not None and now < self._gap[1]:
            self._swept = self._gap[0]
        else:
            self._gap, self._swept = None, 0
        took = time.monotonic() - now
        wait = GAP_LOOK_SECONDS if self._gap is not None and is_recent else SWEEP_SECONDS
        self._next_sweep = now + max(wait, took / SWEEP_SHARE)
        return rows

    def _note_gap(self, rows: list[Row]) -> None:
        before = self._position
        for row in rows:
            if row.id != before + 1:
                low = before if self._gap is None else min(before, self._gap[0])
                self._gap = (low, time.monotonic() + GAP_SECONDS)
                self._swept = min(self._swept, low) if self._swept else low
                return
            before = row.id

"""Settles verdicts: all that come meanwhile go into one transaction, and a row is let go once that is done.

Knows which rows are settled when and what is done with those that are refused; nothing of who judges, nor of
what is done with a settled row."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from collections.abc import Callable

from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.outbox.refusals import Refusals
from lambda_sidecar.outbox.row import Row
from lambda_sidecar.outbox.transaction import Settled, due_at
from lambda_sidecar.outbox.verdict import ERROR_MAX, Accepted, Dead, Verdict
from lambda_sidecar.outbox.writer import Writer

log = logging.getLogger(__name__)

BATCH_ROWS = 500
# Rows that Lambda has and the tables still have too; while there are so many, none is begun.
UNSETTLED_ROWS = 1000
# Of results, which travel as text of twice their size.
BATCH_BYTES = 8 * 1024 * 1024
# In outbox_results instead of an answer that did not fit.
RESULT_TOO_LARGE = "ResultTooLarge"
# So often one batch waits for a lock that no row of it shows, as one on a key or on a result; a second each.
LOCK_WAITS = 2


class Settlement:
    """`run` it as a task. What was added is kept until it is committed, however long no server is there."""

    def __init__(
        self,
        settings: OutboxSettings,
        let_go: Callable[[Row, Verdict, float], None],
        is_read_only: Callable[[], None],
        is_locked: Callable[[str], None],
    ) -> None:
        """`let_go` is called for each row when its transaction is committed, with the seconds since 1970 at
        which it is due again, if it is Later or Parked; `is_read_only` when the server takes no writes;
        `is_locked` with the name of a function of which many rows cannot be settled, at each further one."""
        self._let_go = let_go
        self._is_locked = is_locked
        self._most = max(UNSETTLED_ROWS, 4 * settings.concurrency)
        self._pending: list[Settled] = []
        self._under_way = 0
        self._refusals = Refusals(self.add)
        self._writer = Writer(settings, is_read_only)
        self._has_some = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def add(self, row: Row, verdict: Verdict) -> None:
        self._pending.append((row, verdict))
        self._has_some.set()
        self._is_empty.clear()

    @property
    def duplicates(self) -> int:
        """Rows dropped because of their deduplication_key."""
        return self._writer.duplicates

    @property
    def unsettled(self) -> int:
        """Rows that were added and are not committed, but for those that are kept apart."""
        return len(self._pending) + self._under_way + self._refusals.counted

    @property
    def is_full(self) -> bool:
        """No more rows should be begun until some are committed."""
        return self.unsettled >= self._most

    async def wait_until_empty(self) -> None:
        """Until everything that was added is committed, but for rows whose own values are refused."""
        await self._is_empty.wait()

    async def be_ready(self) -> None:
        """Connects before there is something to settle: what is accepted while a connection is made would be
        sent again if the sidecar died meanwhile. Raises SessionLost."""
        await self._writer.be_ready()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._has_some.wait()
                batch = self._take()
                self._under_way = len(batch)
                await self._settle_batch(batch)
                self._under_way = 0
                if not (self._pending or self._refusals.passing):
                    self._is_empty.set()
        finally:
            await self._writer.close()

    async def _settle_batch(self, batch: list[Settled]) -> None:
        """Those that were refused before go first: what is behind them is held back, or follows."""
        locked = [each for each in batch if self._refusals.was_locked(each[0])]
        known = [
            each
            for each in batch
            if self._refusals.is_apart(each[0]) and not self._refusals.was_locked(each[0])
        ]
        fresh = [each for each in batch if not self._refusals.is_apart(each[0])]
        if locked:
            await self._settle_unlocked(locked, waits=1)
        await self._settle_one_by_one(known)
        fresh = [each for each in fresh if not self._is_held_back(*each)]
        if fresh and self._refusals.are_some_locked:  # these may be, too
            await self._settle_unlocked(fresh, waits=LOCK_WAITS)
        elif fresh and not await self._settle(fresh):
            if self._writer.has_met_lock:
                await self._settle_unlocked(fresh, waits=LOCK_WAITS)
            else:
                await self._settle_one_by_one(fresh, is_tried=len(fresh) == 1)

    def _is_held_back(self, row: Row, verdict: Verdict) -> bool:
        if self._refusals.is_behind_one(row, verdict):
            self._refusals.hold_back(row, verdict)
            return True
        return False

    def _take(self) -> list[Settled]:
        size = taken = 0
        for _row, verdict in self._pending[:BATCH_ROWS]:
            size += len(verdict.result.payload) if isinstance(verdict, Accepted) else 0
            if taken and size > BATCH_BYTES:
                break
            taken += 1
        batch, self._pending = self._pending[:taken], self._pending[taken:]
        if not self._pending:
            self._has_some.clear()
        return batch

    async def _settle(self, batch: list[Settled], instead: Verdict | None = None) -> bool:
        """Tries until it is done; False if the server refuses it for good. A single row may get another
        verdict `instead`."""
        if not await self._writer.write(batch if instead is None else [(row, instead) for row, _ in batch]):
            return False
        for row, verdict in batch:
            self._refusals.is_settled(row)
            self._let_go(row, verdict, 0.0 if instead is not None else due_at(row, verdict))
        return True

    async def _settle_unlocked(self, batch: list[Settled], waits: int) -> None:
        """Rows that somebody else has locked are set apart, and the others do not wait for them; up to
        `waits` times they wait for a lock on something else."""
        ids = await self._writer.locked(batch)
        locked = [each for each in batch if each[0].id in ids]
        self._set_apart_locked(locked)
        others = [each for each in batch if each[0].id not in ids and not self._is_held_back(*each)]
        if others and not await self._settle(others):
            # Not the same one first each time, and each group in its order.
            turns: dict[object, float] = {}
            others.sort(key=lambda each: turns.setdefault(each[0].group or each[0].id, random.random()))  # noqa: S311
            await self._settle_one_by_one(others, waits=waits)

    def _set_apart_locked(self, batch: list[Settled]) -> None:
        """What somebody else has locked is settled when it is not."""
        for row, verdict in batch:
            if self._refusals.set_apart_locked(row, verdict):
                self._is_locked(row.function_name)

    async def _settle_one_by_one(
        self, batch: list[Settled], *, is_tried: bool = False, waits: int = LOCK_WAITS
    ) -> None:
        """One that is refused must not keep the others. It is added again some time later. `is_tried`: the
        only one has just been refused."""
        refused = 0
        for each in batch:
            if self._is_held_back(*each):
                continue
            if not waits:  # it may be this one's turn the next time
                self._set_apart_locked([each])
                continue
            if not is_tried and await self._settle([each]):
                continue
            if self._writer.has_met_lock:
                self._set_apart_locked([each])
                waits -= 1
            elif not await self._settle_otherwise(*each):
                self._refusals.refuse(*each, apart=self._writer.is_rows_fault)
                refused += 1
        if refused:
            text = "outbox: the server refuses to settle %d rows, which is tried again: %s"
            log.error(text, refused, self._writer.failure or "internal failure")

    async def _settle_otherwise(self, row: Row, verdict: Verdict) -> bool:
        """What can be kept of it: an accepted one without its answer, or one among the dead whose values are
        refused."""
        if isinstance(verdict, Accepted):
            if not row.keep_result or not verdict.result.payload:
                return False
            if not (self._writer.is_rows_fault or await self._writer.is_too_large(verdict.result.payload)):
                return False
            log.error("outbox: the answer to row %d is not kept: %s", row.id, self._writer.failure)
            cut = dataclasses.replace(verdict.result, payload=b"", function_error=RESULT_TOO_LARGE)
            return await self._settle([(row, verdict)], Accepted(cut))
        if isinstance(verdict, Dead) or not self._writer.is_rows_fault:
            return False
        reason = f"the server refuses to let it wait: {self._writer.failure}"[:ERROR_MAX]
        return await self._settle([(row, Dead(reason))])

"""Settles verdicts: all that come meanwhile go into one transaction, and a row is let go once that is done.

Knows connections, and how they fail; nothing of who judges, nor of what is done with a settled row."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable

from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.log.format import log_defect
from lambda_sidecar.outbox.refusals import Refusals
from lambda_sidecar.outbox.row import Row
from lambda_sidecar.outbox.session import Session, SessionLost, StatementFailed, connect
from lambda_sidecar.outbox.transaction import Settled, dropped, due_at, statements
from lambda_sidecar.outbox.verdict import ERROR_MAX, Accepted, Dead, Verdict

log = logging.getLogger(__name__)

BATCH_ROWS = 500
# Rows that Lambda has and the tables still have too; while there are so many, none is begun.
UNSETTLED_ROWS = 1000
# Of results, which travel as text of twice their size.
BATCH_BYTES = 8 * 1024 * 1024
# Until a server that is gone is tried again.
RETRY_MIN, RETRY_MAX = 0.1, 5.0
# So often one batch may lose a connection that was there: it may be its own doing (max_allowed_packet).
LOSSES_MAX = 3
# Of a statement that keeps an answer, beside the answer, which is written in hexadecimal.
STATEMENT_BYTES = 4096
# In outbox_results instead of an answer that did not fit.
RESULT_TOO_LARGE = "ResultTooLarge"
# Statements are written some at a time: those for a batch take up to 20 ms.
STATEMENTS_AT_ONCE = 25


class Settlement:
    """`run` it as a task. What was added is kept until it is committed, however long no server is there."""

    def __init__(
        self,
        settings: OutboxSettings,
        let_go: Callable[[Row, Verdict, float], None],
        is_read_only: Callable[[], None],
    ) -> None:
        """`let_go` is called for each row when its transaction is committed, with the seconds since 1970 at
        which it is due again, if it is Later or Parked; `is_read_only` when the server takes no writes."""
        self._settings = settings
        self._let_go = let_go
        self._is_read_only = is_read_only
        self._most = max(UNSETTLED_ROWS, 4 * settings.concurrency)
        self._pending: list[Settled] = []
        self._under_way = 0
        self._refusals = Refusals(self.add)
        self._failure: StatementFailed | SessionLost | None = None
        """Why the last one was refused; None: a defect."""
        self._has_some = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._session: Session | None = None
        self._connecting = asyncio.Lock()
        self.duplicates = 0
        """Rows dropped because of their deduplication_key."""

    def add(self, row: Row, verdict: Verdict) -> None:
        self._pending.append((row, verdict))
        self._has_some.set()
        self._is_empty.clear()

    @property
    def unsettled(self) -> int:
        """Rows that were added and are not committed, but for those that are kept apart."""
        return len(self._pending) + self._under_way + self._refusals.counted

    @property
    def is_full(self) -> bool:
        """No more rows should be begun until some are committed."""
        return self.unsettled >= self._most

    async def wait_until_empty(self) -> None:
        """Until everything that was added is committed."""
        await self._is_empty.wait()

    async def be_ready(self) -> None:
        """Connects before there is something to settle: what is accepted while a connection is made would be
        sent again if the sidecar died meanwhile. Raises SessionLost."""
        await self._connected()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._has_some.wait()
                batch = self._take()
                self._under_way = len(batch)
                await self._settle_batch(batch)
                self._under_way = 0
                if not (self.unsettled or self._refusals):
                    self._is_empty.set()
        finally:
            if self._session is not None:
                await self._session.close()

    async def _settle_batch(self, batch: list[Settled]) -> None:
        """Those that were refused before go first: what is behind them is held back, or follows."""
        known: list[Settled] = []
        fresh: list[Settled] = []
        for each in batch:
            (known if self._refusals.is_apart(each[0]) else fresh).append(each)
        await self._settle_one_by_one(known, is_tried=False)
        fresh = [each for each in fresh if not self._is_held_back(*each)]
        if fresh and not await self._settle(fresh):
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
        if not await self._write(batch if instead is None else [(row, instead) for row, _ in batch]):
            return False
        for row, verdict in batch:
            self._refusals.is_settled(row)
            self._let_go(row, verdict, 0.0 if instead is not None else due_at(row, verdict))
        return True

    async def _write(self, batch: list[Settled]) -> bool:
        wait, losses = RETRY_MIN, 0
        while True:
            try:
                wanted = await self._statements(batch)
                changed = await self._commit(wanted)
                break
            except SessionLost as error:
                log.debug("outbox: the connection that settles is lost: %s", error)
                losses += self._session is not None
                await self._close()
                if losses >= LOSSES_MAX:
                    self._failure = error
                    return False
            except StatementFailed as error:
                if error.is_read_only:
                    self._is_read_only()
                    await self._close()  # another one may have the server's name by now
                elif not error.may_be_repeated:
                    self._failure = error
                    return False
            except Exception as error:  # a defect of ours must not end the settlement
                log_defect(log, error)
                self._failure = None
                await self._close()
                return False
            await asyncio.sleep(wait)
            wait = min(2 * wait, RETRY_MAX)
        self.duplicates += dropped(batch, wanted, changed)
        return True

    async def _statements(self, batch: list[Settled]) -> list[str]:
        wanted = []
        for statement in statements(batch, self._settings.deduplication_hours):
            wanted.append(statement)
            if len(wanted) % STATEMENTS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return wanted

    async def _settle_one_by_one(self, batch: list[Settled], *, is_tried: bool) -> None:
        """One that is refused must not keep the others. It is added again some time later. `is_tried`: the
        only one has just been refused."""
        refused = 0
        for each in batch:
            if self._is_held_back(*each) or (not is_tried and await self._settle([each])):
                continue
            if not await self._settle_otherwise(*each):
                self._refusals.refuse(*each, apart=self._is_its_own_fault())
                refused += 1
        if refused:
            text = "outbox: the server refuses to settle %d rows, which is tried again: %s"
            log.error(text, refused, self._failure or "internal failure")

    def _is_its_own_fault(self) -> bool:
        return isinstance(self._failure, StatementFailed) and self._failure.is_of_data

    async def _settle_otherwise(self, row: Row, verdict: Verdict) -> bool:
        """What can be kept of it: an accepted one without its answer, or one among the dead whose values are
        refused."""
        if isinstance(verdict, Accepted):
            if not row.keep_result or not verdict.result.payload:
                return False
            if not (self._is_its_own_fault() or await self._is_too_large(verdict.result.payload)):
                return False
            log.error("outbox: the answer to row %d is not kept: %s", row.id, self._failure)
            cut = dataclasses.replace(verdict.result, payload=b"", function_error=RESULT_TOO_LARGE)
            return await self._settle([(row, verdict)], Accepted(cut))
        if isinstance(verdict, Dead) or not self._is_its_own_fault():
            return False
        reason = f"the server refuses to let it wait: {self._failure}"[:ERROR_MAX]
        return await self._settle([(row, Dead(reason))])

    async def _is_too_large(self, answer: bytes) -> bool:
        """Whether the connection was lost because the statement is larger than a packet may be: the server
        gives no other answer to that."""
        if not isinstance(self._failure, SessionLost):
            return False
        try:
            maximum = int(await (await self._connected()).value("SELECT @@max_allowed_packet"))
        except (SessionLost, StatementFailed):
            await self._close()
            return False
        return 2 * len(answer) + STATEMENT_BYTES > maximum

    async def _commit(self, wanted: list[str]) -> list[int]:
        """How many rows each statement changed."""
        session = await self._connected()
        if len(wanted) == 1:
            changed = [await session.run(wanted[0])]
        else:
            changed = await session.transaction(wanted)
        return changed

    async def _connected(self) -> Session:
        async with self._connecting:
            if self._session is None:
                self._session = await connect(self._settings)
            return self._session

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

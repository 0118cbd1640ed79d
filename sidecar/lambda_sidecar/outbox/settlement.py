"""Verdicts become transactions: all that come meanwhile go into one, and a row is let go once that is done.

Knows verdicts and the statements for them; nothing of who judges, nor of what is done with a settled row."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.log.format import log_defect
from lambda_sidecar.outbox import store
from lambda_sidecar.outbox.row import Row
from lambda_sidecar.outbox.session import Session, SessionLost, StatementFailed, connect
from lambda_sidecar.outbox.verdict import Accepted, Dead, Later, Parked, Verdict

log = logging.getLogger(__name__)

BATCH_ROWS = 500
# Of results, which travel as text of twice their size.
BATCH_BYTES = 8 * 1024 * 1024
# Until a server that is gone is tried again.
RETRY_MIN, RETRY_MAX = 0.1, 5.0
# Until a statement that the server refused is tried again.
REFUSED_SECONDS = 5.0

Settled = tuple[Row, Verdict]


class Settlement:
    """`run` it as a task. What was added is kept until it is committed, however long no server is there."""

    def __init__(self, settings: OutboxSettings, let_go: Callable[[Row, Verdict, float], None]) -> None:
        """`let_go` is called for each row when its transaction is committed, with the seconds since 1970 at
        which it is due again, if it is Later or Parked."""
        self._settings = settings
        self._let_go = let_go
        self._pending: list[Settled] = []
        self._under_way = 0
        self._refused = 0
        self._reason = ""
        self._has_some = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._session: Session | None = None
        self._connecting = asyncio.Lock()
        self.transactions = 0
        self.duplicates = 0
        """Rows dropped because of their deduplication_key."""

    def add(self, row: Row, verdict: Verdict) -> None:
        self._pending.append((row, verdict))
        self._has_some.set()
        self._is_empty.clear()

    @property
    def unsettled(self) -> int:
        """Rows that were added and are not committed."""
        return len(self._pending) + self._under_way + self._refused

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
                if not await self._settle(batch):
                    await self._settle_one_by_one(batch)
                self._under_way = 0
                if not self.unsettled:
                    self._is_empty.set()
        finally:
            if self._session is not None:
                await self._session.close()

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

    async def _settle(self, batch: list[Settled]) -> bool:
        """Tries until it is done; False if the server refuses it for good."""
        wait = RETRY_MIN
        while True:
            try:
                wanted = list(statements(batch, self._settings.deduplication_hours))
                changed = await self._commit(wanted)
                break
            except SessionLost as error:
                log.debug("outbox: the connection that settles is lost: %s", error)
                await self._close()
            except StatementFailed as error:
                if not error.may_be_repeated:
                    self._reason = str(error)
                    return False
            except Exception as error:  # a defect of ours must not end the settlement
                log_defect(log, error)
                self._reason = "internal failure"
                await self._close()
                return False
            await asyncio.sleep(wait)
            wait = min(2 * wait, RETRY_MAX)
        self.duplicates += _dropped(batch, wanted, changed)
        for row, verdict in batch:
            self._let_go(row, verdict, due_at(row, verdict))
        return True

    async def _settle_one_by_one(self, batch: list[Settled]) -> None:
        """One that is refused must not keep the others. It is added again after REFUSED_SECONDS."""
        refused = [each for each in batch if len(batch) == 1 or not await self._settle([each])]
        self._refused += len(refused)
        if refused:
            text = "outbox: the server refuses to settle %d rows, which is tried again: %s"
            log.error(text, len(refused), self._reason)
        for row, verdict in refused:
            asyncio.get_running_loop().call_later(REFUSED_SECONDS, self._add_again, row, verdict)

    def _add_again(self, row: Row, verdict: Verdict) -> None:
        self._refused -= 1
        self.add(row, verdict)

    async def _commit(self, wanted: list[str]) -> list[int]:
        """How many rows each statement changed."""
        session = await self._connected()
        if len(wanted) == 1:
            changed = [await session.run(wanted[0])]
        else:
            changed = await session.transaction(wanted)
        self.transactions += 1
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


def due_at(row: Row, verdict: Verdict) -> float:
    """Seconds since 1970; 0: at once, or it is over."""
    if isinstance(verdict, Later):
        return verdict.at
    if isinstance(verdict, Parked) and row.group_key is None:
        return row.delayed_until or row.created
    return 0.0


def statements(batch: list[Settled], deduplication_hours: float) -> Iterator[str]:
    """All that has to be done for these rows, in an order that two of them may have."""
    moved = [
        (row, due_at(row, verdict) or None, verdict.error if isinstance(verdict, Later) else None)
        for row, verdict in batch
        if isinstance(verdict, Later | Parked) and not row.is_waiting
    ]
    yield from store.copy_to_waiting(moved)
    for row, verdict in batch:
        match verdict:
            case Accepted(result=result) if row.keep_result:
                yield store.keep_result(
                    row,
                    status_code=result.status_code,
                    payload=result.payload,
                    function_error=result.function_error,
                    executed_version=result.executed_version,
                    request_id=result.request_id,
                )
            case Later(error=error, at=at) if row.is_waiting:
                yield store.put_off(row, at, error)
            case Dead(error=error):
                yield from store.bury(row, error)
            case Parked() if row.deduplication_key is not None:
                yield store.remember_key(row, deduplication_hours)
                yield store.drop_duplicate(row)
    accepted = [row for row, verdict in batch if isinstance(verdict, Accepted)]
    yield from store.delete([*accepted, *(row for row, _, _ in moved)])


def _dropped(batch: list[Settled], wanted: list[str], changed: list[int]) -> int:
    """How many duplicates there were among the batch; `changed` is what came of `wanted`."""
    drops = [store.drop_duplicate(row) for row, _ in batch if row.deduplication_key is not None]
    return sum(count for statement, count in zip(wanted, changed, strict=True) if statement in drops)

"""Sends rows whose turn it is, each in a task of its own, and hands over what became of them.

Knows how many may be under way; nothing of which rows there are, nor of the tables but for large payloads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from lambda_sidecar.calls.call import SENT, Call
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.concurrency.slots import Share
from lambda_sidecar.log.format import log_defect
from lambda_sidecar.outbox import reading
from lambda_sidecar.outbox.attempt import attempt
from lambda_sidecar.outbox.clock import ServerClock
from lambda_sidecar.outbox.lanes import Lanes
from lambda_sidecar.outbox.row import Row
from lambda_sidecar.outbox.session import Session
from lambda_sidecar.outbox.verdict import Accepted, Dead, Later

log = logging.getLogger(__name__)

# Payloads that are at Lambda, or on their way, and answers that are not stored yet; one may be beyond, and so
# may small ones, which take next to nothing.
BYTES_MAX = 64 * 1024 * 1024
# Until a row is tried again on which the sidecar itself failed.
DEFECT_SECONDS = 60.0
# Calls begun in one turn of the event loop: each takes some 50 us of it.
BEGIN_AT_ONCE = 16


class Sending:
    """Nothing is begun unless `may_begin`, nor when it `is_full`, which are asked before each. What has begun
    may wait for long, and is given back unsent if the lease is over by then."""

    def __init__(
        self,
        pipeline: Pipeline,
        lanes: Lanes,
        max_attempts: int,
        clock: ServerClock,
        *,
        may_begin: Callable[[], bool],
        lease: Callable[[], Callable[[], float]],
        is_full: Callable[[], bool],
        has_ended: Callable[[Row, Accepted | Later | Dead], None],
        give_back: Callable[[Row], None],
    ) -> None:
        """`lease` gives the one, as Call has it, of what begins now. `is_full`: so many have ended, and are
        not settled, that none is to follow. `has_ended` is called with what became of a row, `give_back` with
        one that was not sent and is to be read again."""
        self._pipeline = pipeline
        self._lanes = lanes
        self._max_attempts = max_attempts
        self._clock = clock
        self._may_begin = may_begin
        self._lease = lease
        self._is_full = is_full
        self._has_ended = has_ended
        self._give_back = give_back
        self._share = Share()
        self._attempts: dict[asyncio.Task[None], Row] = {}
        self._calls: dict[int, Call] = {}
        """Of rows under way, by their ids."""
        self._bytes = 0

    async def begin_rows(self, session: Session) -> None:
        """All that may begin now. Raises SessionLost and StatementFailed."""
        large: list[Row] = []
        begun = size = 0
        while self._may_begin() and not self._is_full():
            small = self._bytes + size >= BYTES_MAX
            if (row := self._lanes.next(time.monotonic(), small=small)) is None:
                break
            if row.payload is None:
                large.append(row)
                size += row.payload_bytes
            else:
                self._begin(row)
            begun += 1
            if size >= reading.FETCH_BYTES:
                await self._begin_large(session, large)
                large, size = [], 0
            if begun % BEGIN_AT_ONCE == 0:
                await asyncio.sleep(0)
        if large:
            await self._begin_large(session, large)

    async def _begin_large(self, session: Session, rows: list[Row]) -> None:
        payloads: dict[int, bytes] = {}
        try:
            payloads = await reading.payloads(session, rows)
        finally:
            for row in rows:
                row.payload = payloads.get(row.id)
                if row.payload is not None and self._may_begin():
                    self._begin(row)
                else:  # somebody has deleted it, or it is read again
                    self._is_not_sent(row)

    def _is_not_sent(self, row: Row) -> None:
        self._lanes.failed(row, time.monotonic(), row_alone=True)
        self._give_back(row)

    def _begin(self, row: Row) -> None:
        self._bytes += row.payload_bytes
        task = asyncio.create_task(self._attempt(row))
        self._attempts[task] = row
        task.add_done_callback(self._attempts.pop)

    async def _attempt(self, row: Row) -> None:
        verdict: Accepted | Later | Dead
        try:
            if not self._may_begin():
                self._is_not_sent(row)
                return
            verdict = await attempt(
                row,
                self._pipeline,
                self._share,
                self._calls,
                self._clock,
                max_attempts=self._max_attempts,
                lease=self._lease(),
            )
        except asyncio.CancelledError:
            self._is_not_sent(row)
            raise
        except Exception as error:  # a defect of ours must not hold the row for ever
            log_defect(log, error)
            verdict = Later(self._clock.now() + DEFECT_SECONDS, "internal failure, see the sidecar's log")
        finally:
            self._bytes -= row.payload_bytes
        row.payload = None  # nobody needs it any more
        if isinstance(verdict, Accepted):
            self._bytes += len(verdict.result.payload)
            if row.keep_result:
                self._lanes.answered(row, len(verdict.result.payload))
            self._lanes.succeeded(row)
        else:
            self._lanes.failed(
                row, time.monotonic(), row_alone=isinstance(verdict, Dead) or verdict.is_rows_alone
            )
        self._has_ended(row, verdict)

    def is_settled(self, verdict: Accepted) -> None:
        """Its answer is stored."""
        self._bytes -= len(verdict.result.payload)

    def take_back(self) -> None:
        """Rows that are not on their way yet are not sent: they wait for credentials or for a slot. What was
        sent goes on to its end, also when its slot is free again and its answer is read."""
        for task, row in self._attempts.items():
            if (call := self._calls.get(row.id)) is not None and call.phase is not SENT:
                task.cancel()

    async def wait_for_all(self) -> None:
        """Until those under way have ended."""
        if self._attempts:
            await asyncio.wait(self._attempts)

    async def stop(self) -> None:
        """Those that are under way are not waited for."""
        tasks = list(self._attempts)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

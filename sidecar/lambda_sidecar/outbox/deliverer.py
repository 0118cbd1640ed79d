"""Delivers the outbox of one server, as long as this sidecar is the one that does.

Knows when what is done, and what follows for a row; what each step is stands in the other files."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path

from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.outbox import changes, rights
from lambda_sidecar.outbox.backlog import BacklogWatch
from lambda_sidecar.outbox.candidacy import Candidacy
from lambda_sidecar.outbox.clock import ServerClock
from lambda_sidecar.outbox.ending import end
from lambda_sidecar.outbox.groups import Groups
from lambda_sidecar.outbox.held import Held
from lambda_sidecar.outbox.intake import Intake
from lambda_sidecar.outbox.lanes import Lanes
from lambda_sidecar.outbox.numbers import Numbers
from lambda_sidecar.outbox.row import Group, Row
from lambda_sidecar.outbox.sending import Sending
from lambda_sidecar.outbox.session import Session
from lambda_sidecar.outbox.session_errors import StatementFailed, rights_missing
from lambda_sidecar.outbox.settlement import Settlement
from lambda_sidecar.outbox.verdict import Accepted, Dead, Later, Verdict
from lambda_sidecar.outbox.wakeup import Wakeup

log = logging.getLogger(__name__)

# How often old results and keys are forgotten, and as long as there are more.
FORGET_SECONDS, FORGET_MORE_SECONDS = 60.0, 0.2


class Counts:
    """Since the start."""

    def __init__(self) -> None:
        self.accepted = 0
        self.retried = 0
        self.dead = 0


class Deliverer:
    """`start` it, and `stop` at the end."""

    def __init__(self, settings: OutboxSettings, pipeline: Pipeline, sidecar_socket: Path) -> None:
        """In a running event loop."""
        self._settings = settings
        self._wakeup = Wakeup(sidecar_socket)
        self._candidacy = Candidacy(settings, deliver=self._deliver, is_over=self._is_elected_no_more)
        self._held = Held()
        self._lanes = Lanes(settings.concurrency)
        self._groups = Groups[Group]()
        self._settlement = Settlement(settings, self._let_go, self._candidacy.ask_again, self._is_locked)
        clock = ServerClock()
        self._intake = Intake(self._held, self._lanes, self._groups, self._settlement, self._wakeup, clock)
        self._sending = Sending(
            pipeline,
            self._lanes,
            settings.max_attempts,
            clock,
            may_begin=self._may_begin,
            lease=self._candidacy.lease,
            is_full=lambda: self._settlement.is_full,
            has_ended=self._has_ended,
            give_back=self._give_back,
        )
        self._backlog = BacklogWatch(settings)
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self.counts = Counts()

    @property
    def is_delivering(self) -> bool:
        """Whether this sidecar is the one that delivers."""
        return self._candidacy.is_delivering

    @property
    def state(self) -> str:
        """In words, for people."""
        return self._candidacy.state

    @property
    def under_way(self) -> int:
        """Rows at Lambda, or on their way."""
        return self._lanes.under_way

    def numbers(self) -> Numbers:
        """As they are now."""
        backlog = self._backlog.latest
        return Numbers(
            state=self.state,
            is_delivering=self.is_delivering,
            under_way=self.under_way,
            accepted=self.counts.accepted,
            retried=self.counts.retried,
            dead=self.counts.dead,
            duplicates=self._settlement.duplicates,
            waiting=None if backlog is None else backlog.waiting,
            oldest_seconds=None if backlog is None else backlog.oldest_seconds,
        )

    def start(self) -> None:
        """Returns at once: the server may be there later."""
        try:
            self._wakeup.open()
        except OSError as error:
            log.warning(
                "outbox: no hints, new rows are found within half a second: %s", error.strerror or error
            )
        self._tasks = [
            asyncio.create_task(self._candidacy.run(), name="outbox deliverer"),
            asyncio.create_task(self._settlement.run(), name="outbox settlement"),
        ]

    async def stop(self, seconds: float) -> None:
        """No row is begun any more; those under way have so many seconds. Another sidecar may deliver as soon
        as they are settled."""
        self._stopping = True
        self._wakeup.event.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.1)):
                await self._sending.wait_for_all()
                await self._settlement.wait_until_empty()
        await asyncio.gather(self._sending.stop(), end(*self._tasks), return_exceptions=True)
        self._wakeup.close()
        self._candidacy.becomes("stopped")

    # ---- as long as this sidecar is elected ----

    async def _deliver(self, session: Session) -> None:
        """Until it is not its business any more. Raises SessionLost and StatementFailed."""
        await self._look_at_rights(session)
        try:
            async with self._backlog.watching():
                await self._settlement.be_ready()
                await self._intake.begin_anew(session)
                await self._look(session)
                self._candidacy.becomes("delivers")  # not before: what refuses a look refuses the next, too
                await self._deliver_rows(session)
        finally:
            self._intake.give_back()

    async def _look_at_rights(self, session: Session) -> None:
        """Else events would be sent that cannot be settled, and again after each restart."""
        if lacking := await rights.lacking(session):
            raise rights_missing(await rights.grants(session, lacking))

    async def _look(self, session: Session) -> None:
        if not self._stopping:
            await self._sending.begin_rows(session)
            await self._intake.look(session)
            await self._sending.begin_rows(session)

    async def _deliver_rows(self, session: Session) -> None:
        next_forget = time.monotonic() + FORGET_SECONDS
        while self._candidacy.is_elected:
            self._wakeup.event.clear()
            await self._look(session)
            if (now := time.monotonic()) >= next_forget:
                next_forget = now + await self._forget(session)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FORGET_SECONDS if self._stopping else self._intake.pause()):
                    await self._wakeup.event.wait()

    def _is_elected_no_more(self) -> None:
        self._wakeup.event.set()
        self._sending.take_back()

    def _may_begin(self) -> bool:
        return self._candidacy.may_begin and not self._stopping

    async def _forget(self, session: Session) -> float:
        """Some of what is too old; seconds until that is done again."""
        gone = 0
        for statement in changes.forget(self._settings.result_days, self._settings.deduplication_hours):
            try:
                gone = max(gone, await session.run(statement))
            except StatementFailed as error:
                if not (error.has_waited_for_lock or error.may_be_repeated):
                    raise
                log.debug("outbox: what is old is forgotten later: %s", error)
        return FORGET_MORE_SECONDS if gone == changes.FORGET_ROWS else FORGET_SECONDS

    # ---- one row ----

    def _give_back(self, row: Row) -> None:
        """It is not sent; it is read again if it is there still."""
        self._held.give_back(row)
        if row.group is not None:
            self._groups.end(row.group)

    def _has_ended(self, row: Row, verdict: Verdict) -> None:
        self._settlement.add(row, verdict)
        self._wakeup.event.set()

    def _is_locked(self, function_name: str) -> None:
        self._lanes.is_locked(function_name, time.monotonic())

    def _let_go(self, row: Row, verdict: Verdict, due_at: float) -> None:
        """What became of the row is committed."""
        self._held.let_go(row)
        match verdict:
            case Accepted():
                self._sending.is_settled(verdict)
                self.counts.accepted += 1
            case Dead():
                self.counts.dead += 1
                # Not why: a message may quote the payload. outbox_dead has it.
                log.warning("outbox: row %d is dead after %d attempts", row.id, row.attempts)
            case Later(error=error) if error is not None:  # else it has not been tried
                self.counts.retried += 1
        if row.group is not None:
            # Not its key's end: another one may be under way, if this one was never sent.
            self._groups.know(row.group, row.id)
        if due_at:
            self._intake.is_due(due_at)
        self._wakeup.event.set()

"""Delivers the outbox of one server, as long as this sidecar is the one that does.

Knows when what is done; what each step is stands in the other files."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable
from pathlib import Path

from lambda_sidecar.calls.call import SENT, Call
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.concurrency.slots import Share
from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.log.format import log_defect
from lambda_sidecar.outbox import election, store
from lambda_sidecar.outbox.attempt import attempt
from lambda_sidecar.outbox.backlog import BacklogWatch
from lambda_sidecar.outbox.groups import Groups
from lambda_sidecar.outbox.lanes import BUFFERED_ROWS, Lane, Lanes
from lambda_sidecar.outbox.numbers import Numbers
from lambda_sidecar.outbox.row import Group, Row
from lambda_sidecar.outbox.scan import Scan
from lambda_sidecar.outbox.session import Session, SessionLost, StatementFailed, connect
from lambda_sidecar.outbox.settlement import Settlement
from lambda_sidecar.outbox.verdict import Accepted, Dead, Later, Parked, Verdict
from lambda_sidecar.outbox.wakeup import Wakeup

log = logging.getLogger(__name__)

# Until a server that is gone is tried again, or one that may not be delivered is looked at again.
RETRY_MIN, RETRY_MAX = 0.1, 5.0
# How often the deliverer makes sure that it still may deliver.
ELECTION_SECONDS = 5.0
# How often rows of outbox_waiting are looked for that others have put there, as outbox_redrive does.
DUE_SECONDS = 1.0
# Rows that have not begun, of however many functions.
BUFFERED_MAX = 2 * BUFFERED_ROWS
# When a function whose rows are due is full, until they are looked for again.
FULL_SECONDS = 0.05
# How often old results and keys are forgotten, and as long as there are more.
FORGET_SECONDS, FORGET_MORE_SECONDS = 60.0, 0.2
# Payloads that are at Lambda, or on their way, and answers that are not stored yet; one may be beyond.
BYTES_MAX = 64 * 1024 * 1024
# Rows that Lambda has and the tables still have too; while there are so many, none is begun.
UNSETTLED_ROWS = 1000
# Until a row is tried again on which the sidecar itself failed.
DEFECT_SECONDS = 60.0
# Calls begun in one turn of the event loop: each takes some 50 us of it.
BEGIN_AT_ONCE = 16
# Keys whose first row is read in one look.
GROUPS_AT_ONCE = 50
# How often some keys are read whose first row waits: somebody may have deleted it, and nothing says so.
KNOWN_SECONDS = 1.0
# How often keys are looked for that nobody knows: outbox_redrive gives the first row of a key alone a time,
# and somebody may have deleted it before it was seen.
UNKNOWN_SECONDS = 60.0


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
        self._pipeline = pipeline
        self._share = Share()
        self._wakeup = Wakeup(sidecar_socket)
        self._ask_again = asyncio.Event()
        """Set when the server says that it takes no writes: the election is due at once."""
        self._settlement = Settlement(settings, self._let_go, self._ask_again.set)
        self._lanes = Lanes(settings.concurrency)
        self._groups = Groups[Group]()
        self._held: dict[int, Row] = {}
        """Rows that were read and are not settled yet; their ids are passed by."""
        self._let_go_lately: set[int] = set()
        """Rows that were settled since the reading that is under way began."""
        self._scan = Scan()
        self._backlog = BacklogWatch(settings)
        self._is_elected = False
        """Nothing is begun any more once the lock is lost: another sidecar may have it."""
        self._attempts: dict[asyncio.Task[None], Row] = {}
        self._calls: dict[int, Call] = {}
        """Of rows under way, by their ids."""
        self._bytes = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._unsettled_max = max(UNSETTLED_ROWS, 4 * settings.concurrency)
        self._server_uuid = ""
        self._next_due = 0.0  # on time.monotonic()'s clock, as what follows
        self._next_look = 0.0
        self.counts = Counts()
        self.state = "not started"
        """In words, for people."""

    @property
    def is_delivering(self) -> bool:
        """Whether this sidecar is the one that delivers."""
        return self.state == "delivers"

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
            asyncio.create_task(self._live(), name="outbox deliverer"),
            asyncio.create_task(self._settlement.run(), name="outbox settlement"),
        ]

    async def stop(self, seconds: float) -> None:
        """No row is begun any more; those under way have so many seconds. Another sidecar may deliver as soon
        as they are settled."""
        self._stopping = True
        self._wakeup.event.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.1)):
                if self._attempts:
                    await asyncio.wait(self._attempts)
                await self._settlement.wait_until_empty()
        for task in (*self._attempts, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._attempts, *self._tasks, return_exceptions=True)
        self._wakeup.close()
        self._is("stopped")

    # ---- one server, again and again ----

    async def _live(self) -> None:
        wait = RETRY_MIN
        while True:
            lock = None
            try:
                lock = await connect(self._settings)
                await self._stand_by(lock)
            except (SessionLost, StatementFailed) as error:
                if self.is_delivering:  # else it has been so for some time
                    wait = RETRY_MIN
                self._is(f"{self._settings}: {error}")
            except Exception as error:  # a defect of ours must not end the deliverer
                log_defect(log, error)
                self._is("internal failure")
            finally:
                if lock is not None:
                    await lock.close()
            await asyncio.sleep(wait)
            wait = min(2 * wait, RETRY_MAX)

    async def _stand_by(self, lock: Session) -> None:
        """Delivers whenever that is this sidecar's business. `lock` is for the election alone: it is never
        busy with anything else. Raises SessionLost and StatementFailed."""
        while True:
            if reason := await election.obstacle(lock):
                self._is(reason)
                await asyncio.sleep(RETRY_MAX)
            elif not await election.take_lock(lock):
                self._is("another sidecar delivers")
            else:
                await self._deliver_while_elected(lock)

    async def _deliver_while_elected(self, lock: Session) -> None:
        """Raises SessionLost and StatementFailed."""
        self._is_elected = True
        watching = asyncio.create_task(self._watch_election(lock), name="outbox election")
        session = None
        try:
            session = await connect(self._settings)
            async with self._backlog.watching():
                await self._deliver(session)
            await watching  # why it ended
        finally:
            self._is_elected = False
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            if session is not None:
                await session.close()

    async def _watch_election(self, lock: Session) -> None:
        """Until it is not this sidecar's business any more. Raises SessionLost and StatementFailed."""
        try:
            while True:
                self._ask_again.clear()
                if await election.obstacle(lock):
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ELECTION_SECONDS):
                        await self._ask_again.wait()
        finally:
            self._is_elected = False
            self._wakeup.event.set()
            self._take_back()

    def _take_back(self) -> None:
        """Rows that are not on their way yet are not sent: they wait for credentials or for a slot. What was
        sent goes on to its end, also when its slot is free again and its answer is read."""
        for task, row in self._attempts.items():
            if (call := self._calls.get(row.id)) is not None and call.phase is not SENT:
                task.cancel()

    async def _deliver(self, session: Session) -> None:
        """Until it is not its business any more. Raises SessionLost and StatementFailed."""
        await self._begin_anew(session)
        self._is("delivers")
        next_forget = time.monotonic() + FORGET_SECONDS
        next_known = time.monotonic() + KNOWN_SECONDS
        next_unknown = time.monotonic() + UNKNOWN_SECONDS
        while self._is_elected:
            self._wakeup.event.clear()
            if not self._stopping:
                await self._begin_rows(session)
                await self._look(session)
            if (now := time.monotonic()) >= next_known:
                next_known = now + KNOWN_SECONDS
                self._groups.read_again(GROUPS_AT_ONCE)
            if now >= next_unknown:
                next_unknown = now + UNKNOWN_SECONDS
                self._groups.know_new(await store.waiting_groups(session))
            if now >= next_forget:
                next_forget = now + await self._forget(session)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._wakeup.event.wait()

    async def _forget(self, session: Session) -> float:
        """Some of what is too old; seconds until that is done again."""
        old = store.forget(self._settings.result_days, self._settings.deduplication_hours)
        gone = [await session.run(statement) for statement in old]
        return FORGET_MORE_SECONDS if max(gone) == store.FORGET_ROWS else FORGET_SECONDS

    async def _begin_anew(self, session: Session) -> None:
        """Rows that have not begun are read again: it may be another server, or the same with less in it.
        Raises SessionLost and StatementFailed."""
        await self._settlement.be_ready()
        self._server_uuid = str(await session.value("SELECT @@server_uuid"))
        for row in self._lanes.clear():
            self._held.pop(row.id, None)
            if row.group is not None:
                self._groups.forget(row.group)
        self._groups.clear()
        for key in await store.waiting_groups(session):
            self._groups.know(key)
        self._scan = Scan()
        self._next_due = 0.0
        self._next_look = 0.0

    def _pause(self) -> float:
        """Seconds until there is something to do, unless somebody says so before."""
        if self._stopping:
            return RETRY_MAX
        now = time.monotonic()
        moments = [self._next_due - now]
        if (resumes := self._lanes.resumes(now)) is not None:
            moments.append(resumes - now)
        if self._has_room():  # else there is an event when there is some
            has_more = self._scan.has_more or self._lanes.has_to_read_again()
            moments.append(0.0 if has_more else self._next_look - now)
        if self._groups.to_read(1):
            moments.append(0.0)
        return max(0.0, min(moments))

    def _has_room(self) -> bool:
        """Whether more rows may be held: each that is read is held until it is settled, or has no room."""
        return self._lanes.buffered < BUFFERED_MAX and self._settlement.unsettled < self._unsettled_max

    # ---- looking ----

    async def _look(self, session: Session) -> None:
        """Reads what can be begun soon, each kind when it is its time."""
        now = time.monotonic()
        if self._wakeup.take_hint():
            self._next_look = min(self._next_look, now + self._wakeup.seconds_after_hint())
        if (now >= self._next_look or self._scan.has_more) and self._has_room():
            without = self._lanes.skipping()
            looking = self._scan.look(session, without=without, is_recent=self._wakeup.is_recent())
            rows = await self._read(looking)
            self._wakeup.looked(found=any(row.id not in self._held for row in rows))
            for row in rows:
                self._take(row)
            self._next_look = min(time.monotonic() + self._wakeup.interval(), self._scan.sweeps_on)
        if self._has_room() and (lane := self._lanes.to_read_again()) is not None:
            await self._read_again(session, lane)
        if time.monotonic() >= self._next_due:
            if self._has_room():
                await self._look_for_due(session)
            else:
                self._next_due = time.monotonic() + FULL_SECONDS
        for name in self._groups.full_functions():
            self._groups.has_room(name, min(self._lanes.room_for(name), GROUPS_AT_ONCE))
        for key in self._groups.to_read(GROUPS_AT_ONCE):
            await self._look_at_group(session, key)
        self._lanes.forget_idle(time.monotonic())
        await self._begin_rows(session)

    async def _read_again(self, session: Session, lane: Lane) -> None:
        """Rows that had no room."""
        since, lane.skipped_from = lane.skipped_from or 0, None
        self._let_go_lately.clear()
        rows = await store.scan_function(session, lane.name, since)
        for row in filter(self._is_new, rows):
            self._take(row)
        if len(rows) == store.SCAN_ROWS and lane.skipped_from is None:
            lane.skipped_from = rows[-1].id + 1

    async def _read(self, reading: Awaitable[list[Row]]) -> list[Row]:
        """Those of the rows that nobody has in hand."""
        self._let_go_lately.clear()
        return list(filter(self._is_new, await reading))

    def _is_new(self, row: Row) -> bool:
        """False also for a row that was settled while it was being read: what was read is older. And for one
        that waits already while it is held as what it was before: nobody knows yet that this is committed."""
        return row.id not in self._held and row.id not in self._let_go_lately

    def _take(self, row: Row) -> None:
        """A row of `outbox`. It may come twice in one reading."""
        if row.id in self._held:
            return
        if row.wrong is not None:
            self._held[row.id] = row
            self._settlement.add(row, Dead(row.wrong))
        elif not row.is_plain:
            self._held[row.id] = row
            row.payload = None  # it is read again when it is its turn
            self._settlement.add(row, Parked())
        elif self._lanes.offer(row):
            self._held[row.id] = row

    async def _look_for_due(self, session: Session) -> None:
        held = [row.id for row in self._held.values() if row.is_waiting]
        without = self._lanes.full()
        rows = await self._read(store.due(session, held, without=without))
        taken = False
        for row in rows:
            if row.group is not None:
                self._groups.know(row.group)
            elif self._lanes.offer(row):
                self._held[row.id] = row
                taken = True
        seconds = await store.seconds_until_due(session)
        wait = DUE_SECONDS if seconds is None or seconds <= 0 else min(seconds, DUE_SECONDS)
        if taken:  # there may be more
            wait = 0.0
        elif without or len(rows) == store.SCAN_ROWS:
            wait = min(wait, FULL_SECONDS)
        self._next_due = time.monotonic() + wait

    async def _look_at_group(self, session: Session, key: Group) -> None:
        self._groups.reading(key)
        self._let_go_lately.clear()
        row = await store.head_of_group(session, key)
        if row is None:
            self._groups.forget(key)
        elif (held := self._held.get(row.id)) is not None:
            if held.group == key:  # else it is another row, of before a TRUNCATE
                self._groups.begin(key, row.id)
        elif row.id in self._let_go_lately or (row.due or 0.0) > time.time():
            return  # the key is read again already, or its time comes
        elif row.attempts == 0 and (row.delayed_until or 0.0) > time.time():
            self._held[row.id] = row
            self._groups.begin(key, row.id)
            self._settlement.add(row, Later(row.delayed_until or 0.0, None))
        elif self._lanes.offer(row):
            self._held[row.id] = row
            self._groups.begin(key, row.id)
        else:
            self._groups.full(key, row.function_name)

    # ---- sending ----

    async def _begin_rows(self, session: Session) -> None:
        """All that may begin now."""
        large: list[Row] = []
        begun = size = 0
        if self._settlement.unsettled >= self._unsettled_max:
            return
        while self._may_begin() and self._bytes + size < BYTES_MAX:
            if (row := self._lanes.next(time.monotonic())) is None:
                break
            if row.payload is None:
                large.append(row)
                size += row.payload_bytes
            else:
                self._begin(row)
            begun += 1
            if size >= store.FETCH_BYTES:
                await self._begin_large(session, large)
                large, size = [], 0
            if begun % BEGIN_AT_ONCE == 0:
                await asyncio.sleep(0)
        if large:
            await self._begin_large(session, large)

    async def _begin_large(self, session: Session, rows: list[Row]) -> None:
        payloads: dict[int, bytes] = {}
        try:
            payloads = await store.payloads(session, rows)
        finally:
            for row in rows:
                row.payload = payloads.get(row.id)
                if row.payload is not None and self._may_begin():
                    self._begin(row)
                else:  # somebody has deleted it, or it is read again
                    self._give_back(row)

    def _may_begin(self) -> bool:
        return self._is_elected and not self._stopping

    def _give_back(self, row: Row) -> None:
        """It is not sent; it is read again if it is there still."""
        self._lanes.failed(row, time.monotonic(), row_alone=True)
        self._held.pop(row.id, None)
        if row.group is not None:
            self._groups.end(row.group)

    def _begin(self, row: Row) -> None:
        self._bytes += row.payload_bytes
        task = asyncio.create_task(self._attempt(row))
        self._attempts[task] = row
        task.add_done_callback(self._attempts.pop)

    async def _attempt(self, row: Row) -> None:
        verdict: Accepted | Later | Dead
        try:
            if not self._is_elected:
                self._give_back(row)
                return
            verdict = await attempt(
                row,
                self._pipeline,
                self._share,
                self._calls,
                server_uuid=self._server_uuid,
                max_attempts=self._settings.max_attempts,
            )
        except asyncio.CancelledError:
            self._give_back(row)
            raise
        except Exception as error:  # a defect of ours must not hold the row for ever
            log_defect(log, error)
            verdict = Later(time.time() + DEFECT_SECONDS, "internal failure, see the sidecar's log")
        finally:
            self._bytes -= row.payload_bytes
        row.payload = None  # nobody needs it any more
        if isinstance(verdict, Accepted):
            self._bytes += len(verdict.result.payload)
            self._lanes.succeeded(row)
        else:
            self._lanes.failed(
                row, time.monotonic(), row_alone=isinstance(verdict, Dead) or verdict.is_rows_alone
            )
        self._settlement.add(row, verdict)
        self._wakeup.event.set()

    # ---- afterwards ----

    def _let_go(self, row: Row, verdict: Verdict, due_at: float) -> None:
        """What became of the row is committed."""
        self._held.pop(row.id, None)
        self._let_go_lately.add(row.id)
        match verdict:
            case Accepted(result=result):
                self._bytes -= len(result.payload)
                self.counts.accepted += 1
            case Dead():
                self.counts.dead += 1
                # Not why: a message may quote the payload. outbox_dead has it.
                log.warning("outbox: row %d is dead after %d attempts", row.id, row.attempts)
            case Later(error=error) if error is not None:  # else it has not been tried
                self.counts.retried += 1
        if row.group is not None:
            if isinstance(verdict, Parked):
                self._groups.know(row.group, row.id)
            else:
                self._groups.end(row.group)
        if due_at:
            self._next_due = min(self._next_due, time.monotonic() + due_at - time.time())
        self._wakeup.event.set()

    def _is(self, state: str) -> None:
        """Logs it once."""
        if state != self.state:
            self.state = state
            log.info("outbox: %s", state)

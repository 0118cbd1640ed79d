"""The outbox's tables in memory, for a deliverer without a server: every interleaving of its sessions can come.

Does what the statements of outbox/new_rows.py, waiting_rows.py, reading.py and changes.py do (tests/sql shows that they do), each after and
before a random number of turns of the event loop; loses connections at random. Knows nothing of lanes or groups."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from mysql.connector import errorcode

from lambda_sidecar.outbox import new_rows, reading, rights, waiting_rows, writer
from lambda_sidecar.outbox.row import Group, Row, Stored, make_row
from lambda_sidecar.outbox.session_errors import SessionLost, StatementFailed
from lambda_sidecar.outbox.transaction import Settled, due_at
from lambda_sidecar.outbox.verdict import Accepted, Dead, Later, Verdict

Query = Callable[..., Coroutine[Any, Any, Any]]
QUERIES: dict[ModuleType, tuple[str, ...]] = {
    new_rows: ("scan", "settled_up_to", "scan_function"),
    waiting_rows: ("due_functions", "due", "head_of_group", "waiting_groups"),
    reading: ("server_time", "payloads"),
    rights: ("lacking",),
}
"""What MemoryOutbox does in place of the functions of these names."""


@dataclass
class Event:
    """A row as its transaction wrote it, and what is known of it beside the tables."""

    id: int
    function_name: str
    options: dict[str, Any] | None
    created: float
    inserted_at: int
    committed_at: int = 0
    """Numbers of moments: what was committed before another was inserted has the lower one."""
    due: float | None = None
    attempts: int = 0
    caller: str = "app@%"

    @property
    def group_key(self) -> str | None:
        return (self.options or {}).get("group_key")

    @property
    def group(self) -> Group | None:
        return None if self.group_key is None else (self.caller, self.group_key)


class MemoryOutbox:
    """`begin` a transaction's row, then `commit` or `roll_back`."""

    def __init__(self, seed: int, *, loses_connections: bool = False) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self._loss = 0.01 if loses_connections else 0.0
        self._moment = 0
        self._next_id = 1
        self.outbox: dict[int, Event] = {}
        self.waiting: dict[int, Event] = {}
        self.dead: dict[int, Event] = {}
        self.redriven: set[int] = set()
        """They have lost their place in their group."""
        self.keys: dict[tuple[str, str, str], int] = {}
        self.open: set[int] = set()
        """Rows that are written and not committed."""
        self.lock_holder: MemorySession | None = None
        self.rights_lacking: dict[str, list[str]] = {}
        self.servers = 1
        """The last one takes writes; the others have become its replicas."""

    def stand_in(
        self, patch: pytest.MonkeyPatch, around: Callable[[Query], Query] = lambda query: query
    ) -> None:
        """For the tables of a server, in all that reads and settles; `around` each of the queries."""
        for module, names in QUERIES.items():
            for name in names:
                patch.setattr(module, name, around(getattr(self, name)))
        patch.setattr(writer, "statements", lambda batch, _hours: batch)

    def moment(self) -> int:
        self._moment += 1
        return self._moment

    def begin(
        self, function_name: str, options: dict[str, Any] | None = None, caller: str = "app@%"
    ) -> Event:
        event = Event(self._next_id, function_name, options, time.time(), self.moment(), caller=caller)
        self._next_id += 1
        self.open.add(event.id)
        return event

    def commit(self, event: Event) -> None:
        event.committed_at = self.moment()
        self.open.discard(event.id)
        self.outbox[event.id] = event

    def roll_back(self, event: Event) -> None:
        self.open.discard(event.id)

    def take_lock_away(self, *, is_seen: bool) -> None:
        """The lock's connection is over, and another may have it at once. Its client sees that, or nothing
        comes any more, as where the network is gone."""
        if self.lock_holder is not None:
            self.lock_holder.is_over, self.lock_holder.is_silent = is_seen, not is_seen
            self.lock_holder = None

    def redrive(self) -> None:
        """All that are dead."""
        self.redriven |= self.dead.keys()
        groups: set[Group | None] = set()
        for number, event in sorted(self.dead.items()):
            is_first = event.group is None or event.group not in groups
            groups.add(event.group)
            due = time.time() if is_first else None
            self.waiting[number] = dataclasses.replace(event, due=due, attempts=0)
        self.dead.clear()

    async def _turns(self) -> None:
        for _ in range(self.random.choice((0, 0, 1, 1, 2, 5))):
            await asyncio.sleep(0)
        if self.random.random() < self._loss:
            raise SessionLost("lost at random")

    # ---- new_rows.py ----

    async def scan(
        self,
        _session: object,
        after: int,
        until: int | None = None,
        *,
        without: Mapping[str, int] | None = None,
    ) -> new_rows.Scanned:
        passed_by = without or {}
        await self._turns()
        wanted = [
            event
            for number, event in sorted(self.outbox.items())
            if number > after
            and (until is None or number <= until)
            and (number < passed_by.get(event.function_name, number + 1) or event.group_key is not None)
        ]
        scanned = self._scanned(wanted, after, until, is_window=bool(without))
        await self._turns()
        return scanned

    def _scanned(
        self, wanted: list[Event], after: int, until: int | None, *, is_window: bool
    ) -> new_rows.Scanned:
        behind = [number for number in self.outbox if number > after]
        window = min(behind) + new_rows.SCAN_IDS if is_window and behind else None
        rows = [_row(event, False) for event in wanted if window is None or event.id <= window]
        is_full = len(rows) >= new_rows.SCAN_ROWS
        highest = max(self.outbox, default=0)
        return new_rows.scanned(rows[: new_rows.SCAN_ROWS], highest, until, window, is_full=is_full)

    async def settled_up_to(self, _session: object, after: int, until: int) -> int | None:
        await self._turns()
        locked = sorted(number for number in self.outbox.keys() | self.open if after < number <= until)
        locked = locked[: new_rows.LOCKED_ROWS]
        result = until if len(locked) < new_rows.LOCKED_ROWS else locked[-1]
        if self.open & set(locked):
            return None
        await self._turns()
        return result

    async def scan_function(self, _session: object, function_name: str, since: int) -> new_rows.Scanned:
        await self._turns()
        wanted = [
            event
            for number, event in sorted(self.outbox.items())
            if number >= since and event.function_name == function_name and event.group_key is None
        ]
        scanned = self._scanned(wanted, since - 1, None, is_window=True)
        await self._turns()
        return scanned

    # ---- waiting_rows.py ----

    async def due_functions(
        self, _session: object, after: str, *, without: Sequence[str]
    ) -> waiting_rows.Due:
        await self._turns()
        now = time.time()
        times = [(event.due, event.function_name) for event in self.waiting.values() if event.due is not None]
        names = {name for due, name in times if due <= now and name > after and name not in without}
        seconds = min(times)[0] - now if times else None
        return waiting_rows.Due(now, seconds, sorted(names)[: waiting_rows.DUE_FUNCTIONS])

    async def due(self, _session: object, most: Mapping[str, int], held: Sequence[Row]) -> list[Row]:
        await self._turns()
        now, ids = time.time(), {row.id for row in held}
        rows: list[Row] = []
        for name, count in most.items():
            wanted = [
                event
                for event in sorted(self.waiting.values(), key=lambda event: event.due or 0.0)
                if event.due is not None
                and event.due <= now
                and event.id not in ids
                and event.function_name == name
                and (event.group is None or self._head(event.group) is event)
            ]
            rows += [_row(event, True) for event in wanted[:count]]
        await self._turns()
        return rows

    def _head(self, group: Group) -> Event | None:
        return min(
            (event for event in self.waiting.values() if event.group == group),
            key=lambda event: event.id,
            default=None,
        )

    async def head_of_group(self, _session: object, group: Group) -> Row | None:
        await self._turns()
        head = self._head(group)
        row = None if head is None else _row(head, True)
        await self._turns()
        return row

    async def waiting_groups(self, _session: object, after: Group | None) -> list[Group]:
        await self._turns()
        groups = sorted({event.group for event in self.waiting.values() if event.group is not None})
        return [group for group in groups if after is None or group > after][: waiting_rows.GROUP_KEYS]

    # ---- reading.py ----

    async def lacking(self, _session: object) -> dict[str, list[str]]:
        await self._turns()
        return self.rights_lacking

    async def server_time(self, _session: object) -> float:
        await self._turns()
        return time.time()

    async def payloads(self, _session: object, rows: Sequence[Row]) -> dict[int, bytes]:
        await self._turns()
        tables = {False: self.outbox, True: self.waiting}
        return {row.id: str(row.id).encode() for row in rows if row.id in tables[row.is_waiting]}

    # ---- settlement.py's transaction ----

    async def settle(self, batch: Sequence[Settled]) -> None:
        """One transaction; after SessionLost nobody knows whether it was committed."""
        await self._turns()
        for row, verdict in batch:
            self._settle_one(row, verdict)
        await self._turns()

    def _settle_one(self, row: Row, verdict: Verdict) -> None:
        event = (self.waiting if row.is_waiting else self.outbox).pop(row.id, None)
        if event is None:
            return
        match verdict:
            case Accepted():
                pass
            case Dead():
                self.dead[row.id] = dataclasses.replace(event, attempts=row.attempts)
            case Later(at=at):
                self.waiting[row.id] = dataclasses.replace(event, attempts=row.attempts, due=at)
            case _:
                key = (row.caller, row.function_name, row.deduplication_key)
                if row.deduplication_key is None or self.keys.setdefault(key, row.id) == row.id:  # type: ignore[arg-type]
                    self.waiting[row.id] = dataclasses.replace(event, due=due_at(row, verdict) or None)


def _row(event: Event, is_waiting: bool) -> Row:
    """Every third is too large to come along."""
    payload = None if event.id % 3 == 0 else str(event.id)
    stored = Stored(
        event.id,
        event.function_name,
        payload,
        event.options,
        event.caller,
        event.created,
        len(str(event.id)),
        event.attempts,
        event.group_key,
        event.due,
    )
    return make_row(stored, is_waiting=is_waiting)


class MemorySession:
    """A connection to it, as Session is one to a server."""

    def __init__(self, tables: MemoryOutbox) -> None:
        self._tables = tables
        self._server = tables.servers
        self.is_over = False
        self.is_silent = False

    async def value(self, statement: str) -> Any:
        await self._tables._turns()
        if self.is_over:
            raise SessionLost("the connection was killed")
        if self.is_silent:
            await asyncio.Event().wait()
        if "GET_LOCK" in statement:
            return await self._lock()
        return self._is_read_only() if "read_only" in statement else 1

    def _is_read_only(self) -> bool:
        return self._server != self._tables.servers

    async def _lock(self) -> int:
        for _ in range(50):
            if self._tables.lock_holder in (None, self):
                self._tables.lock_holder = self
                return 1
            await asyncio.sleep(0.001)
        return 0

    async def run(self, statement: Any) -> int:
        if not isinstance(statement, str):
            await self.transaction([statement])
        return 0

    async def transaction(self, statements: list[Any]) -> list[int]:
        if self._is_read_only():
            raise StatementFailed(errorcode.ER_OPTION_PREVENTS_STATEMENT, "the server is read-only")
        await self._tables.settle(statements)
        return [0] * len(statements)

    async def close(self) -> None:
        if self._tables.lock_holder is self:
            self._tables.lock_holder = None
        await asyncio.sleep(0)

"""Reads the first row of each group_key, whose turn it is, and finds the keys that nobody knows.

Knows when they are read; waiting_rows.py knows how, and groups.py which key waits for what. Nothing is sent
here."""

from __future__ import annotations

import time

from lambda_sidecar.outbox import waiting_rows
from lambda_sidecar.outbox.clock import ServerClock
from lambda_sidecar.outbox.groups import Groups
from lambda_sidecar.outbox.held import Held
from lambda_sidecar.outbox.lanes import Lanes
from lambda_sidecar.outbox.row import Group
from lambda_sidecar.outbox.session import Session
from lambda_sidecar.outbox.settlement import Settlement
from lambda_sidecar.outbox.verdict import Later

# Keys whose first row is read in one look.
GROUPS_AT_ONCE = 50
# How often some keys are read whose first row waits: somebody may have deleted it, and nothing says so.
KNOWN_SECONDS = 1.0
# How often keys are looked for that nobody knows: outbox_redrive gives the first row of a key alone a time,
# and somebody may have deleted it before it was seen.
UNKNOWN_SECONDS = 60.0


class GroupHeads:
    """`begin_anew` on each server, and again whenever this sidecar is elected."""

    def __init__(
        self,
        held: Held,
        lanes: Lanes,
        groups: Groups[Group],
        settlement: Settlement,
        clock: ServerClock,
    ) -> None:
        self._held = held
        self._lanes = lanes
        self._groups = groups
        self._settlement = settlement
        self._clock = clock
        self._next_known = 0.0  # on time.monotonic()'s clock, as what follows
        self._next_unknown = 0.0
        self._listed: Group | None = None
        """The keys up to this one have been looked for, of the looking that is under way."""

    def begin_anew(self) -> None:
        """Every key is looked for again."""
        self._listed = None
        now = time.monotonic()
        self._next_known, self._next_unknown = now + KNOWN_SECONDS, now

    def pause(self, now: float) -> float:
        """Seconds until there is something to do here, unless somebody says so before."""
        return 0.0 if self._groups.to_read(1) else self._next_unknown - now

    async def look(self, session: Session) -> None:
        """Raises SessionLost and StatementFailed."""
        if (now := time.monotonic()) >= self._next_known:
            self._next_known = now + KNOWN_SECONDS
            self._groups.read_again(GROUPS_AT_ONCE)
        if now >= self._next_unknown:
            await self._list(session)
        for name in self._groups.full_functions():
            self._groups.has_room(name, min(self._lanes.room_for(name), GROUPS_AT_ONCE))
        for key in self._groups.to_read(GROUPS_AT_ONCE):
            await self._look_at(session, key)

    async def _list(self, session: Session) -> None:
        """Some at a time: there may be as many keys as rows."""
        keys = await waiting_rows.waiting_groups(session, self._listed)
        self._groups.know_new(keys)
        is_end = len(keys) < waiting_rows.GROUP_KEYS
        self._listed = None if is_end else keys[-1]
        self._next_unknown = time.monotonic() + (UNKNOWN_SECONDS if is_end else 0.0)

    async def _look_at(self, session: Session, key: Group) -> None:
        self._groups.reading(key)
        self._held.begin_reading()
        row = await waiting_rows.head_of_group(session, key)
        if row is None:
            self._groups.forget(key)
        elif (held := self._held.get(row.id)) is not None:
            if held.group == key:  # else it is another row, of before a TRUNCATE
                self._groups.begin(key, row.id)
        elif self._held.was_let_go(row) or (row.due or 0.0) > self._clock.now():
            return  # the key is read again already, or its time comes
        elif row.attempts == 0 and (row.delayed_until or 0.0) > self._clock.now():
            self._held.hold(row)
            self._groups.begin(key, row.id)
            self._settlement.add(row, Later(row.delayed_until or 0.0, None))
        elif self._lanes.offer(row):
            self._held.hold(row)
            self._groups.begin(key, row.id)
        else:
            self._groups.full(key, row.function_name)

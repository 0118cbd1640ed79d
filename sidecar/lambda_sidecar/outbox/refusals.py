"""Rows that the server refuses to settle: when they are tried again, and which rows wait behind them.

Knows rows and their groups; nothing of statements, nor of why a row was refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from lambda_sidecar.outbox.row import Group, Row
from lambda_sidecar.outbox.verdict import Parked, Verdict

# Until a statement that the server refused is tried again.
REFUSED_SECONDS = 5.0
# Of a row whose own values are refused, even among the dead ones: twice as long each time, up to so long.
APART_SECONDS_MAX = 300.0
# Of a row that somebody else has locked, likewise.
LOCKED_SECONDS, LOCKED_SECONDS_MAX = 0.5, 5.0
# So many of them count for nobody else; those beyond are counted.
APART_ROWS = 10_000
# When so many rows of one function are locked, more of it should not be begun as before.
LOCKED_MANY = 100


class Refusals:
    """Rows whose own values are refused, or that are locked, are kept apart, and so are those that are behind
    them in their group: they hold up nobody else."""

    def __init__(self, again: Callable[[Row, Verdict], None]) -> None:
        """`again` is called, in the running event loop, when a row is to be tried again."""
        self._again = again
        self._refused = 0
        self._apart: dict[int, float] = {}
        """By their ids, the seconds until they are tried again."""
        self._locked: dict[int, str] = {}
        """Of these, those that somebody else has locked, and their functions."""
        self._locked_of: Counter[str] = Counter()
        self._ids: dict[Group, set[int]] = {}
        """Of rows that were to go to outbox_waiting, by their groups: those behind must not overtake them."""

    @property
    def counted(self) -> int:
        """Rows that wait here, but for those that are kept apart."""
        return self._refused + max(0, len(self._apart) - APART_ROWS)

    @property
    def passing(self) -> int:
        """Rows that wait here for what may be over soon, and not for their own values."""
        return self._refused + len(self._locked)

    @property
    def are_some_locked(self) -> bool:
        """Whether any wait because somebody else has locked them."""
        return bool(self._locked)

    def is_apart(self, row: Row) -> bool:
        return row.id in self._apart

    def was_locked(self, row: Row) -> bool:
        return row.id in self._locked

    def is_behind_one(self, row: Row, verdict: Verdict) -> bool:
        """Whether a row before it, of its group, is refused."""
        ids = None if row.group is None else self._ids.get(row.group)
        return isinstance(verdict, Parked) and bool(ids) and min(ids or ()) < row.id

    def hold_back(self, row: Row, verdict: Verdict) -> None:
        """It waits as long as those before it may."""
        self._apart[row.id] = REFUSED_SECONDS / 2
        self.refuse(row, verdict, apart=True)

    def refuse(self, row: Row, verdict: Verdict, *, apart: bool) -> None:
        """It is tried again later. `apart`: for what it is itself."""
        self._is_not_locked(row)
        seconds = REFUSED_SECONDS
        if apart:
            seconds = min(2 * self._apart.get(row.id, REFUSED_SECONDS / 2), APART_SECONDS_MAX)
            self._apart[row.id] = seconds
        else:
            self._apart.pop(row.id, None)
            self._refused += 1
        self._try_later(row, verdict, seconds, counted=not apart)

    def set_apart_locked(self, row: Row, verdict: Verdict) -> bool:
        """Somebody else has locked it: it is tried again soon. Whether that is so with many rows of its
        function, and this one is new among them."""
        seconds = LOCKED_SECONDS
        if is_new := row.id not in self._locked:
            self._locked[row.id] = row.function_name
            self._locked_of[row.function_name] += 1
        else:
            seconds = min(2 * self._apart[row.id], LOCKED_SECONDS_MAX)
        self._apart[row.id] = seconds
        self._try_later(row, verdict, seconds, counted=False)
        return is_new and self._locked_of[row.function_name] > LOCKED_MANY

    def _try_later(self, row: Row, verdict: Verdict, seconds: float, *, counted: bool) -> None:
        if isinstance(verdict, Parked) and row.group is not None:
            self._ids.setdefault(row.group, set()).add(row.id)
        asyncio.get_running_loop().call_later(seconds, self._try_again, row, verdict, counted)

    def _try_again(self, row: Row, verdict: Verdict, counted: bool) -> None:
        self._refused -= counted
        self._again(row, verdict)

    def is_settled(self, row: Row) -> None:
        """The server has taken it."""
        self._apart.pop(row.id, None)
        self._is_not_locked(row)
        if row.group is not None and (ids := self._ids.get(row.group)) is not None:
            ids.discard(row.id)
            if not ids:
                del self._ids[row.group]

    def _is_not_locked(self, row: Row) -> None:
        if (name := self._locked.pop(row.id, None)) is not None:
            self._locked_of[name] -= 1
            if not self._locked_of[name]:
                del self._locked_of[name]

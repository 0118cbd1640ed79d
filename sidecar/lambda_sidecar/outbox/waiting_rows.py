"""The statements that read `outbox_waiting`: which rows are due, and which one of a group is first.

Knows SQL and the schema (udf/sql/install.sql); nothing of when what is asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lambda_sidecar.outbox.reading import one_text, read, stored
from lambda_sidecar.outbox.row import Group, Row
from lambda_sidecar.outbox.session import Session
from lambda_sidecar.outbox.sql_text import identifiers, literal

# Keys that are read at once; the event loop stands still for a millisecond meanwhile.
GROUP_KEYS = 200
# Functions whose rows are read in one look at those that are due, and rows that it brings along at most.
DUE_FUNCTIONS, DUE_ROWS = 50, 200
# Only a hint: a table of an older install.sql has no such index.
_BY_FUNCTION = "/*+ INDEX(outbox_waiting of_function) */"
# The whole key as the order: the index is read in it, and not further than the first entry.
_IS_FIRST = (
    "id = (SELECT b.id FROM lambda_udf.outbox_waiting AS b"
    " WHERE b.caller = outbox_waiting.caller AND b.group_key = outbox_waiting.group_key"
    " ORDER BY b.caller, b.group_key, b.id LIMIT 1)"
)


@dataclass(frozen=True, slots=True)
class Due:
    """Of `outbox_waiting` at one moment, `now` (seconds since 1970, on the server's clock). `seconds`: until
    the next row's time, negative if that has come; None if none waits for one. `functions`: the names of some
    that have rows whose time has come."""

    now: float
    seconds: float | None
    functions: list[str]

    @property
    def is_end(self) -> bool:
        """Whether there are no such functions behind these."""
        return len(self.functions) < DUE_FUNCTIONS


async def due_functions(session: Session, after: str, *, without: Sequence[str]) -> Due:
    """The first DUE_FUNCTIONS names behind `after`, but for those `without`. The server skips in the index
    from one name to the next, however many rows there are of each."""
    rows = await session.rows(
        "SELECT NULL, UNIX_TIMESTAMP(NOW(6)), TIMESTAMPDIFF(MICROSECOND, NOW(6), MIN(due_at)) / 1000000"
        f" FROM lambda_udf.outbox_waiting UNION ALL (SELECT {_BY_FUNCTION} function_name, NULL, NULL"
        f" FROM lambda_udf.outbox_waiting WHERE function_name > {literal(after)}{_no_function(without)}"
        f" GROUP BY function_name HAVING MIN(due_at) <= NOW(6) ORDER BY function_name LIMIT {DUE_FUNCTIONS})"
    )
    ((now, seconds),) = ((now, seconds) for name, now, seconds in rows if name is None)
    functions = sorted(name for name, _, _ in rows if name is not None)
    return Due(float(now), None if seconds is None else float(seconds), functions)


async def due(session: Session, most: Mapping[str, int], held: Sequence[Row]) -> list[Row]:
    """Rows of these functions whose time has come, but for those that are `held`: of each function as many at
    `most`, the longest due first. Of each group the first row alone: the others wait for it, however many are
    due."""
    ids: defaultdict[str, list[int]] = defaultdict(list)
    for row in held:
        ids[row.function_name].append(row.id)
    conditions = []
    for name, rows in most.items():
        excluded = f" AND id NOT IN ({identifiers(ids[name])})" if name in ids else ""
        conditions.append(
            f"function_name = {literal(name)} AND due_at <= NOW(6){excluded}"
            f" AND (group_key IS NULL OR {_IS_FIRST}) ORDER BY due_at LIMIT {rows}"
        )
    return await _waiting(session, conditions, sum(most.values()), hint=_BY_FUNCTION)


async def head_of_group(session: Session, group: Group) -> Row | None:
    """The first row of that group that waits."""
    caller, key = map(literal, group)
    rows = await _waiting(session, [f"caller = {caller} AND group_key = {key} ORDER BY id LIMIT 1"], 1)
    return rows[0] if rows else None


async def waiting_groups(session: Session, after: Group | None) -> list[Group]:
    """Some of those of all rows that wait, in the order of the index: the first ones, or those behind
    `after`. Fewer than GROUP_KEYS: there are no more."""
    if after is None:
        return await _groups(session, "group_key IS NOT NULL", GROUP_KEYS)
    # One range of the index at a time: for both, MySQL would read all of the account's keys.
    caller, key = map(literal, after)
    groups = await _groups(session, f"caller = {caller} AND group_key > {key}", GROUP_KEYS)
    if (missing := GROUP_KEYS - len(groups)) > 0:
        groups += await _groups(session, f"caller > {caller} AND group_key IS NOT NULL", missing)
    return groups


async def _groups(session: Session, condition: str, most: int) -> list[Group]:
    rows = await session.rows(
        "SELECT DISTINCT caller, group_key FROM lambda_udf.outbox_waiting FORCE INDEX (of_group)"
        f" WHERE {condition} ORDER BY caller, group_key LIMIT {most}"
    )
    return [(caller, key) for caller, key in rows]


def _no_function(names: Sequence[str]) -> str:
    return f" AND function_name NOT IN ({','.join(map(literal, names))})" if names else ""


async def _waiting(session: Session, conditions: Sequence[str], most: int, *, hint: str = "") -> list[Row]:
    """By conditions with their orders and limits; `most` rows at most."""

    def query(most: int, small: int) -> str:
        rows = stored(small, is_waiting=True, hint=hint)
        found = " UNION ALL ".join(f"({rows} WHERE {condition})" for condition in conditions)
        return f"SELECT {one_text(is_waiting=True)} FROM ({found} LIMIT {most}) AS t"

    rows, _, _ = await read(session, query, most, is_waiting=True)
    return rows

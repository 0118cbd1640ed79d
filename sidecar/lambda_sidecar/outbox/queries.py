"""The statements that read the outbox's tables for delivery.

Knows SQL and the schema (udf/sql/install.sql); nothing of when what is asked.

Rows come as one JSON text each time: MySQL writes it and msgspec reads it in a fifth of the time that the
connector takes for rows. Large payloads do not come along: `payloads` fetches them for the next rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lambda_sidecar.outbox.row import Group, Row, make_row, stored_rows
from lambda_sidecar.outbox.session import Session, StatementFailed, packet_too_small
from lambda_sidecar.outbox.sql_text import BY_KEY, COLUMNS, TABLES, are, identifiers, literal

# What a scan brings along at most, and of each row's payload: 200 rows of 4 KB are read within a millisecond.
SCAN_ROWS = 200
SMALL_BYTES = 4096
# Where a scan passes rows by, it looks at so many ids at most: as many rows are looked at within some 20 ms.
SCAN_IDS = 10_000
# Keys that are read at once; the event loop stands still for a millisecond meanwhile.
GROUP_KEYS = 200
# Rows that are locked at once to see whether there is one that is not committed.
LOCKED_ROWS = 5000
# Functions whose rows are read in one look at those that are due.
DUE_FUNCTIONS = 50
# Payloads that are fetched at once.
FETCH_BYTES = 8 * 1024 * 1024

_ROWS = "JSON_ARRAYAGG(JSON_ARRAY({columns})), COUNT(*)"
# The key and its row are not copied: only what is asked for is in the derived table.
_STORED = (
    "SELECT {hint} id, function_name, IF(payload_bytes <= {small}, payload, NULL) AS payload, options,"
    " caller, created_at, payload_bytes"
)
_OUTBOX = f"{_STORED} FROM lambda_udf.outbox"
_WAITING = f"{_STORED}, attempts, group_key, due_at FROM lambda_udf.outbox_waiting"
# Only a hint: a table of an older install.sql has no such index.
_BY_FUNCTION = "/*+ INDEX(outbox_waiting of_function) */"
# The whole key as the order: the index is read in it, and not further than the first entry.
_IS_FIRST = (
    "id = (SELECT b.id FROM lambda_udf.outbox_waiting AS b"
    " WHERE b.caller = outbox_waiting.caller AND b.group_key = outbox_waiting.group_key"
    " ORDER BY b.caller, b.group_key, b.id LIMIT 1)"
)


@dataclass(frozen=True, slots=True)
class Scanned:
    """Rows of `outbox` that are committed, in the order of their ids, SCAN_ROWS at most. `looked_to`: those
    with ids up to it have been looked at. `is_end`: no row is behind it. `highest`: the table's highest id at
    that moment, 0 if it is empty; `highest_created`: when that row was written, and `now`: when this was
    asked, in seconds since 1970 on the server's clock."""

    rows: list[Row]
    looked_to: int
    is_end: bool
    highest: int
    highest_created: float = 0.0
    now: float = 0.0


async def scan(
    session: Session, after: int, until: int | None = None, *, without: Mapping[str, int] | None = None
) -> Scanned:
    """Those with ids above `after` (and up to `until`, which is the end then). Rows of the functions
    `without` are left out from the id given there on, but for those with a group_key: other functions' rows
    of the key may follow."""
    return await _outbox(session, after, until, _no_plain_row_of(without))


async def settled_up_to(session: Session, after: int, until: int) -> int | None:
    """Up to which id, `until` at most, nobody has a row above `after` that is written and not committed: a
    plain read does not see it, and a locking one meets its lock. None: there is one right behind, or so it
    seems, as while rows of these ids are being deleted. Locks LOCKED_ROWS at most, for a moment. Raises
    SessionLost and StatementFailed."""
    locked = (
        f"SELECT id FROM lambda_udf.outbox WHERE id > {after} AND id <= {until}"
        f" ORDER BY id LIMIT {LOCKED_ROWS} FOR SHARE NOWAIT"
    )
    try:
        count, last = await session.row(f"SELECT COUNT(*), MAX(id) FROM ({locked}) AS t") or (0, None)
    except StatementFailed as error:
        if not error.is_locked:
            raise
        return None
    return int(last) if count == LOCKED_ROWS else until


async def scan_function(session: Session, function_name: str, since: int) -> Scanned:
    """Those of one function, from the id `since` on, without those with a group_key: scan() has them."""
    condition = f" AND function_name = {literal(function_name)} AND options->>'$.group_key' IS NULL"
    return await _outbox(session, since - 1, None, condition)


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


async def server_time(session: Session) -> float:
    """Seconds since 1970, on the server's clock."""
    return float(await session.value("SELECT UNIX_TIMESTAMP(NOW(6))"))


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
    conditions = []
    for name, rows in most.items():
        ids = [row.id for row in held if row.function_name == name]
        excluded = f" AND id NOT IN ({identifiers(ids)})" if ids else ""
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


async def payloads(session: Session, rows: Sequence[Row]) -> dict[int, bytes]:
    """By id. A row that is not there any more has none."""
    found: dict[int, bytes] = {}
    for is_waiting in (False, True):
        if of_table := [row for row in rows if row.is_waiting is is_waiting]:
            query = f"SELECT id, payload FROM {TABLES[is_waiting]} WHERE {are(of_table)}"
            found |= {number: text.encode() for number, text in await session.rows(query)}
    return found


async def locked(session: Session, rows: Sequence[Row]) -> set[int]:
    """The ids of those that somebody else has locked now. It waits for none of them, and locks the others for
    this moment alone."""
    ids: set[int] = set()
    for is_waiting in (False, True):
        if of_table := [row for row in rows if row.is_waiting is is_waiting]:
            there = f"SELECT {BY_KEY[is_waiting]} id FROM {TABLES[is_waiting]} WHERE {are(of_table)}"
            seen = await session.rows(there)
            free = await session.rows(f"{there} FOR UPDATE SKIP LOCKED")
            ids |= {number for (number,) in seen} - {number for (number,) in free}
    return ids


def _no_function(names: Sequence[str]) -> str:
    return f" AND function_name NOT IN ({','.join(map(literal, names))})" if names else ""


def _no_plain_row_of(names: Mapping[str, int] | None) -> str:
    if not names:
        return ""
    passed_by = ",".join(map(literal, names))
    since = " ".join(f"WHEN {literal(name)} THEN {number}" for name, number in names.items())
    return (
        f" AND (function_name NOT IN ({passed_by}) OR options->>'$.group_key' IS NOT NULL"
        f" OR id < CASE function_name {since} END)"
    )


async def _outbox(session: Session, after: int, until: int | None, condition: str) -> Scanned:
    limit = "" if until is None else f" AND id <= {until}"
    window = (
        f"(SELECT MIN(id) + {SCAN_IDS} FROM lambda_udf.outbox WHERE id > {after})" if condition else "NULL"
    )
    within = f" AND id <= {window}" if condition else ""
    last = "SELECT COALESCE(MAX(id), 0) FROM lambda_udf.outbox"
    created = "SELECT UNIX_TIMESTAMP(created_at) FROM lambda_udf.outbox ORDER BY id DESC LIMIT 1"

    def query(most: int, small: int) -> str:
        found = (
            f"{_OUTBOX.format(hint='', small=small)} WHERE id > {after}{limit}{within}{condition}"
            f" ORDER BY id LIMIT {most}"
        )
        more = f"({last}), {window}, ({created}), UNIX_TIMESTAMP(NOW(6))"
        return f"SELECT {_ROWS.format(columns=COLUMNS[False])}, {more} FROM ({found}) AS t"

    rows, (highest, looked_to, highest_created, now), most = await _read(
        session, query, SCAN_ROWS, is_waiting=False
    )
    found = scanned(
        rows, int(highest), until, None if looked_to is None else int(looked_to), is_full=len(rows) == most
    )
    return replace(found, highest_created=float(highest_created or 0.0), now=float(now))


def scanned(
    rows: list[Row], highest: int, until: int | None, window: int | None, *, is_full: bool
) -> Scanned:
    """`window`: no id above it was looked at; nor was one behind the rows, if they are as many as were asked
    for."""
    end = highest if until is None else until
    looked_to = rows[-1].id if is_full else end if window is None else min(end, window)
    return Scanned(rows, looked_to, looked_to >= end, highest)


async def _waiting(session: Session, conditions: Sequence[str], most: int, *, hint: str = "") -> list[Row]:
    """By conditions with their orders and limits; `most` rows at most."""

    def query(most: int, small: int) -> str:
        stored = _WAITING.format(hint=hint, small=small)
        found = " UNION ALL ".join(f"({stored} WHERE {condition})" for condition in conditions)
        return f"SELECT {_ROWS.format(columns=COLUMNS[True])} FROM ({found} LIMIT {most}) AS t"

    rows, _, _ = await _read(session, query, most, is_waiting=True)
    return rows


async def _read(
    session: Session, query: Callable[[int, int], str], most: int, *, is_waiting: bool
) -> tuple[list[Row], Sequence[Any], int]:
    """The rows of `query`, by id, what else it selects, and how many rows were asked for in the end. `query`
    is made for so many rows at most, with payloads of so many bytes at most. What is larger than
    max_allowed_packet MySQL makes NULL, with a warning (1301): then less is asked for."""
    small = SMALL_BYTES
    while True:
        text, count, *others = await session.row(query(most, small)) or (None, 0)
        if text is not None or not count:
            break
        if not small and most == 1:
            raise packet_too_small()
        most, small = most if small else max(1, most // 8), 0
    rows = [make_row(stored, is_waiting=is_waiting) for stored in stored_rows(text or "[]")]
    rows.sort(key=lambda row: row.id)  # JSON_ARRAYAGG promises no order
    return rows, others, most

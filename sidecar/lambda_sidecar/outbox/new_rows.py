"""The statements that read `outbox`: rows that are committed, and up to which id nobody is writing any.

Knows SQL and the schema (udf/sql/install.sql); nothing of when what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lambda_sidecar.outbox.reading import one_text, read, stored
from lambda_sidecar.outbox.row import Row
from lambda_sidecar.outbox.session import Session
from lambda_sidecar.outbox.session_errors import StatementFailed
from lambda_sidecar.outbox.sql_text import literal

# What a scan brings along at most.
SCAN_ROWS = 200
# Where a scan passes rows by, it looks at so many ids at most: as many rows are looked at within some 20 ms.
SCAN_IDS = 10_000
# Rows that are locked at once to see whether there is one that is not committed.
LOCKED_ROWS = 5000


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
            f"{stored(small, is_waiting=False)} WHERE id > {after}{limit}{within}{condition}"
            f" ORDER BY id LIMIT {most}"
        )
        more = f"({last}), {window}, ({created}), UNIX_TIMESTAMP(NOW(6))"
        return f"SELECT {one_text(is_waiting=False)}, {more} FROM ({found}) AS t"

    rows, (highest, looked_to, highest_created, now), most = await read(
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

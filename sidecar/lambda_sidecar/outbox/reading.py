"""Reads rows of the outbox's tables, for new_rows.py and waiting_rows.py, and those whose ids are known.

Knows SQL and the schema (udf/sql/install.sql); nothing of when what is asked. Rows come as one JSON text each
time: MySQL writes it and msgspec reads it in a fifth of the time that the connector takes for rows. Large
payloads do not come along: `payloads` fetches them for the next rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lambda_sidecar.outbox.row import Row, make_row, stored_rows
from lambda_sidecar.outbox.session import Session
from lambda_sidecar.outbox.session_errors import packet_too_small
from lambda_sidecar.outbox.sql_text import BY_KEY, COLUMNS, TABLES, are

# Of each row's payload, what comes along: 200 rows of 4 KB are read within a millisecond.
SMALL_BYTES = 4096
# Payloads that are fetched at once.
FETCH_BYTES = 8 * 1024 * 1024


def stored(small: int, *, is_waiting: bool, hint: str = "") -> str:
    """The beginning of a SELECT of rows, up to the table's name; of payloads, those of so many bytes at most.
    It has no other columns, not even the key: a derived table is a copy of them all."""
    more = ", attempts, group_key, due_at" if is_waiting else ""
    return (
        f"SELECT {hint} id, function_name, IF(payload_bytes <= {small}, payload, NULL) AS payload, options,"
        f" caller, created_at, payload_bytes{more} FROM {TABLES[is_waiting]}"
    )


async def read(
    session: Session, query: Callable[[int, int], str], most: int, *, is_waiting: bool
) -> tuple[list[Row], Sequence[Any], int]:
    """The rows of `query`, by id, what else it selects, and how many rows were asked for in the end. `query`
    is made for so many rows at most, with payloads of so many bytes at most: it selects `one_text`, and then
    the rest. What is larger than max_allowed_packet MySQL makes NULL, with a warning (1301): then less is
    asked for."""
    small = SMALL_BYTES
    while True:
        text, count, *others = await session.row(query(most, small)) or (None, 0)
        if text is not None or not count:
            break
        if not small and most == 1:
            raise packet_too_small()
        most, small = most if small else max(1, most // 8), 0
    rows = [make_row(each, is_waiting=is_waiting) for each in stored_rows(text or "[]")]
    rows.sort(key=lambda row: row.id)  # JSON_ARRAYAGG promises no order
    return rows, others, most


def one_text(*, is_waiting: bool) -> str:
    """All rows of what `stored` selects, and their number."""
    return f"JSON_ARRAYAGG(JSON_ARRAY({COLUMNS[is_waiting]})), COUNT(*)"


async def server_time(session: Session) -> float:
    """Seconds since 1970, on the server's clock."""
    return float(await session.value("SELECT UNIX_TIMESTAMP(NOW(6))"))


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

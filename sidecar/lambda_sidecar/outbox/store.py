"""The statements on the outbox's tables: what is read for delivery, and what becomes of a row.

Knows SQL and the schema (udf/sql/install.sql); nothing of when what is asked.

Rows come as one JSON text each time: MySQL writes it and msgspec reads it in a fifth of the time that the
connector takes for rows. Large payloads do not come along: `payloads` fetches them for the next rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from lambda_sidecar.outbox.row import Group, Row, make_row, stored_rows
from lambda_sidecar.outbox.session import Session, StatementFailed

# What a scan brings along at most, and of each row's payload: 200 rows of 4 KB are read within a millisecond.
SCAN_ROWS = 200
SMALL_BYTES = 4096
# Payloads that are fetched at once.
FETCH_BYTES = 8 * 1024 * 1024
# Results, and keys, that are forgotten at once.
FORGET_ROWS = 1000
# The last second of a TIMESTAMP.
TIMESTAMP_MAX = 2147483647.0

_ROWS = "COALESCE(JSON_ARRAYAGG(JSON_ARRAY({columns})), '[]')"
_COLUMNS = "id, function_name, payload, options, caller, UNIX_TIMESTAMP(created_at), payload_bytes"
_WAITING_COLUMNS = f"{_COLUMNS}, attempts, group_key, UNIX_TIMESTAMP(due_at)"
_SMALL = f"IF(payload_bytes <= {SMALL_BYTES}, payload, NULL) AS payload"
# The key and its row are not copied: only what is asked for is in the derived table.
_OUTBOX = (
    f"SELECT id, function_name, {_SMALL}, options, caller, created_at, payload_bytes FROM lambda_udf.outbox"
)
_WAITING = (
    f"SELECT id, function_name, {_SMALL}, options, caller, created_at, payload_bytes, attempts, group_key,"
    " due_at FROM lambda_udf.outbox_waiting"
)
_HAS_ONE_BEFORE = (
    "EXISTS (SELECT 1 FROM lambda_udf.outbox_waiting AS b"
    " WHERE b.caller = outbox_waiting.caller AND b.group_key = outbox_waiting.group_key"
    " AND b.id < outbox_waiting.id)"
)
_TABLES = {False: "lambda_udf.outbox", True: "lambda_udf.outbox_waiting"}
"""By Row.is_waiting."""


async def scan(
    session: Session, after: int, until: int | None = None, *, without: Mapping[str, int] | None = None
) -> tuple[list[Row], int]:
    """Rows of `outbox` that are committed, with ids above `after` (and up to `until`), SCAN_ROWS at most, in
    the order of their ids; and the table's highest id at that moment, 0 if it is empty. Rows of the functions
    `without` are left out from the id given there on, but for those with a group_key: other functions' rows
    of the key may follow."""
    limit = "" if until is None else f" AND id <= {until}"
    return await _outbox(session, f"id > {after}{limit}{_no_plain_row_of(without)}")


async def is_being_written(session: Session, after: int, until: int) -> bool:
    """Whether somebody has written a row with an id above `after`, up to `until`, and has not ended the
    transaction: a plain read does not see it, and a locking one meets its lock. Says so too while rows of
    these ids are being deleted, and where the row behind them is not committed. Raises SessionLost and
    StatementFailed."""
    try:
        await session.rows(
            f"SELECT id FROM lambda_udf.outbox WHERE id > {after} AND id <= {until} FOR SHARE NOWAIT"
        )
    except StatementFailed as error:
        if not error.is_locked:
            raise
        return True
    return False


async def scan_function(session: Session, function_name: str, since: int) -> list[Row]:
    """Those of one function, from the id `since` on, without those with a group_key: scan() has them."""
    is_plain = "options->>'$.group_key' IS NULL"
    rows, _ = await _outbox(
        session, f"id >= {since} AND function_name = {literal(function_name)} AND {is_plain}"
    )
    return rows


async def due(session: Session, held: Sequence[int], *, without: Sequence[str]) -> list[Row]:
    """Rows of `outbox_waiting` whose time has come, but for those of the ids `held` and of the functions
    `without`. Of each group the first row alone: the others wait for it, however many are due."""
    excluded = f" AND id NOT IN ({_ids(held)})" if held else ""
    return await _waiting(
        session,
        f"due_at <= NOW(6){excluded}{_no_function(without)} AND (group_key IS NULL OR NOT {_HAS_ONE_BEFORE})"
        f" ORDER BY due_at LIMIT {SCAN_ROWS}",
    )


async def head_of_group(session: Session, group: Group) -> Row | None:
    """The first row of that group that waits."""
    caller, key = map(literal, group)
    rows = await _waiting(session, f"caller = {caller} AND group_key = {key} ORDER BY id LIMIT 1")
    return rows[0] if rows else None


async def waiting_groups(session: Session) -> list[Group]:
    """Those of all rows that wait."""
    query = "SELECT DISTINCT caller, group_key FROM lambda_udf.outbox_waiting WHERE group_key IS NOT NULL"
    pairs = "COALESCE(JSON_ARRAYAGG(JSON_ARRAY(caller, group_key)), '[]')"
    groups: list[Group] = msgspec.json.decode(
        await session.value(f"SELECT {pairs} FROM ({query}) AS t"), type=list[Group]
    )
    return groups


async def seconds_until_due(session: Session) -> float | None:
    """From now to the next row's time, negative if that has come; None if none waits for one."""
    moment = "SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), MIN(due_at)) / 1000000 FROM lambda_udf.outbox_waiting"
    seconds = await session.value(moment)
    return None if seconds is None else float(seconds)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits at one moment. `oldest_seconds`: how long the oldest row has been due, 0 if none is."""

    waiting: int
    oldest_seconds: float


async def backlog(session: Session, *, most: int) -> Backlog:
    """Counts up to `most` rows. A row is due once it is written, once its time has come, or once it is behind
    others of its group_key: so the last are seen that a row before them holds up."""
    count = (
        "SELECT COUNT(*) FROM ((SELECT 1 FROM lambda_udf.outbox) UNION ALL"
        f" (SELECT 1 FROM lambda_udf.outbox_waiting) LIMIT {most}) AS counted"
    )
    oldest = (
        "SELECT MIN(moment) FROM ("
        "(SELECT created_at AS moment FROM lambda_udf.outbox ORDER BY id LIMIT 1) UNION ALL"
        " (SELECT MIN(due_at) FROM lambda_udf.outbox_waiting) UNION ALL"
        " (SELECT created_at + INTERVAL COALESCE(options->>'$.delay_seconds', 0) SECOND"
        " FROM lambda_udf.outbox_waiting WHERE due_at IS NULL ORDER BY id LIMIT 1)) AS moments"
    )
    age = f"TIMESTAMPDIFF(MICROSECOND, ({oldest}), NOW(6)) / 1000000"
    waiting, seconds = await session.row(f"SELECT ({count}), {age}") or (0, None)
    return Backlog(int(waiting), max(0.0, float(seconds or 0.0)))


async def payloads(session: Session, rows: Sequence[Row]) -> dict[int, bytes]:
    """By id. A row that is not there any more has none."""
    found: dict[int, bytes] = {}
    for is_waiting in (False, True):
        if of_table := [row for row in rows if row.is_waiting is is_waiting]:
            query = f"SELECT id, payload FROM {_TABLES[is_waiting]} WHERE {_are(of_table)}"
            found |= {number: text.encode() for number, text in await session.rows(query)}
    return found


# ---- what becomes of rows: statements for one transaction ----
# None touches another row that has the id by now, as after a TRUNCATE, or on a server that has lost its last
# transactions. And none reads a whole table, as the optimizer would where most of it is wanted: that would wait for
# each transaction that has a row in it and has not ended.
_BY_KEY = {False: "/*+ INDEX(outbox PRIMARY) */", True: "/*+ INDEX(outbox_waiting PRIMARY) */"}


def delete(rows: Sequence[Row]) -> list[str]:
    """Out of the tables that they are in."""
    by_table = {waiting: [row for row in rows if row.is_waiting is waiting] for waiting in _TABLES}
    return [
        f"DELETE {_BY_KEY[waiting]} FROM {_TABLES[waiting]} WHERE {_are(of_table)}"
        for waiting, of_table in by_table.items()
        if of_table
    ]


def put_off(row: Row, due_at: float | None, error: str | None) -> str:
    """A row of `outbox_waiting` stays there until `due_at` (seconds since 1970), or for the row before it.
    `row.attempts` are those so far. Its own statement of what went wrong is kept where there is no new
    one."""
    new_error = "" if error is None else f", error = {literal(error)}"
    return (
        f"UPDATE {_BY_KEY[True]} lambda_udf.outbox_waiting SET due_at = {_moment(due_at)}, attempts = {row.attempts}"
        f"{new_error} WHERE {_are([row])}"
    )


def copy_to_waiting(rows: Sequence[tuple[Row, float | None, str | None]]) -> list[str]:
    """Rows of `outbox`, into `outbox_waiting`: each with its `due_at` and its error, as put_off() has them.
    One statement for all: rows that only have to be deleted wait for it. Whoever uses it deletes these."""
    if not rows:
        return []
    values = ",".join(
        [
            f"ROW({row.id},FROM_UNIXTIME({row.created:.6f}),{_text(row.group_key)},{_moment(due_at)},"
            f"{row.attempts},{_text(error)})"
            for row, due_at, error in rows
        ]
    )
    return [
        "INSERT INTO lambda_udf.outbox_waiting (id, function_name, payload, options, caller, created_at,"
        " group_key, due_at, attempts, error)"
        " SELECT o.id, o.function_name, o.payload, o.options, o.caller, o.created_at,"
        " v.group_key, v.due_at, v.attempts, v.error"
        f" FROM (VALUES {values}) AS v (id, created_at, group_key, due_at, attempts, error)"
        " STRAIGHT_JOIN lambda_udf.outbox AS o ON o.id = v.id AND o.created_at = v.created_at"
    ]


def remember_key(row: Row, hours: float) -> str:
    """The row's deduplication_key, unless it has been seen within so many hours: forget() comes later."""
    key = literal(row.deduplication_key or "")
    is_old = f"seen_at < NOW(6) - INTERVAL {int(hours * 3600)} SECOND"
    return (
        "INSERT INTO lambda_udf.outbox_deduplication"
        " (caller, function_name, deduplication_key, outbox_id, seen_at)"
        f" VALUES ({literal(row.caller)}, {literal(row.function_name)}, {key}, {row.id}, NOW(6))"
        f" ON DUPLICATE KEY UPDATE outbox_id = IF({is_old}, {row.id}, outbox_id),"
        f" seen_at = IF({is_old}, NOW(6), seen_at)"
    )


def drop_duplicate(row: Row) -> str:
    """Out of `outbox_waiting`, if another row of its caller had its deduplication_key before. From one table:
    from several, by their aliases, MySQL deletes only where a database is selected (error 1046)."""
    key = literal(row.deduplication_key or "")
    return (
        f"DELETE {_BY_KEY[True]} FROM lambda_udf.outbox_waiting WHERE {_are([row])}"
        " AND EXISTS (SELECT 1 FROM lambda_udf.outbox_deduplication"
        f" WHERE caller = {literal(row.caller)} AND function_name = {literal(row.function_name)}"
        f" AND deduplication_key = {key} AND outbox_id <> {row.id})"
    )


def bury(row: Row, error: str) -> list[str]:
    """Into `outbox_dead`."""
    return [
        "INSERT INTO lambda_udf.outbox_dead (id, function_name, payload, options, caller, created_at,"
        f" attempts, error, died_at) SELECT {_BY_KEY[row.is_waiting]} id, function_name, payload, options, caller, created_at,"
        f" {row.attempts}, {literal(error)}, NOW(6) FROM {_TABLES[row.is_waiting]} WHERE {_are([row])}",
        *delete([row]),
    ]


def keep_result(
    row: Row, *, status_code: int, payload: bytes, function_error: str, executed_version: str, request_id: str
) -> str:
    """The function's answer, into `outbox_results`; one that is there already, of an attempt before, is
    replaced."""
    values = ", ".join(
        [
            str(row.id),
            literal(row.function_name),
            literal(row.caller),
            str(status_code),
            literal(payload.decode()) if payload else "NULL",
            literal(function_error[:64]) if function_error else "NULL",
            literal(executed_version[:64]) if executed_version else "NULL",
            literal(request_id[:64]) if request_id else "NULL",
            "NOW(6)",
        ]
    )
    return (
        "REPLACE INTO lambda_udf.outbox_results (outbox_id, function_name, caller, status_code, payload,"
        f" function_error, executed_version, request_id, answered_at) VALUES ({values})"
    )


def forget(result_days: float, deduplication_hours: float) -> list[str]:
    """Results and keys that are too old, some at a time."""
    return [
        "DELETE FROM lambda_udf.outbox_results"
        f" WHERE answered_at < NOW(6) - INTERVAL {int(result_days * 86400)} SECOND LIMIT {FORGET_ROWS}",
        "DELETE FROM lambda_udf.outbox_deduplication"
        f" WHERE seen_at < NOW(6) - INTERVAL {int(deduplication_hours * 3600)} SECOND LIMIT {FORGET_ROWS}",
    ]


def literal(text: str) -> str:
    """A string in SQL: in hexadecimal nothing needs escaping, whatever the sql_mode."""
    return f"_utf8mb4 X'{text.encode().hex()}'"


def _text(text: str | None) -> str:
    return "NULL" if text is None else literal(text)


def _moment(seconds: float | None) -> str:
    """`SET timestamp` lets anybody write a created_at at either end, and a delay leads beyond it."""
    return "NULL" if seconds is None else f"FROM_UNIXTIME({min(max(seconds, 1.0), TIMESTAMP_MAX):.6f})"


def _are(rows: Sequence[Row]) -> str:
    """A condition that these rows alone fulfil."""
    ids = _ids([row.id for row in rows])
    pairs = ",".join([f"({row.id},FROM_UNIXTIME({row.created:.6f}))" for row in rows])
    return f"id IN ({ids}) AND (id, created_at) IN ({pairs})"


def _ids(ids: Sequence[int]) -> str:
    return ",".join(map(str, ids))


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


async def _outbox(session: Session, condition: str) -> tuple[list[Row], int]:
    found = f"{_OUTBOX} WHERE {condition} ORDER BY id LIMIT {SCAN_ROWS}"
    last = "SELECT COALESCE(MAX(id), 0) FROM lambda_udf.outbox"
    query = f"SELECT {_ROWS.format(columns=_COLUMNS)}, ({last}) FROM ({found}) AS t"
    text, highest = await session.row(query) or ("[]", 0)
    rows = [make_row(stored, is_waiting=False) for stored in stored_rows(text)]
    rows.sort(key=lambda row: row.id)  # JSON_ARRAYAGG promises no order
    return rows, int(highest)


async def _waiting(session: Session, condition: str) -> list[Row]:
    query = f"SELECT {_ROWS.format(columns=_WAITING_COLUMNS)} FROM ({_WAITING} WHERE {condition}) AS t"
    rows = [make_row(stored, is_waiting=True) for stored in stored_rows(await session.value(query))]
    rows.sort(key=lambda row: row.id)
    return rows

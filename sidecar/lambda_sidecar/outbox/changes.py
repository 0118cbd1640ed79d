"""The statements that settle rows: what becomes of them, for one transaction.

Knows SQL and the schema (udf/sql/install.sql); nothing of when what is asked. No statement reads a whole
table, as the optimizer would where most of it is wanted: that would wait for each transaction that has a row
in it and has not ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lambda_sidecar.outbox.row import Row
from lambda_sidecar.outbox.sql_text import BY_KEY, TABLES, are, literal, moment, text_or_null

# Results, and keys, that are forgotten at once.
FORGET_ROWS = 1000
# Of an answer, in one statement: a millisecond's work, in hexadecimal.
ANSWER_PART = 256 * 1024
_ANSWER = "@lambda_udf_answer"


def delete(rows: Sequence[Row]) -> list[str]:
    """Out of the tables that they are in."""
    by_table = {waiting: [row for row in rows if row.is_waiting is waiting] for waiting in TABLES}
    return [
        f"DELETE {BY_KEY[waiting]} FROM {TABLES[waiting]} WHERE {are(of_table)}"
        for waiting, of_table in by_table.items()
        if of_table
    ]


def put_off(row: Row, due_at: float | None, error: str | None) -> str:
    """A row of `outbox_waiting` stays there until `due_at` (seconds since 1970), or for the row before it.
    `row.attempts` are those so far. Its own statement of what went wrong is kept where there is no new
    one."""
    new_error = "" if error is None else f", error = {literal(error)}"
    return (
        f"UPDATE {BY_KEY[True]} lambda_udf.outbox_waiting SET due_at = {moment(due_at)},"
        f" attempts = {row.attempts}{new_error} WHERE {are([row])}"
    )


def copy_to_waiting(rows: Sequence[tuple[Row, float | None, str | None]]) -> list[str]:
    """Rows of `outbox`, into `outbox_waiting`: each with its `due_at` and its error, as put_off() has them.
    One statement for all: rows that only have to be deleted wait for it. Whoever uses it deletes these."""
    if not rows:
        return []
    values = ",".join(
        [
            f"ROW({row.id},FROM_UNIXTIME({row.created:.6f}),{text_or_null(row.group_key)},{moment(due_at)},"
            f"{row.attempts},{text_or_null(error)})"
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
        f"DELETE {BY_KEY[True]} FROM lambda_udf.outbox_waiting WHERE {are([row])}"
        " AND EXISTS (SELECT 1 FROM lambda_udf.outbox_deduplication"
        f" WHERE caller = {literal(row.caller)} AND function_name = {literal(row.function_name)}"
        f" AND deduplication_key = {key} AND outbox_id <> {row.id})"
    )


def bury(row: Row, error: str) -> list[str]:
    """Into `outbox_dead`."""
    return [
        "INSERT INTO lambda_udf.outbox_dead (id, function_name, payload, options, caller, created_at,"
        f" attempts, error, died_at) SELECT {BY_KEY[row.is_waiting]} id, function_name, payload, options,"
        " caller, created_at,"
        f" {row.attempts}, {literal(error)}, NOW(6) FROM {TABLES[row.is_waiting]} WHERE {are([row])}",
        *delete([row]),
    ]


def keep_result(
    row: Row, *, status_code: int, payload: bytes, function_error: str, executed_version: str, request_id: str
) -> Iterator[str]:
    """The function's answer, into `outbox_results`; one that is there already, of an attempt before, is
    replaced. A long one comes in parts, so that no statement takes long to write or to send; if all of them
    are longer than max_allowed_packet, the server makes NULL of them, and refuses that as a status_code
    (error 1048)."""
    is_long = len(payload) > ANSWER_PART
    for start in range(0, len(payload), ANSWER_PART) if is_long else ():
        part = f"X'{payload[start : start + ANSWER_PART].hex()}'"
        yield f"SET {_ANSWER} = {f'CONCAT({_ANSWER}, {part})' if start else part}"
    answer = f"_utf8mb4 X'{payload.hex()}'" if payload and not is_long else "NULL"
    values = ", ".join(
        [
            str(row.id),
            literal(row.function_name),
            literal(row.caller),
            f"IF(LENGTH({_ANSWER}) = {len(payload)}, {status_code}, NULL)" if is_long else str(status_code),
            _ANSWER if is_long else answer,
            literal(function_error[:64]) if function_error else "NULL",
            literal(executed_version[:64]) if executed_version else "NULL",
            literal(request_id[:64]) if request_id else "NULL",
            "NOW(6)",
        ]
    )
    yield (
        "REPLACE INTO lambda_udf.outbox_results (outbox_id, function_name, caller, status_code, payload,"
        f" function_error, executed_version, request_id, answered_at) VALUES ({values})"
    )
    if is_long:
        yield f"SET {_ANSWER} = NULL"


def forget(result_days: float, deduplication_hours: float) -> list[str]:
    """Results and keys that are too old, some at a time."""
    return [
        "DELETE FROM lambda_udf.outbox_results"
        f" WHERE answered_at < NOW(6) - INTERVAL {int(result_days * 86400)} SECOND LIMIT {FORGET_ROWS}",
        "DELETE FROM lambda_udf.outbox_deduplication"
        f" WHERE seen_at < NOW(6) - INTERVAL {int(deduplication_hours * 3600)} SECOND LIMIT {FORGET_ROWS}",
    ]

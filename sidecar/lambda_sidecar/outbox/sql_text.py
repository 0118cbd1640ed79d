"""Values as SQL text, and the condition that certain rows fulfil and no others.

Pure; knows the key of the outbox's rows, and nothing of statements."""

from __future__ import annotations

from collections.abc import Sequence

from lambda_sidecar.outbox.row import Row

# The last second of a TIMESTAMP.
TIMESTAMP_MAX = 2147483647.0
TABLES = {False: "lambda_udf.outbox", True: "lambda_udf.outbox_waiting"}
"""By Row.is_waiting."""
_COLUMNS = "id, function_name, payload, options, caller, UNIX_TIMESTAMP(created_at), payload_bytes"
COLUMNS = {False: _COLUMNS, True: f"{_COLUMNS}, attempts, group_key, UNIX_TIMESTAMP(due_at)"}
"""Likewise: of a row, in the order of row.py's Stored."""
BY_KEY = {False: "/*+ INDEX(outbox PRIMARY) */", True: "/*+ INDEX(outbox_waiting PRIMARY) */"}
"""Likewise: a statement reads the rows that are asked for, and no others."""


def literal(text: str) -> str:
    """A string: in hexadecimal nothing needs escaping, whatever the sql_mode."""
    return f"_utf8mb4 X'{text.encode().hex()}'"


def text_or_null(text: str | None) -> str:
    return "NULL" if text is None else literal(text)


def moment(seconds: float | None) -> str:
    """Seconds since 1970. `SET timestamp` lets anybody write a created_at at either end, and a delay leads
    beyond it."""
    return "NULL" if seconds is None else f"FROM_UNIXTIME({min(max(seconds, 1.0), TIMESTAMP_MAX):.6f})"


def identifiers(ids: Sequence[int]) -> str:
    """A list."""
    return ",".join(map(str, ids))


def are(rows: Sequence[Row]) -> str:
    """A condition that these rows alone fulfil: not another that has an id of theirs by now, as after a
    TRUNCATE, or on a server that has lost its last transactions."""
    ids = identifiers([row.id for row in rows])
    pairs = ",".join([f"({row.id},FROM_UNIXTIME({row.created:.6f}))" for row in rows])
    return f"id IN ({ids}) AND (id, created_at) IN ({pairs})"

"""The outbox in a test: delivers what its open transaction has written, and empties the tables between tests.

Rows, verdicts and statements are those of lambda_sidecar.outbox, as in the sidecar, whose process it does not
know."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from lambda_sidecar import errors as failures
from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.local import errors
from lambda_sidecar.local.invocation import Invocation, Outcome
from lambda_sidecar.local.target import resolve
from lambda_sidecar.outbox import changes
from lambda_sidecar.outbox.row import Group, Row, event, make_row, stored_rows
from lambda_sidecar.outbox.sql_text import COLUMNS, TABLES, literal
from lambda_sidecar.outbox.transaction import statements
from lambda_sidecar.outbox.verdict import EXPIRED, Accepted, Dead, Later, judge
from lambda_sidecar.testing.call import Call
from lambda_sidecar.testing.function_name import ACCOUNT_ID, REGION
from lambda_sidecar.testing.functions import Functions

# The defaults of [outbox]'s max_attempts and deduplication_hours.
_ATTEMPTS, _HOURS = 30, 24.0
# So long the sidecar may take for the rows that a test has left, before it is stopped and they are deleted.
_PATIENCE_SECONDS = 0.5
_DELETED_AT_ONCE = 1000
# Each table with a column by which its rows are found.
_KEYS = {
    "outbox": "id",
    "outbox_waiting": "id",
    "outbox_dead": "id",
    "outbox_results": "outbox_id",
    "outbox_deduplication": "outbox_id",
}
# What the sidecar has not brought to a function, with the reason.
_REFUSED = " UNION ALL ".join(
    f"SELECT function_name, CAST('{state}' AS CHAR), error FROM lambda_udf.{table} WHERE error IS NOT NULL"
    for table, state in (("outbox_waiting", "waits"), ("outbox_dead", "is dead"))
)
_TABLES = (
    "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'lambda_udf'"
    f" AND TABLE_NAME IN ({', '.join(map(repr, _KEYS))})"
)
# Rows that the sidecar may hold, or read before they are deleted.
_UNDELIVERED = (
    "SELECT EXISTS (SELECT 1 FROM lambda_udf.outbox) OR EXISTS (SELECT 1 FROM lambda_udf.outbox_waiting"
    " WHERE due_at IS NULL OR due_at < NOW(6) + INTERVAL 1 SECOND)"
)


def deliver(connection: Any, others: Any, functions: Functions) -> list[Call]:
    """Delivers the rows that `connection` sees and `others` does not, which are those of its own open
    transaction, in the order of their ids and whenever they are due. What becomes of each is written in that
    transaction."""
    calls: list[Call] = []
    held_up: set[Group] = set()  # those whose row has to be tried again
    for row in list(_own_rows(connection, others)):
        if row.group in held_up or _is_duplicate(row, connection):
            continue
        verdict = _attempt(row, functions, calls)
        for statement in statements([(row, verdict)], _HOURS):
            _run(connection, statement)
        if isinstance(verdict, Later) and row.group is not None:
            held_up.add(row.group)
    return calls


def _own_rows(connection: Any, others: Any) -> Iterator[Row]:
    found: list[Row] = []
    for is_waiting, table in TABLES.items():
        committed = {number for (number,) in _rows(others, f"SELECT id FROM {table}")}
        # In hexadecimal, so that neither the connection's character set nor the driver's types matter.
        query = f"SELECT id, HEX(JSON_ARRAY({COLUMNS[is_waiting]})) FROM {table}"
        own = [_text(text) for number, text in _rows(connection, query) if number not in committed]
        stored = stored_rows(b"[" + b",".join(map(bytes.fromhex, own)) + b"]")
        found += [make_row(each, is_waiting=is_waiting) for each in stored]
    return iter(sorted(found, key=lambda row: row.id))


def _is_duplicate(row: Row, connection: Any) -> bool:
    """Whether another row of its caller had its deduplication_key; then it is deleted."""
    if row.deduplication_key is None:
        return False
    _run(connection, changes.remember_key(row, _HOURS))
    key = literal(row.deduplication_key)
    ((first,),) = _rows(
        connection,
        "SELECT outbox_id FROM lambda_udf.outbox_deduplication"
        f" WHERE caller = {literal(row.caller)} AND function_name = {literal(row.function_name)}"
        f" AND deduplication_key = {key} FOR UPDATE",
    )
    if first == row.id:
        return False
    for statement in changes.delete([row]):
        _run(connection, statement)
    return True


def _attempt(row: Row, functions: Functions, calls: list[Call]) -> Accepted | Later | Dead:
    """Also appends the call, if there is one, to `calls`."""
    if row.wrong is not None:
        return Dead(row.wrong)
    if row.expires is not None and time.time() >= row.expires:
        return EXPIRED
    payload = event(row, row.payload or b"")
    row.attempts += 1
    try:
        target = resolve(
            row.function_name,
            row.call.qualifier or None,
            region=row.call.region or REGION,
            account_id=ACCOUNT_ID,
        )
        invocation = Invocation(target=target, invocation_type=row.call.invocation_type, event=payload)
        account = f"{row.account.user}@{row.account.host}"
        try:
            call, handler = functions.receive(invocation, account)
        finally:  # a call that is refused is one too
            calls += [
                one
                for one in functions.calls(target.unqualified_arn)
                if one.request_id == invocation.request_id
            ]
    except errors.ApiError as refusal:
        failure = failures.ApiError(refusal.code, str(refusal).removeprefix(f"{refusal.code}: "))
        return judge(failure, row.attempts, _ATTEMPTS, time.time())
    if invocation.invocation_type == "DryRun":
        functions.finish(call)
        return Accepted(_result(204, invocation))
    outcome = functions.run(handler, invocation, call)
    if invocation.invocation_type == "Event":
        return Accepted(_result(202, invocation))
    return Accepted(_result(200, invocation, outcome))


def _result(status: int, invocation: Invocation, outcome: Outcome | None = None) -> InvocationResult:
    return InvocationResult(
        status_code=status,
        payload=b"" if outcome is None else outcome.payload,
        request_id=invocation.request_id,
        executed_version="" if outcome is None else "$LATEST",
        function_error="Unhandled" if outcome is not None and outcome.function_error else "",
        log_tail=b"",
    )


def settle(connection: Any) -> bool:
    """Gives the sidecar a moment to deliver the rows that were committed. Whether all are, of those that are
    due."""
    if not _exists(connection):
        return True
    _run(connection, "SET SESSION transaction_isolation = 'READ-COMMITTED'")
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _rows(connection, _UNDELIVERED) == [(1,)]:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True


def empty(connection: Any, stopped: Callable[[], AbstractContextManager[object]]) -> None:
    """Empties the tables, once the functions of the test that has ended have had what the sidecar can deliver
    in a moment. The sidecar may hold what is left then, which is deleted while it is `stopped`."""
    with contextlib.nullcontext() if settle(connection) else stopped():
        if _exists(connection):
            _delete_all(connection)


def refused(connection: Any) -> str:
    """The committed events that were tried in vain, each with the reason; empty without any."""
    if not _exists(connection):
        return ""
    lines = [f"{name} {state}: {error}" for name, state, error in _rows(connection, _REFUSED)]
    return "\n".join(["In the outbox:", *lines]) if lines else ""


def _exists(connection: Any) -> bool:
    """Whether its tables are there: a test may have dropped them."""
    return bool(_rows(connection, _TABLES) == [(len(_KEYS),)])


def _delete_all(connection: Any) -> None:
    """By their keys: rows of a transaction that somebody has left open must not be waited for."""
    for table, key in _KEYS.items():
        query = f"SELECT {key} FROM lambda_udf.{table} LIMIT {_DELETED_AT_ONCE}"
        while found := ",".join(str(number) for (number,) in _rows(connection, query)):
            _run(connection, f"DELETE FROM lambda_udf.{table} WHERE {key} IN ({found})")


def _rows(connection: Any, statement: str) -> list[Any]:
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def _run(connection: Any, statement: str) -> None:
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(statement)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes | bytearray) else str(value)

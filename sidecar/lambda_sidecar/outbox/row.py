"""One row of the outbox, as it comes out of MySQL, and the options that it was written with.

Pure; the table's own checks (udf/sql/install.sql) have let nothing else in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from lambda_sidecar.access.account import Account
from lambda_sidecar.calls.lambda_invoke import Options


class Stored(msgspec.Struct, array_like=True):
    """As the statements of reading.py write it: one JSON array of these. `payload` is None where it is too
    large to come along; `created` and `due` are seconds since 1970."""

    id: int
    function_name: str
    payload: str | None
    options: dict[str, Any] | None
    caller: str
    created: float
    payload_bytes: int
    attempts: int = 0
    group_key: str | None = None
    due: float | None = None


stored_rows = msgspec.json.Decoder(list[Stored]).decode


# A CloudEvent is one by its source and its id; a server's name would change in a failover.
SOURCE = "/lambda-udf/outbox"

_EVENT = Options(invocation_type="Event")

Group = tuple[str, str]
"""An account, as `caller` has it, and its group_key: each account has keys of its own."""


@dataclass(slots=True, eq=False)
class Row:
    """`is_waiting`: it is in outbox_waiting, and not in outbox any more. Seconds are since 1970."""

    id: int
    function_name: str
    payload: bytes | None
    account: Account
    created: float
    payload_bytes: int
    is_waiting: bool = False
    attempts: int = 0
    group_key: str | None = None
    deduplication_key: str | None = None
    due: float | None = None
    delayed_until: float | None = None
    expires: float | None = None
    keep_result: bool = False
    envelope: bool = False
    durable: bool = False
    call: Options = _EVENT
    caller: str = ""
    """The account as the tables have it; keys are its own."""
    answer_room: int = 0
    """While it is under way: bytes that its answer is expected to have."""
    wrong: str | None = None
    """Why it can never be delivered."""

    @property
    def group(self) -> Group | None:
        """Which rows go one after the other."""
        return None if self.group_key is None else (self.caller, self.group_key)

    @property
    def waits_for_function(self) -> bool:
        """Whether its call ends with the function, and not when Lambda has accepted it."""
        return self.call.invocation_type == "RequestResponse"

    @property
    def is_plain(self) -> bool:
        """It can go as it is, from where it is. The others go through outbox_waiting: they have a time, a
        row before them, or a key that may have been seen."""
        return self.group_key is None and self.deduplication_key is None and self.delayed_until is None


def make_row(stored: Stored, *, is_waiting: bool) -> Row:
    """A row of `outbox`, or of `outbox_waiting`, whose own columns count then."""
    user, _, host = stored.caller.rpartition("@")
    row = Row(
        stored.id,
        stored.function_name,
        None if stored.payload is None else stored.payload.encode(),
        Account(user, host),
        stored.created,
        stored.payload_bytes,
        is_waiting=is_waiting,
        caller=stored.caller,
    )
    if stored.options:
        try:
            _take_options(row, stored.options)
        except (TypeError, ValueError) as error:
            row.wrong = f"options: {error}"
    if is_waiting:
        row.attempts, row.group_key, row.due = stored.attempts, stored.group_key, stored.due
        row.deduplication_key = None  # it was looked at on the way here
    return row


def _take_options(row: Row, options: dict[str, Any]) -> None:
    row.keep_result = bool(options.get("keep_result"))
    row.envelope = bool(options.get("envelope"))
    row.durable = bool(options.get("durable"))
    row.group_key = options.get("group_key")
    row.deduplication_key = options.get("deduplication_key")
    if (delay := options.get("delay_seconds")) is not None:
        row.delayed_until = row.created + float(delay)
    if (expires := options.get("expires_at")) is not None:
        row.expires = _moment(expires)
    named = options.get("invocation_type", "Event")
    row.call = Options(
        invocation_type="RequestResponse" if row.keep_result else named,
        region=options.get("region", ""),
        qualifier=options.get("qualifier", ""),
        role=options.get("role", ""),
        tenant_id=options.get("tenant_id", ""),
    )


def _moment(text: str) -> float:
    """An expires_at, which is in UTC, with or without a Z behind it."""
    moment = datetime.fromisoformat(text.removesuffix("Z"))
    return moment.replace(tzinfo=UTC).timestamp()


def event_id(row: Row, payload: bytes) -> str:
    """The same for each attempt, on whichever server of a replication topology, and no other event's, though
    ids come again after a TRUNCATE, or where a failover has lost the last transactions: the row's id, the
    microsecond of its writing, and 96 bits of a hash. At most 62 characters, of those that a durable
    execution's name may have (Lambda API reference, Invoke: 64)."""
    text = f"{row.caller}\0{row.function_name}\0".encode() + payload
    return f"{row.id}-{round(row.created * 1_000_000)}-{hashlib.sha256(text).hexdigest()[:24]}"


def event(row: Row, payload: bytes) -> bytes:
    """The payload as Lambda gets it. With `envelope` it is a CloudEvent (CloudEvents 1.0, JSON format);
    caller and attempt are extensions of ours. With `durable` each attempt has to be the same to the byte:
    Lambda refuses a name that another payload has (DurableExecutionAlreadyStartedException)."""
    if not row.envelope:
        return payload
    created = datetime.fromtimestamp(row.created, UTC).isoformat(timespec="microseconds")
    head = {
        "specversion": "1.0",
        "id": event_id(row, payload),
        "source": SOURCE,
        "type": "lambda-udf.outbox",
        "time": created.replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "caller": f"{row.account.user}@{row.account.host}",
        "attempt": 1 if row.durable else row.attempts + 1,
    }
    return json.dumps(head, ensure_ascii=False)[:-1].encode() + b', "data": ' + payload + b"}"

"""A batch: many rows for one function, and the ids under which contracts name it.

Plain data; knows no contract's fields, and of a row only that it is JSON."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import msgspec

from lambda_sidecar.errors import InvalidRequest

# The library sends no more (udf/contract.h).
ROWS_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """`rows` is how many there are; `query` is the statement's id, and `number` counts its batches.
    `function` is the name alone. `user` is the account, `user@host`; `machine` is this one. `signature` names
    the SQL types of the columns: `(a1 NUMBER, a2 VARCHAR)`."""

    rows: int
    query: uuid.UUID
    number: int
    signature: str
    function: str
    user: str
    machine: str
    schema: str
    connection_id: int
    retry_service_errors: bool

    @property
    def id(self) -> uuid.UUID:
        """Unique to the batch, and the same however often it is sent."""
        return uuid.UUID(int=self.query.int ^ (self.number + 1))


def query_of(text: str) -> uuid.UUID:
    """The statement's id. Raises InvalidRequest."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InvalidRequest("the batch's query id is not a UUID") from None


def check_rows(rows: int) -> None:
    """Raises InvalidRequest."""
    if not 1 <= rows <= ROWS_MAX:
        raise InvalidRequest(f"the batch has {rows} rows; 1 to {ROWS_MAX} are expected")


def function_name(text: str) -> str:
    """The name in an ARN, a partial ARN or a name, without its qualifier; nothing is checked."""
    name, _, _ = text.rsplit("function:", 1)[-1].partition(":")
    return name


def quoted(text: str) -> bytes:
    """As a JSON string."""
    return msgspec.json.encode(text)

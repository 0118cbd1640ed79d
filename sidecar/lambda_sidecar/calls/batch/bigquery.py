"""The contract of BigQuery's remote functions. Must not know the other contracts.

Source: BigQuery documentation, "Work with remote functions": "Input format" (requestId, caller, sessionUser,
userDefinedContext, calls) and "Output format" (replies, one for each element of calls; errorMessage)."""

from __future__ import annotations

from collections.abc import Generator

import msgspec

from lambda_sidecar.calls.batch.batch import Batch, quoted
from lambda_sidecar.calls.batch.reading import NOTHING, FunctionRefused, counted, fields, words


class _Answer(msgspec.Struct):
    replies: msgspec.Raw = NOTHING
    errorMessage: msgspec.Raw = NOTHING


_decoder = msgspec.json.Decoder(_Answer)


def event(batch: Batch, rows: bytes) -> Generator[None, None, bytes]:
    """`rows` are JSON arrays, separated by commas. `caller` names the session as BigQuery names its job, and
    `sessionUser` the account; there is no user-defined context."""
    yield
    caller = f"//mysql/{batch.machine}/connections/{batch.connection_id}"
    return b"".join(
        (
            b'{"requestId": "%s", ' % str(batch.id).encode(),
            b'"caller": %s, ' % quoted(caller),
            b'"sessionUser": %s, ' % quoted(batch.user),
            b'"userDefinedContext": {}, ',
            b'"calls": [',
            rows,
            b"]}",
        )
    )


def answer(batch: Batch, payload: bytes) -> Generator[None, None, bytes]:
    """The replies, separated by commas. In steps. Raises FunctionRefused and BatchAnswerInvalid."""
    found = yield from fields(payload, _decoder)
    if bytes(found.errorMessage) and not bytes(found.replies):
        raise FunctionRefused("errorMessage", words(found.errorMessage))
    return (yield from counted(found.replies, batch.rows, "replies"))

"""The contract of Amazon Redshift's Lambda UDFs. Must not know the other contracts.

Sources: Amazon Redshift Database Developer Guide, "Scalar Lambda UDFs" (the fields of the payload and of the
result), and AWS's samples (github.com/aws-samples/amazon-redshift-udfs, lambda-udfs), which return
json.dumps(…): a JSON string that holds the object."""

from __future__ import annotations

from collections.abc import Generator

import msgspec

from lambda_sidecar.calls.batch.batch import Batch, quoted
from lambda_sidecar.calls.batch.reading import NOTHING, FunctionRefused, counted, fields, words
from lambda_sidecar.errors import BatchAnswerInvalid

# Redshift's query ids are numbers; this many bits are exact in every JSON reader.
_QUERY_BITS = 53


class _Answer(msgspec.Struct):
    success: msgspec.Raw = NOTHING
    error_msg: msgspec.Raw = NOTHING
    num_records: msgspec.Raw = NOTHING
    results: msgspec.Raw = NOTHING


_decoder = msgspec.json.Decoder(_Answer)


def event(batch: Batch, rows: bytes) -> Generator[None, None, bytes]:
    """`rows` are JSON arrays, separated by commas. `cluster` is the machine: there is none."""
    yield
    return b"".join(
        (
            b'{"request_id": "%s", ' % str(batch.id).encode(),
            b'"cluster": %s, ' % quoted(batch.machine),
            b'"user": %s, ' % quoted(batch.user),
            b'"database": %s, ' % quoted(batch.schema),
            b'"external_function": %s, ' % quoted(batch.function),
            b'"query_id": %d, ' % (batch.query.int >> (128 - _QUERY_BITS)),
            b'"num_records": %d, ' % batch.rows,
            b'"arguments": [',
            rows,
            b"]}",
        )
    )


def answer(batch: Batch, payload: bytes) -> Generator[None, None, bytes]:
    """The results, separated by commas. Without `success` and `num_records` an answer is as good. In steps.
    Raises FunctionRefused and BatchAnswerInvalid."""
    found = yield from fields(payload, _decoder)
    _check_success(found)
    if bytes(found.num_records) not in (b"", b"null", b"%d" % batch.rows):
        raise BatchAnswerInvalid(f"num_records is not {batch.rows}, as it was in the event")
    return (yield from counted(found.results, batch.rows, "results"))


def _check_success(found: _Answer) -> None:
    success, says = bytes(found.success), words(found.error_msg)
    if success == b"false" or (not success and not bytes(found.results) and says):
        raise FunctionRefused("success is false", says)
    if success not in (b"", b"true"):
        raise BatchAnswerInvalid("success is neither true nor false")

"""The contract of Snowflake's external functions behind an API Gateway. Must not know the other contracts.

Sources: Snowflake documentation, "Remote service input and output data formats" (headers, body, status codes,
and that 202 is polled with GET under the same batch id); API Gateway Developer Guide, "Input format of a
Lambda function for proxy integration" and "Output format …" (statusCode, headers, body, isBase64Encoded)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Generator

import msgspec

from lambda_sidecar.calls.batch.batch import Batch, quoted
from lambda_sidecar.calls.batch.reading import (
    NOTHING,
    WORDS_MAX,
    AskAgain,
    FunctionRefused,
    check_count,
    fields,
    results,
)
from lambda_sidecar.errors import BatchAnswerInvalid
from lambda_sidecar.text.json_text import NestedTooDeeply, NotJson, check

OK, ACCEPTED = 200, 202
# Results are JSON of any type; Snowflake calls that so.
_RETURN_TYPE = "VARIANT"
# Rows whose numbers are read in a step of some milliseconds.
_ROWS_STEP = 20_000
# Bytes of rows that are escaped in one: 9 ms where all is quotation marks.
_ESCAPE_STEP = 1024 * 1024


class _Answer(msgspec.Struct):
    statusCode: msgspec.Raw = NOTHING
    body: msgspec.Raw = NOTHING
    isBase64Encoded: msgspec.Raw = NOTHING


class _Body(msgspec.Struct):
    data: msgspec.Raw = NOTHING


_decoder = msgspec.json.Decoder(_Answer)
_body_decoder = msgspec.json.Decoder(_Body)
_rows_decoder = msgspec.json.Decoder(list[tuple[int, msgspec.Raw]])


def event(batch: Batch, rows: bytes) -> Generator[None, None, bytes]:
    """`rows` are JSON arrays, separated by commas, each with its number in front, from 0 on. They stand in a
    JSON string: nothing but quotation marks and backslashes needs an escape there, as JSON of the library's
    making holds no control characters. In steps."""
    pieces = [b'"{\\"data\\": [']
    for start in range(0, len(rows), _ESCAPE_STEP):
        piece = rows[start : start + _ESCAPE_STEP]
        pieces.append(piece.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))
        yield
    pieces.append(b']}"')
    return _request(batch, b"POST", b"".join(pieces))


def poll(batch: Batch) -> bytes:
    """The event that asks again, after 202: "A GET contains only headers"."""
    return _request(batch, b"GET", b"null")


def _request(batch: Batch, method: bytes, body: bytes) -> bytes:
    headers = _headers(batch)
    single = b", ".join(b"%s: %s" % (quoted(name), quoted(value)) for name, value in headers.items())
    several = b", ".join(b"%s: [%s]" % (quoted(name), quoted(value)) for name, value in headers.items())
    path = quoted(f"/{batch.function}")
    return b"".join(
        (
            b'{"resource": %s, "path": %s, "httpMethod": "%s", ' % (path, path, method),
            b'"headers": {%s}, "multiValueHeaders": {%s}, ' % (single, several),
            b'"queryStringParameters": null, "multiValueQueryStringParameters": null, ',
            b'"pathParameters": null, "stageVariables": null, ',
            b'"requestContext": {"requestId": "%s", ' % str(batch.id).encode(),
            b'"resourcePath": %s, "path": %s, "httpMethod": "%s", ' % (path, path, method),
            b'"stage": "lambda_batch", "protocol": "HTTP/1.1", ',
            b'"identity": {"user": %s, "userAgent": "lambda-udf"}}, ' % quoted(batch.user),
            b'"body": ',
            body,
            b', "isBase64Encoded": false}',
        )
    )


def _headers(batch: Batch) -> dict[str, str]:
    described = {"name": batch.function, "signature": batch.signature, "return-type": _RETURN_TYPE}
    headers = {
        "Content-Type": "application/json",
        "sf-external-function-current-query-id": str(batch.query),
        "sf-external-function-query-batch-id": str(batch.id),
        "sf-external-function-format": "json",
        "sf-external-function-format-version": "1.0",
    }
    for name, value in described.items():
        headers[f"sf-external-function-{name}"] = value
        headers[f"sf-external-function-{name}-base64"] = base64.b64encode(value.encode()).decode()
    return headers


def answer(batch: Batch, payload: bytes) -> Generator[None, None, bytes]:
    """The values, separated by commas. In steps. Raises AskAgain, FunctionRefused and BatchAnswerInvalid."""
    found = yield from fields(payload, _decoder)
    status = _status(found)
    if status == ACCEPTED:
        raise AskAgain
    body = _body(found)
    yield
    if status != OK:
        raise FunctionRefused(f"statusCode {status}", body[:WORDS_MAX].decode(errors="replace"))
    data = yield from _data(body)
    check_count(len(data), batch.rows, "data")
    values: list[msgspec.Raw] = []
    for start in range(0, len(data), _ROWS_STEP):
        values += _numbered(data[start : start + _ROWS_STEP], start)
        yield
    return b", ".join(values)


def _status(found: _Answer) -> int:
    try:
        return msgspec.json.decode(found.statusCode, type=int)
    except msgspec.DecodeError:
        raise BatchAnswerInvalid("statusCode is missing, or is no number") from None


def _body(found: _Answer) -> bytes:
    """An object in place of the string that it should be in is taken, too."""
    body = bytes(found.body)
    if not body.startswith(b'"'):
        return b"" if body == b"null" else body
    text = msgspec.json.decode(body, type=str).encode()
    if bytes(found.isBase64Encoded) != b"true":
        return text
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise BatchAnswerInvalid("body is not base64, though isBase64Encoded says so") from None


def _data(body: bytes) -> Generator[None, None, list[msgspec.Raw]]:
    try:
        check(body)
        yield
        found = _body_decoder.decode(body)
    except NotJson as fault:
        raise BatchAnswerInvalid(f"body is not JSON: {fault.what} at byte {fault.at}") from None
    except NestedTooDeeply:
        raise BatchAnswerInvalid("body is nested too deeply") from None
    except msgspec.ValidationError:
        raise BatchAnswerInvalid("body is not a JSON object") from None
    return (yield from results(found.data, "data"))


def _numbered(rows: list[msgspec.Raw], first: int) -> list[msgspec.Raw]:
    """The values of rows that are [number, value], numbered from `first` on. Raises BatchAnswerInvalid."""
    try:
        pairs = _rows_decoder.decode(b"[" + b",".join(rows) + b"]")
    except msgspec.ValidationError:
        raise BatchAnswerInvalid("data has rows that are not [number, value]") from None
    for expected, (number, _) in enumerate(pairs, first):
        if number != expected:
            raise BatchAnswerInvalid(f"data has row {number} in the place of row {expected}")
    return [value for _, value in pairs]

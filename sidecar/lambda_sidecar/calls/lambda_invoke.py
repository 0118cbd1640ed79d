"""lambda_invoke: its options as people write them in SQL, and the document that it returns.

Pure; knows neither gRPC nor HTTP. Offers what RDS PostgreSQL's aws_lambda.invoke offers."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.errors import ApiError, InvalidRequest
from lambda_sidecar.quotas import CLIENT_CONTEXT_MAX
from lambda_sidecar.text.json_text import NestedTooDeeply, NotJson, check, string_steps

# Lambda API reference, Invoke: X-Amz-Invocation-Type, X-Amz-Log-Type, X-Amz-Tenant-Id,
# X-Amz-Durable-Execution-Name.
INVOCATION_TYPES = ("RequestResponse", "Event", "DryRun")
LOG_TYPES = ("None", "Tail")
_PATTERNS = {
    "tenant_id": (
        re.compile(r"[a-zA-Z0-9._:/=+@ -]{1,256}"),
        "1 to 256 of letters, digits, space and ._:/=+-@",
    ),
    "durable_execution_name": (re.compile(r"[a-zA-Z0-9_-]{1,64}"), "1 to 64 of letters, digits, - and _"),
}
# As lambda_udf.timeout_ms.
TIMEOUT_MAX_MS = 86_400_000
# Options are some ten names and values; the library sends 16 KB at most.
_options_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])

T = TypeVar("T", int, str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The third argument, validated. Empty strings: not given. `client_context` is JSON text;
    `timeout_ms` bounds the call beside lambda_udf.timeout_ms; `traceparent` may be anything, and counts if it
    is well-formed. `stream`: InvokeWithResponseStream instead of Invoke."""

    invocation_type: str = "RequestResponse"
    region: str = ""
    qualifier: str = ""
    log_type: str = "None"
    client_context: str = ""
    role: str = ""
    tenant_id: str = ""
    durable_execution_name: str = ""
    timeout_ms: int | None = None
    traceparent: str = ""
    stream: bool = False


def parse_options(text: str) -> Options:
    """Raises InvalidRequest, naming the option that is unknown or wrong."""
    given = _decode(text.encode())
    known = Options.__dataclass_fields__
    for name in given:
        if name not in known:
            raise InvalidRequest(f"unknown option '{name[:64]}'; known are {', '.join(sorted(known))}")
    checked = {name: _check(name, value) for name, value in given.items()}
    options = Options(**checked)
    if options.client_context and options.invocation_type != "RequestResponse":
        raise InvalidRequest("option client_context is only for invocation_type RequestResponse")
    if options.stream:
        _check_stream(options)
    return options


def _check_stream(options: Options) -> None:
    """What InvokeWithResponseStream does not take."""
    if options.invocation_type == "Event":
        raise InvalidRequest("option stream is not for invocation_type Event")
    if options.durable_execution_name:
        raise InvalidRequest("option stream is not for a durable execution")


def _decode(text: bytes) -> dict[str, msgspec.Raw]:
    """Names and the JSON of their values, as it was written: no number is read that nobody asked for."""
    try:
        check(text)
        return _options_decoder.decode(text)
    except NotJson as fault:
        raise InvalidRequest(f"options are not JSON: {fault.what} at byte {fault.at}") from None
    except NestedTooDeeply:
        raise InvalidRequest("options are not JSON that can be checked: nested too deeply") from None
    except msgspec.ValidationError:
        raise InvalidRequest("options must be a JSON object") from None


def _check(name: str, value: msgspec.Raw) -> Any:
    if name == "timeout_ms":
        milliseconds = _value(value, int)
        if milliseconds is None or not 1 <= milliseconds <= TIMEOUT_MAX_MS:
            raise InvalidRequest(f"option timeout_ms must be a whole number from 1 to {TIMEOUT_MAX_MS}")
        return milliseconds
    if name == "client_context":
        return _check_client_context(bytes(value))
    if name == "stream":
        if bytes(value) not in (b"true", b"false"):
            raise InvalidRequest("option stream must be true or false")
        return bytes(value) == b"true"
    text = _value(value, str)
    if name == "traceparent":  # NULL where an application has none
        return text or ""
    if not text:
        raise InvalidRequest(f"option {name} must be a string that is not empty")
    return check_text_option(name, text)


def check_text_option(name: str, text: str) -> str:
    """Raises InvalidRequest, naming the option. `text` is not empty."""
    choices = {"invocation_type": INVOCATION_TYPES, "log_type": LOG_TYPES}.get(name)
    if choices is not None and text not in choices:
        raise InvalidRequest(f"option {name} must be one of {', '.join(choices)}")
    pattern, expected = _PATTERNS.get(name, (None, ""))
    if pattern is not None and not pattern.fullmatch(text):
        raise InvalidRequest(f"option {name} must have {expected}")
    return text


def _value(value: msgspec.Raw, kind: type[T]) -> T | None:
    """None for what is of another kind; an integer beyond all bounds is."""
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, ValueError):  # ValueError: Python reads no more than 4,300 digits
        return None


def _check_client_context(value: bytes) -> str:
    if not value.startswith(b"{"):
        raise InvalidRequest("option client_context must be a JSON object")
    compact = msgspec.json.format(value, indent=-1)
    length = len(base64.b64encode(compact))
    if length > CLIENT_CONTEXT_MAX:
        raise InvalidRequest(
            f"option client_context has {length} bytes in base64, Lambda takes at most {CLIENT_CONTEXT_MAX}"
        )
    return compact.decode()


def document(result: InvocationResult, most: int) -> Generator[None, None, bytes]:
    """`{"StatusCode", "Payload", "ExecutedVersion", "LogResult", "FunctionError", "RequestId",
    "DurableExecutionArn"}`: JSON, whatever the function answered. The payload is embedded as the JSON that it
    is; null where there is none. In steps. Raises ApiError for more than `most` bytes."""
    rest = json.dumps(fields_of(result), ensure_ascii=False).encode()
    room = most - len(rest) - len('{"StatusCode": 200, "Payload": , ')
    payload = yield from embedded(result.payload, room)
    if payload is None or len(payload) > room:
        text = (
            f"the function has run, but its result of {len(result.payload)} bytes is too large for"
            " lambda_invoke's document; lambda_sync returns it as it is"
        )
        raise ApiError("ResponseTooLarge", text, request_id=result.request_id)
    return b'{"StatusCode": %d, "Payload": %s, %s' % (result.status_code, payload, rest[1:])


def fields_of(result: InvocationResult) -> dict[str, str | None]:
    """Those behind StatusCode and Payload. A field that Lambda left out is null."""
    return {
        "ExecutedVersion": result.executed_version or None,
        "LogResult": result.log_tail.decode(errors="replace") if result.log_tail else None,
        "FunctionError": result.function_error or None,
        "RequestId": result.request_id or None,
        "DurableExecutionArn": result.durable_execution_arn or None,
    }


def embedded(payload: bytes, most: int) -> Generator[None, None, bytes | None]:
    """As JSON: Lambda's Python, Node and Java runtimes answer it. What another one answers becomes a string,
    and so does what only some parsers take (NaN, half a surrogate pair, a byte order mark): MySQL's does not.
    None if the string has more than `most` bytes."""
    if not payload:
        return b"null"
    try:
        check(payload)
    except (NotJson, NestedTooDeeply):
        yield
        return (yield from string_steps(payload.decode(), most))
    yield
    return payload

"""lambda_invoke: its options as people write them in SQL, and the document that it returns.

Pure; knows neither gRPC nor HTTP. Offers what RDS PostgreSQL's aws_lambda.invoke offers."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from lambda_sidecar.answer import InvocationResult
from lambda_sidecar.errors import InvalidRequest

# Lambda API reference, Invoke: X-Amz-Invocation-Type, X-Amz-Log-Type, X-Amz-Client-Context.
INVOCATION_TYPES = ("RequestResponse", "Event", "DryRun")
LOG_TYPES = ("None", "Tail")
CLIENT_CONTEXT_MAX = 3_583  # bytes in base64
# As lambda_udf.timeout_ms.
TIMEOUT_MAX_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The third argument, validated. Empty strings: not given. `client_context` is JSON text;
    `timeout_ms` bounds the call beside lambda_udf.timeout_ms."""

    invocation_type: str = "RequestResponse"
    region: str = ""
    qualifier: str = ""
    log_type: str = "None"
    client_context: str = ""
    role: str = ""
    timeout_ms: int | None = None


def parse_options(text: str) -> Options:
    """Raises InvalidRequest, naming the option that is unknown or wrong."""
    try:
        given = json.loads(text, parse_constant=_no_constant)
    except (json.JSONDecodeError, RecursionError) as error:
        where = f": {error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidRequest(f"options are not JSON{where}") from None
    if not isinstance(given, dict):
        raise InvalidRequest("options must be a JSON object")
    known = Options.__dataclass_fields__
    for name in given:
        if name not in known:
            raise InvalidRequest(f"unknown option '{name[:64]}'; known are {', '.join(sorted(known))}")
    checked = {name: _check(name, value) for name, value in given.items()}
    options = Options(**checked)
    if options.client_context and options.invocation_type != "RequestResponse":
        raise InvalidRequest("option client_context is only for invocation_type RequestResponse")
    return options


def _no_constant(name: str) -> Any:
    raise InvalidRequest(f"options are not JSON: {name} is not a JSON number")


def _check(name: str, value: Any) -> Any:
    if name == "timeout_ms":
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= TIMEOUT_MAX_MS:
            raise InvalidRequest(f"option timeout_ms must be a whole number from 1 to {TIMEOUT_MAX_MS}")
        return value
    if name == "client_context":
        return _check_client_context(value)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"option {name} must be a string that is not empty")
    choices = {"invocation_type": INVOCATION_TYPES, "log_type": LOG_TYPES}.get(name)
    if choices is not None and value not in choices:
        raise InvalidRequest(f"option {name} must be one of {', '.join(choices)}")
    return value


def _check_client_context(value: Any) -> str:
    if not isinstance(value, dict):
        raise InvalidRequest("option client_context must be a JSON object")
    text = json.dumps(value, separators=(",", ":"))
    length = len(base64.b64encode(text.encode()))
    if length > CLIENT_CONTEXT_MAX:
        raise InvalidRequest(
            f"option client_context has {length} bytes in base64, Lambda takes at most {CLIENT_CONTEXT_MAX}"
        )
    return text


def document(result: InvocationResult) -> bytes:
    """`{"StatusCode", "Payload", "ExecutedVersion", "LogResult", "FunctionError", "RequestId"}`. The
    payload is embedded as the JSON that it is; null where there is none. What is not told is null."""
    fields = {
        "ExecutedVersion": result.executed_version or None,
        "LogResult": result.log_tail.decode(errors="replace") if result.log_tail else None,
        "FunctionError": result.function_error or None,
        "RequestId": result.request_id or None,
    }
    rest = json.dumps(fields, ensure_ascii=False).encode()
    return b'{"StatusCode": %d, "Payload": %s, %s' % (result.status_code, _embedded(result.payload), rest[1:])


def _embedded(payload: bytes) -> bytes:
    """Lambda's Python, Node and Java runtimes answer JSON; what another one answers becomes a string."""
    if not payload:
        return b"null"
    try:
        json.loads(payload)
    except (ValueError, RecursionError):
        return json.dumps(payload.decode(), ensure_ascii=False).encode()
    return payload

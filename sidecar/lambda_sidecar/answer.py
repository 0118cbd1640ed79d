"""Lambda's answer to an Invoke request, read: status, headers and body become a result or an error.

Pure; knows nothing of how it came."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambda_sidecar.errors import ApiError

# Lambda API reference, Invoke: the errors that Lambda raises before the function runs and that pass.
# Never a bare 500, 502, 503, 504 or ServiceException: the function may have run.
RETRYABLE = frozenset(
    {
        "TooManyRequestsException",  # 429: throttled
        "EC2ThrottledException",  # EC2 throttled Lambda while it set the function up
        "ENINotReadyException",  # the VPC's network interface is not ready
        "ResourceNotReadyException",  # an inactive function's VPC connection is being restored
        "ResourceConflictException",  # the function is being created or updated
        "SnapStartNotReadyException",  # the snapshot is being made
        "CodeArtifactUserPendingException",  # its code artifact user is being provisioned
    }
)
# The error's message as a user sees it; the whole document is in the result's payload.
ERROR_MESSAGE_MAX_BYTES = 200
ERROR_TYPE_MAX_BYTES = 100


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """What Lambda said. `function_error` is empty unless the function failed; then
    `function_error_text` is one sentence of it."""

    status_code: int
    payload: bytes
    request_id: str
    executed_version: str
    function_error: str
    function_error_text: str
    log_tail: bytes


def read_answer(status: int, reason: str, headers: Mapping[str, str], body: bytes) -> InvocationResult:
    """`headers` have names in lower case. Raises ApiError for every status but 2xx, and for an answer that
    cannot be Lambda's. Whether it is the success that was asked for is success.py's to say."""
    if not 200 <= status < 300:
        raise _api_error(status, reason, headers, body)
    function_error = _text(headers, "x-amz-function-error")
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError as error:
        text = f"the function's result is not UTF-8 at byte {error.start}"
        raise ApiError("InvalidResponse", text) from None
    return InvocationResult(
        status_code=status,
        payload=body,
        request_id=_text(headers, "x-amzn-requestid"),
        executed_version=_text(headers, "x-amz-executed-version"),
        function_error=function_error,
        function_error_text=_function_error_text(function_error, body) if function_error else "",
        log_tail=_log_tail(headers.get("x-amz-log-result", "")),
    )


def _text(headers: Mapping[str, str], name: str) -> str:
    """HTTP clients keep bytes that are no UTF-8 as surrogates, and those cannot travel on."""
    return _cut(headers.get(name, ""), 1024)


def _cut(text: str, most: int) -> str:
    """At most so many bytes of UTF-8, whole characters, no surrogates."""
    return text.encode(errors="replace")[:most].decode(errors="ignore")


def _api_error(status: int, reason: str, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The exception's name and message, where REST-JSON errors carry them (as botocore reads them)."""
    document = _json_object(body)
    code = headers.get("x-amzn-errortype") or document.get("__type") or document.get("code")
    message = document.get("message") or document.get("Message") or reason or "no message"
    code = str(code).split(":")[0].rsplit("#")[-1] if code else f"HTTP {status}"
    return ApiError(
        code,
        str(message),
        passes=status == 429 or code in RETRYABLE,
        request_id=_text(headers, "x-amzn-requestid"),
    )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _log_tail(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded)
    except ValueError:
        raise ApiError("InvalidResponse", "the log tail is not base64") from None


def _function_error_text(function_error: str, body: bytes) -> str:
    """`Unhandled: ValueError: message`. Lambda's error document has errorType and errorMessage
    (developer guide, "Lambda function errors"); either may be missing."""
    document = _json_object(body)
    error_type = _cut(str(document.get("errorType") or ""), ERROR_TYPE_MAX_BYTES)
    message = _cut(str(document.get("errorMessage") or ""), ERROR_MESSAGE_MAX_BYTES)
    return ": ".join(part for part in (function_error, error_type, message) if part)

"""Reads Lambda's answer to an Invoke request: status, headers and body become a result or an error.

Pure; does not know how the answer came."""

from __future__ import annotations

import base64
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass

from lambda_sidecar.aws.error_document import api_error, function_error
from lambda_sidecar.aws.response_stream import Completion
from lambda_sidecar.errors import CODE_MAX, MESSAGE_MAX, ApiError, Throttled
from lambda_sidecar.quotas import DURABLE_EXECUTION_ARN_MAX
from lambda_sidecar.text.json_text import NotUtf8, utf8_steps
from lambda_sidecar.text.pacer import at_once
from lambda_sidecar.text.safe_text import visible

# Lambda API reference, Invoke: the errors that Lambda raises before the function runs and that pass, besides
# TooManyRequestsException, which is its 429.
# Never a bare 500, 502, 503, 504 or ServiceException: the function may have run.
RETRYABLE = frozenset(
    {
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
# Bytes of a header's value that are passed on. Lambda's are shorter: Unhandled, a UUID, a version's number.
HEADER_MAX_BYTES = 1024
FUNCTION_ERROR_MAX_BYTES = 64
# Lambda's API model names its exceptions so; the longest has 43 characters.
_CODE = re.compile(rf"[A-Za-z0-9_.]{{1,{CODE_MAX}}}")
# TooManyRequestsException's Reason, of ThrottleReason in that model; the longest has 49 characters.
_REASON_MAX = 64
_REASON = re.compile(rf"[A-Za-z]{{1,{_REASON_MAX}}}")


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """Lambda's answer. `function_error` is empty unless the function failed; then the payload is its error
    document, and `function_error_text` (function_error_sentence) says it in short."""

    status_code: int
    payload: bytes
    request_id: str
    executed_version: str
    function_error: str
    log_tail: bytes
    function_error_text: str = ""
    durable_execution_arn: str = ""
    streamed: Completion | None = None
    """Of an answer that came as a stream: its parts have been passed on, and `payload` is what the function
    said of its failure, if it failed."""


def read_answer(status: int, reason: str, headers: Mapping[str, str], body: bytes) -> InvocationResult:
    """`headers` have names in lower case. Raises ApiError for every status but 2xx, and for an answer that
    cannot be Lambda's. success.py checks whether it is the success that the call asked for."""
    if not 200 <= status < 300:
        raise _api_error(status, reason, headers, body)
    try:
        if not body.isascii():
            at_once(utf8_steps(body))
    except NotUtf8 as fault:
        raise ApiError("InvalidResponse", f"the function's result is not UTF-8 at byte {fault.at}") from None
    return InvocationResult(
        status_code=status,
        payload=body,
        request_id=request_id(headers),
        executed_version=_text(headers, "x-amz-executed-version"),
        function_error=_cut(headers.get("x-amz-function-error", ""), FUNCTION_ERROR_MAX_BYTES),
        log_tail=_log_tail(headers.get("x-amz-log-result", "")),
        durable_execution_arn=_text(headers, "x-amz-durable-execution-arn", DURABLE_EXECUTION_ARN_MAX),
    )


def read_streamed(headers: Mapping[str, str], completion: Completion) -> InvocationResult:
    """The same for an answer whose payload came in parts."""
    return InvocationResult(
        status_code=200,
        payload=completion.error_details.encode(errors="replace"),
        request_id=request_id(headers),
        executed_version=_text(headers, "x-amz-executed-version"),
        function_error=_cut(completion.error_code, FUNCTION_ERROR_MAX_BYTES),
        log_tail=completion.log_tail,
        streamed=completion,
    )


def request_id(headers: Mapping[str, str]) -> str:
    """Lambda's own of the invocation; empty where there is none."""
    return _text(headers, "x-amzn-requestid")


def _text(headers: Mapping[str, str], name: str, most: int = HEADER_MAX_BYTES) -> str:
    """A header's value, cut, without the surrogates that stand for bytes that are no UTF-8."""
    value = headers.get(name)
    return _cut(value, most) if value else ""


def _cut(text: str, most: int) -> str:
    """At most `most` bytes of UTF-8: whole characters, and no surrogates."""
    return text.encode(errors="replace")[:most].decode(errors="ignore")


def _api_error(status: int, reason: str, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The exception's name and message, where REST-JSON errors carry them (as botocore reads them)."""
    named, message, why = api_error(
        body, code_max=4 * CODE_MAX, message_max=4 * MESSAGE_MAX, reason_max=_REASON_MAX + 1
    )
    named = (headers.get("x-amzn-errortype") or named).split(":")[0].rsplit("#")[-1]
    found = _CODE.match(named)
    code = found[0] if found else f"HTTP {status}"
    message = message or reason or "no message"
    retry_after = _seconds(headers.get("retry-after", ""))
    if status == 429:
        message = _with_reason(message, why or headers.get("reason", ""))
        return Throttled(code, message, request_id=request_id(headers), retry_after=retry_after)
    return ApiError(
        code,
        message,
        passes=code in RETRYABLE,
        of_service=status >= 500 or code in RETRYABLE,
        request_id=request_id(headers),
        retry_after=retry_after,
        status=status,
    )


def _with_reason(message: str, why: str) -> str:
    """`Rate Exceeded. (CallerRateLimitExceeded)`: which limit it was, behind as much of the message as fits
    beside it."""
    if not _REASON.fullmatch(why) or why in message:
        return message
    behind = f" ({why})"
    return message[: MESSAGE_MAX - len(behind)] + behind


def _seconds(text: str) -> float | None:
    """A Retry-After in seconds (RFC 9110, 10.2.3), which Lambda sends; a date, which it does not, is None."""
    return float(text) if re.fullmatch("[0-9]{1,9}", text) else None


def _log_tail(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded)
    except ValueError:
        raise ApiError("InvalidResponse", "the log tail is not base64") from None


def function_error_sentence(result: InvocationResult) -> Generator[None, None, str]:
    """`Unhandled: ValueError: message` for a failed function, of the parts that there are. One step."""
    error_type, message = function_error(
        result.payload, type_max=ERROR_TYPE_MAX_BYTES, message_max=ERROR_MESSAGE_MAX_BYTES
    )
    yield
    if result.streamed is not None and not message:  # ErrorDetails may be plain words
        message = _cut(result.streamed.error_details, ERROR_MESSAGE_MAX_BYTES)
    return visible(": ".join(part for part in (result.function_error, error_type, message) if part))

"""What Lambda answers of durable executions: whether it can be Lambda's, and an execution as a document.

Knows botocore's form of an answer; nothing of how it came."""

from __future__ import annotations

import datetime
import json
from typing import Any

import botocore.exceptions
import msgspec

from lambda_sidecar.aws.answer import RETRYABLE, InvocationResult
from lambda_sidecar.errors import ApiError, NotAsLambdaDoes

LOOK, SUCCEED, FAIL = (
    "GetDurableExecution",
    "SendDurableExecutionCallbackSuccess",
    "SendDurableExecutionCallbackFailure",
)


def check_likeness(operation: str, answer: dict[str, Any]) -> None:
    """botocore reads whatever comes with a status of 2xx. Raises NotAsLambdaDoes for what Lambda does not
    answer: a proxy's page or its empty answer, an execution without a state."""
    metadata = answer.get("ResponseMetadata", {})
    if (status := metadata.get("HTTPStatusCode")) != 200:
        raise NotAsLambdaDoes(f"HTTP {status} instead of 200")
    kind = str(metadata.get("HTTPHeaders", {}).get("content-type", "")).lower()
    if kind.startswith("text/html"):
        raise NotAsLambdaDoes("an HTML page")
    if operation == LOOK:
        if not (answer.get("DurableExecutionArn") and answer.get("Status")):
            raise NotAsLambdaDoes("no execution")
    # A callback's answer has no members. Lambda always sends an id; its emulator does not, but JSON.
    elif not metadata.get("RequestId") and not kind.startswith("application/json"):
        raise NotAsLambdaDoes("no request id and no JSON")


def read_result(answer: dict[str, Any]) -> InvocationResult:
    """Its members as one JSON document, empty where there are none. Takes the metadata out of `answer`."""
    metadata = answer.pop("ResponseMetadata", {})
    answer = _with_times(answer)
    try:
        document = msgspec.json.encode(answer)
    except UnicodeEncodeError:  # half a surrogate pair
        document = json.dumps(answer, ensure_ascii=False).encode(errors="replace")
    return InvocationResult(
        status_code=int(metadata.get("HTTPStatusCode", 200)),
        payload=document if answer else b"",
        request_id=str(metadata.get("RequestId", "")),
        executed_version="",
        function_error="",
        log_tail=b"",
    )


def _with_times(value: Any) -> Any:
    """Times as text, in UTC and to the millisecond: 2026-11-26T07:00:00.123Z (RFC 3339)."""
    if isinstance(value, dict):
        return {name: _with_times(each) for name, each in value.items()}
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def api_error(error: botocore.exceptions.ClientError) -> ApiError:
    """Lambda's own words for it, and whether it may pass by itself."""
    said, metadata = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    code = str(said.get("Code") or f"HTTP {status}")
    if code.isdecimal():  # botocore's, where the answer has none
        code = f"HTTP {code}"
    return ApiError(
        code,
        str(said.get("Message") or error.response.get("Message") or "no message"),
        passes=status == 429 or code in RETRYABLE,
        of_service=status == 429 or status >= 500 or code in RETRYABLE,
        request_id=str(metadata.get("RequestId", "")),
        status=status,
    )

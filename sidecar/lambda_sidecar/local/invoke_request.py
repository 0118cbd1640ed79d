"""Reads the request of Invoke and InvokeWithResponseStream from the wire, and writes Invoke's answer.
Knows HTTP and Lambda's rules for requests; nothing of which functions there are.

Sources: "Invoke", https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html; "InvokeWithResponseStream",
https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re

from aiohttp import web

from lambda_sidecar.local import errors
from lambda_sidecar.local.executions import Execution
from lambda_sidecar.local.invocation import UNHANDLED, Invocation, Outcome, new_trace_id
from lambda_sidecar.local.target import Target, resolve
from lambda_sidecar.quotas import CLIENT_CONTEXT_MAX, EVENT_MAX, REQUEST_RESPONSE_MAX
from lambda_sidecar.text.json_text import NestedTooDeeply, NotJson, NotUtf8, check_steps, utf8_steps
from lambda_sidecar.text.pacer import at_once

# aiohttp decodes the path after it has matched, so %2F stays inside the name.
PATH = "/2015-03-31/functions/{name}/invocations"
STREAM_PATH = "/2021-11-15/functions/{name}/response-streaming-invocations"
# "Tracing header" ("AWS X-Ray concepts"), as AWS's own SDKs write it.
_TRACE_ID = re.compile(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}(?:;Parent=[0-9a-f]{16})?(?:;Sampled=[01])?")
# In the order in which Lambda names them.
INVOCATION_TYPES = ("Event", "RequestResponse", "DryRun")
STREAM_INVOCATION_TYPES = ("RequestResponse", "DryRun")
# botocore's model, DurableExecutionName.
_EXECUTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def read_target(request: web.Request, *, region: str, account_id: str) -> Target:
    """The function that is meant; region and account_id stand in where its name has none. Raises ApiError."""
    return resolve(
        request.match_info["name"],
        request.query.get("Qualifier") or None,
        region=region,
        account_id=account_id,
    )


def read_type(request: web.Request, types: tuple[str, ...] = INVOCATION_TYPES) -> str:
    """One of these types. Raises ApiError."""
    invocation_type = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
    if invocation_type not in types:
        raise errors.invalid_parameter(
            "1 validation error detected: Value at 'invocationType' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(types)}]"
        )
    return invocation_type


def read_execution_name(request: web.Request) -> str:
    """The name of a durable execution; empty where there is none. Raises ApiError."""
    name = request.headers.get("X-Amz-Durable-Execution-Name", "")
    if name and not _EXECUTION_NAME.fullmatch(name):
        raise errors.invalid_parameter(
            "1 validation error detected: Value at 'durableExecutionName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9-_]+"
        )
    return name


async def read_body(request: web.Request, *, is_event: bool) -> bytes:
    """The request's body; reads no more of it than Lambda takes. Raises ApiError."""
    most = EVENT_MAX if is_event else REQUEST_RESPONSE_MAX
    size = request.content_length or 0
    body = bytearray()
    if size <= most:
        try:
            async for chunk in request.content.iter_any():
                body += chunk
                size = len(body)
                if size > most:
                    break
        except web.RequestPayloadError as error:
            raise errors.invalid_content("The request's body ends early or is malformed.") from error
    if size <= most:
        return bytes(body)
    if is_event:
        raise errors.too_large(
            f"{size} byte payload is too large for the Event invocation type (limit {most} bytes)"
        )
    raise errors.too_large(f"Request must be smaller than {most} bytes for the InvokeFunction operation")


def read_invocation(request: web.Request, target: Target, invocation_type: str, body: bytes) -> Invocation:
    """The whole request, checked. Raises ApiError."""
    return Invocation(
        target=target,
        invocation_type=invocation_type,
        event=_checked(body),
        # "Lambda passes the ClientContext object to your function for synchronous invocations only."
        client_context=_client_context(request) if invocation_type == "RequestResponse" else None,
        wants_log=_wants_log(request),
        trace_id=_trace_id(request),
    )


def empty_answer(status: int, invocation: Invocation, execution: Execution | None = None) -> web.Response:
    """The answer without a body: 204 to a dry run, 202 to an accepted event."""
    headers = {"x-amzn-RequestId": invocation.request_id, **_execution_arn(execution)}
    return web.Response(status=status, headers=headers)


def answer(invocation: Invocation, outcome: Outcome, execution: Execution | None = None) -> web.Response:
    """The answer with the function's result, or with its error document."""
    headers = {
        "x-amzn-RequestId": invocation.request_id,
        "X-Amzn-Trace-Id": invocation.trace_id,
        "X-Amz-Executed-Version": "$LATEST",
        **_execution_arn(execution),
    }
    if outcome.function_error:
        headers["X-Amz-Function-Error"] = UNHANDLED
    if invocation.wants_log:
        headers["X-Amz-Log-Result"] = base64.b64encode(outcome.log).decode()
    return web.Response(body=outcome.payload, content_type="application/json", headers=headers)


def _execution_arn(execution: Execution | None) -> dict[str, str]:
    return {} if execution is None else {"X-Amz-Durable-Execution-Arn": execution.arn}


def _checked(event: bytes) -> bytes:
    """The event as it is if that is JSON in UTF-8 (RFC 8259); {} for an empty one. Raises ApiError."""
    if not event:
        return b"{}"
    try:
        at_once(utf8_steps(event))
        at_once(check_steps(event))
    except NotUtf8 as fault:
        where = f"Invalid UTF-8 at byte {fault.at}"
    except NotJson as fault:
        where = str(fault)
    except NestedTooDeeply:
        where = "Nested too deeply"
    else:
        return event
    raise errors.invalid_content(f"Could not parse request body into json: {where}")


def _client_context(request: web.Request) -> str | None:
    encoded = request.headers.get("X-Amz-Client-Context")
    if not encoded:
        return None
    if len(encoded) > CLIENT_CONTEXT_MAX:
        raise errors.invalid_content(f"Client context must be no more than {CLIENT_CONTEXT_MAX} bytes")
    try:
        # Written anew: in ASCII and on one line, it is a header of the Runtime API.
        return json.dumps(json.loads(base64.b64decode(encoded, validate=True)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise errors.invalid_content("Client context must be a valid Base64-encoded JSON object.") from error


def _trace_id(request: web.Request) -> str:
    """The caller's, which functions find in _X_AMZN_TRACE_ID as at AWS; a new one where it sent none."""
    given = request.headers.get("X-Amzn-Trace-Id", "")
    return given if _TRACE_ID.fullmatch(given) else new_trace_id()


def _wants_log(request: web.Request) -> bool:
    log_type = request.headers.get("X-Amz-Log-Type", "None")
    if log_type not in ("None", "Tail"):
        raise errors.invalid_parameter(
            "1 validation error detected: Value at 'logType' failed to satisfy constraint: "
            "Member must satisfy enum value set: [None, Tail]"
        )
    return log_type == "Tail"

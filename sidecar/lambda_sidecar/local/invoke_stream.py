"""Writes the answer of InvokeWithResponseStream: the function's parts as they come, and how it has ended.
Knows HTTP and the frames; nothing of which requests are refused.

What a function has answered whole goes out as parts, but its error document does not: an error is in the last
frame, where ErrorCode is "Unhandled", as FunctionError of Invoke is, and ErrorDetails the document. Lambda's
reference does not say so; clients in production rely on it ("failed with an unhandled error" in
packages/lambda/src/shared/call-lambda.ts of https://github.com/remotion-dev/remotion). Once the runtime has
begun to stream, ErrorCode and ErrorDetails are the type and the text that it reports in trailers, which
Lambda forwards to the client ("Implementing response streaming in a custom runtime",
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html), or Lambda's own type, such as
Sandbox.Timedout (sendStreamingInvokeResponse, see runtime_answer.py), with its document.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

from aiohttp import web

from lambda_sidecar.local.errors import ApiError
from lambda_sidecar.local.event_stream import CONTENT_TYPE, invoke_complete, payload_chunks
from lambda_sidecar.local.invocation import Invocation, Outcome
from lambda_sidecar.local.parts import Parts


async def stream_answer(
    request: web.Request, invocation: Invocation, parts: Parts, outcome: Callable[[], Awaitable[Outcome]]
) -> web.StreamResponse:
    """Sends the parts at the reader's speed, then the outcome. Raises ApiError where the invocation could not
    run; ConnectionResetError if the reader is gone."""
    part = await parts.get()
    if part is None:  # before the first part of the answer, so that it can still be refused
        ended = await outcome()
        response = await _begin(request, invocation)
    else:
        response = await _begin(request, invocation)
        while part is not None:
            await _send(response, part)
            part = await parts.get()
        try:
            ended = await outcome()
        except ApiError as error:
            ended = Outcome(payload=error.body(), function_error=True, error_code=error.code)
    if not ended.function_error:
        await _send(response, ended.payload)
    await response.write(invoke_complete(_members(invocation, ended)))
    await response.write_eof()
    return response


async def _begin(request: web.Request, invocation: Invocation) -> web.StreamResponse:
    headers = {
        "x-amzn-RequestId": invocation.request_id,
        "X-Amzn-Trace-Id": invocation.trace_id,
        "X-Amz-Executed-Version": "$LATEST",
        "Content-Type": CONTENT_TYPE,
    }
    response = web.StreamResponse(headers=headers)  # chunked, under HTTP/1.1
    await response.prepare(request)
    return response


async def _send(response: web.StreamResponse, part: bytes) -> None:
    for chunk in payload_chunks(part):
        await response.write(chunk)


def _members(invocation: Invocation, outcome: Outcome) -> dict[str, str]:
    members = {}
    if outcome.function_error:
        members = {
            "ErrorCode": outcome.error_code,
            "ErrorDetails": outcome.payload.decode(errors="replace"),
        }
    if invocation.wants_log:
        members["LogResult"] = base64.b64encode(outcome.log).decode()
    return members

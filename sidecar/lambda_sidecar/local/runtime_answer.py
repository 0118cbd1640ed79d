"""A runtime's answer to an event, read from its request to the Runtime API: whole, or in parts that go on to
the invoker as they come. Knows nothing of workers, timeouts or the Invoke API.

Sources: "Using the Lambda runtime API for custom runtimes",
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html; "Implementing response streaming in a custom
runtime", https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html; of how such a response fails,
sendStreamingInvokeResponse in internal/lambda/core/directinvoke/directinvoke.go of
https://github.com/aws/aws-lambda-runtime-interface-emulator
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from lambda_sidecar.local.invocation import UNHANDLED, error_document, too_large_document
from lambda_sidecar.local.parts import Parts
from lambda_sidecar.quotas import RESPONSE_MAX
from lambda_sidecar.text.json_text import NestedTooDeeply, NotJson, NotUtf8, check_steps, utf8_steps
from lambda_sidecar.text.pacer import at_once

_logger = logging.getLogger(__name__)
# "Lambda quotas", invocation payload: 200 MB for each streamed response.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
STREAMED_RESPONSE_MAX = 200 * 1024 * 1024
_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
_ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
_UNKNOWN = "Runtime.Unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """The result, empty if it went out in parts; or an error document if is_error is set.

    error_code: the error's name at the end of a streamed answer.
    cut_off: the runtime's connection has ended amid the answer; its process may have ended with it.
    """

    payload: bytes
    is_error: bool
    error_code: str = UNHANDLED
    cut_off: bool = False


def is_streaming(request: web.BaseRequest) -> bool:
    """Whether the runtime answers in streaming response mode."""
    return request.headers.get("Lambda-Runtime-Function-Response-Mode", "").lower() == "streaming"


async def read_whole(request: web.BaseRequest) -> bytes | None:
    """The body, or None if it is above Lambda's quota (the rest of it is dropped)."""
    body = bytearray()
    too_large = False
    async for chunk in request.content.iter_any():
        if not too_large:
            body += chunk
            too_large = len(body) > RESPONSE_MAX
    return None if too_large else bytes(body)


async def pass_on(request: web.BaseRequest, parts: Parts, is_wanted: Callable[[], bool]) -> bytes | None:
    """Puts the parts of the body as they arrive, for as long as they are wanted. Returns what is left of
    them: nothing, or None as soon as they are above Lambda's quota."""
    parts.begun = True
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > STREAMED_RESPONSE_MAX:
            return None
        if is_wanted():
            await parts.put(part)
    return b""


async def drop_rest(request: web.BaseRequest) -> None:
    """Reads the body to its end, so that the runtime gets an answer to it."""
    async for _ in request.content.iter_any():
        pass


def too_large(*, in_parts: bool) -> Answer:
    """The answer is above the quota."""
    limit = STREAMED_RESPONSE_MAX if in_parts else RESPONSE_MAX
    code = "Function.ResponseSizeTooLarge" if in_parts else UNHANDLED
    return Answer(too_large_document(limit), is_error=True, error_code=code)


def cut_off(request_id: str) -> Answer:
    """The runtime has closed its connection amid the answer. The type is the emulator's, whose address is
    above (internal/lambda/fatalerror/fatalerror.go)."""
    code = "Runtime.TruncatedResponse"
    document = error_document(code, f"RequestId: {request_id} Error: the response has ended early")
    return Answer(document, is_error=True, error_code=code, cut_off=True)


def error_behind(trailers: Mapping[str, str] | None, *, in_parts: bool) -> Answer | None:
    """The error that the runtime reports behind an answer, None if it reports none. Behind parts it keeps the
    body that the runtime gave it. trailers: None where there are too many to be read."""
    if trailers is None:
        document = error_document(_UNKNOWN, "the trailers behind the response are too large")
        return Answer(document, is_error=True, error_code=_UNKNOWN if in_parts else UNHANDLED)
    code, body = trailers.get(_ERROR_TYPE.lower(), ""), trailers.get(_ERROR_BODY.lower(), "")
    if not code and not body:
        return None
    try:
        details = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        details = body.encode()
    code = code or _UNKNOWN
    return Answer(details if in_parts else _document(details, code), is_error=True, error_code=code)


def error_payload(request: web.BaseRequest, payload: bytes) -> bytes:
    """The runtime's error document; one made from its error type header if it sent no JSON object."""
    return _document(payload, request.headers.get(_ERROR_TYPE, _UNKNOWN))


def _document(payload: bytes, error_type: str) -> bytes:
    try:
        at_once(utf8_steps(payload))
        at_once(check_steps(payload))
        if payload.lstrip().startswith(b"{"):
            return payload
    except (NotUtf8, NotJson, NestedTooDeeply):
        _logger.debug("a runtime reported an error without a JSON document")
    return error_document(error_type, "")

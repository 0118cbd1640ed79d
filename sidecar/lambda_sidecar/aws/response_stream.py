"""Reads what answers InvokeWithResponseStream: an event stream that has the function's answer in parts.

botocore parses the stream; knows neither how its bytes came nor what becomes of the parts."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError

from lambda_sidecar.aws.error_document import api_error
from lambda_sidecar.errors import CODE_MAX, MESSAGE_MAX, ApiError, ConnectionLost, NotAsLambdaDoes
from lambda_sidecar.quotas import LOG_TAIL_MAX

# "Amazon event stream encoding": the Content-Type of such an answer.
CONTENT_TYPE = "application/vnd.amazon.eventstream"
# The parser copies what it holds with each feed, and with each message that it finds: so much holds the loop
# for a millisecond, whatever is in it.
FEED = 16_384
# Of one message, which is put together before it is passed on. What Lambda sends in one is not documented;
# its documentation bounds the rate (2 MB/s beyond the first 6 MB) and what a function may return without a
# stream.
MESSAGE_MAX_BYTES = 8 * 1024 * 1024

NextPiece = Callable[[], Awaitable[bytes | None]]
Put = Callable[[bytes], Awaitable[None]]
"""Takes the next part of the function's answer; returns when there is room for another one."""


class _Completion(msgspec.Struct):
    """InvokeWithResponseStreamCompleteEvent of botocore's model of Lambda."""

    ErrorCode: str | None = None
    ErrorDetails: str | None = None
    LogResult: str | None = None


_decoder = msgspec.json.Decoder(_Completion)


@dataclass(frozen=True, slots=True)
class Completion:
    """How a streamed answer ended. `error_code` is empty unless the function failed; `size` is what came of
    its answer all the same, in bytes."""

    error_code: str
    error_details: str
    log_tail: bytes
    size: int


async def read_stream(next_piece: NextPiece, put: Put) -> Completion:
    """Passes the parts on as they come, and returns at the stream's end. Raises ConnectionLost where it ends
    before its completion, ApiError for an exception in it, NotAsLambdaDoes for what is no such stream, and
    what `put` raises."""
    buffer = EventStreamBuffer()
    completion: Completion | None = None
    held = size = 0
    while (piece := await next_piece()) is not None:
        for start in range(0, len(piece), FEED):
            step = piece[start : start + FEED]
            held += len(step)
            for message in _messages(buffer, step):
                held -= message.prelude.total_length
                if completion is not None:
                    raise NotAsLambdaDoes("an event behind the completion of its stream")
                event = _event(message)
                if event == "InvokeComplete":
                    completion = _read_completion(message.payload, size)
                elif event == "PayloadChunk" and message.payload:
                    size += len(message.payload)
                    await put(message.payload)
            if held > MESSAGE_MAX_BYTES:
                raise NotAsLambdaDoes(f"an event of more than {MESSAGE_MAX_BYTES} bytes in its stream")
    if completion is None:
        raise ConnectionLost("The endpoint ended the stream before its completion")
    return completion


def _messages(buffer: EventStreamBuffer, data: bytes) -> list[EventStreamMessage]:
    try:
        buffer.add_data(data)
        return list(buffer)
    except (ParserError, ValueError, KeyError, IndexError) as error:  # of headers that are none
        raise NotAsLambdaDoes(f"no event stream ({type(error).__name__})") from None


def _event(message: EventStreamMessage) -> str:
    """Its type; those that are not known mean nothing to us. Raises ApiError for an exception, and
    NotAsLambdaDoes."""
    headers = message.headers
    kind = headers.get(":message-type")
    if kind == "event":
        return str(headers.get(":event-type"))
    if kind not in ("exception", "error"):
        raise NotAsLambdaDoes("a message of an unknown type in its stream")
    code = str(headers.get(":exception-type") or headers.get(":error-code") or "an unnamed exception")
    text = headers.get(":error-message")
    if text is None:
        _, text, _ = api_error(message.payload, code_max=CODE_MAX, message_max=MESSAGE_MAX, reason_max=0)
    raise ApiError(code, str(text) or "no message", of_service=True)


def _read_completion(payload: bytes, size: int) -> Completion:
    try:
        said = _decoder.decode(payload or b"{}")
        log_tail = base64.b64decode(said.LogResult or "")
    except (msgspec.DecodeError, ValueError):
        raise NotAsLambdaDoes("a completion of its stream that cannot be read") from None
    return Completion(said.ErrorCode or "", said.ErrorDetails or "", log_tail[-LOG_TAIL_MAX:], size)

"""Reads what answers InvokeWithResponseStream: an event stream that has the function's answer in parts.

botocore parses the stream; knows neither how its bytes came nor what becomes of the parts."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError
from zlib import crc32

import msgspec
from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError

from lambda_sidecar.aws.error_document import api_error
from lambda_sidecar.errors import CODE_MAX, MESSAGE_MAX, ApiError, ConnectionLost, NotAsLambdaDoes
from lambda_sidecar.quotas import LOG_TAIL_MAX, RESPONSE_MAX

# "Amazon event stream encoding": the Content-Type of such an answer.
CONTENT_TYPE = "application/vnd.amazon.eventstream"
# Of one message, which is put together before it is passed on. What Lambda sends in one is not documented;
# its documentation bounds the rate (2 MB/s beyond the first 6 MB) and what a function may return without a
# stream. Its headers have some 100 bytes.
MESSAGE_MAX_BYTES = 8 * 1024 * 1024
HEADERS_MAX_BYTES = 4096
# Messages of so many bytes in all, or a single one, hold the event loop for a few milliseconds at most,
# whatever is in them.
STEP = 4096
# Amazon event stream encoding: bytes of the message, bytes of its headers, and a checksum of the two; at the
# message's end is a checksum of all.
_PRELUDE = Struct("!III")
_CRC_BYTES = 4

NextPiece = Callable[[], Awaitable[bytes | None]]
Put = Callable[[bytes], Awaitable[None]]
"""Takes the next part of the function's answer; returns when there is room for another one."""


class _Completion(msgspec.Struct):
    """InvokeWithResponseStreamCompleteEvent of botocore's model of Lambda."""

    ErrorCode: str | None = None
    ErrorDetails: str | None = None
    LogResult: str | None = None


_decoder = msgspec.json.Decoder(_Completion)
_BEHIND = "an event behind the completion of its stream"


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
    messages = _Messages()
    completion: Completion | None = None
    size = 0
    while (piece := await next_piece()) is not None:
        messages.add(piece)
        parts: list[bytes] = []
        while step := messages.step():
            for message in step:
                if completion is not None:
                    raise NotAsLambdaDoes(_BEHIND)
                event = _event(message)
                if event == "PayloadChunk":
                    parts.append(message.payload)
                    size += len(message.payload)
                elif event == "InvokeComplete":
                    completion = _read_completion(message.payload, size)
            await asyncio.sleep(0)
        if part := b"".join(parts):
            await put(part)
    if completion is None:
        raise ConnectionLost("The endpoint ended the stream before its completion")
    if not messages.is_empty:
        raise NotAsLambdaDoes(_BEHIND)
    return completion


class _Messages:
    """Cuts a stream into its messages. botocore's buffer alone would copy all that it holds with each message
    and with each piece of one."""

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def is_empty(self) -> bool:
        return not self._held

    def add(self, piece: bytes) -> None:
        self._held += piece

    def step(self) -> list[EventStreamMessage]:
        """The next ones, of STEP bytes or one; none where the next is not whole. Raises NotAsLambdaDoes."""
        messages, size = [], 0
        while (length := self._length()) and (not size or size + length <= STEP):
            with memoryview(self._held)[:length] as message:
                messages.append(_parsed(bytes(message)))
            del self._held[:length]
            size += length
        return messages

    def _length(self) -> int:
        """Of the message that begins here, in bytes; 0 if it is not whole. Raises NotAsLambdaDoes, as soon as
        its prelude is there."""
        if len(self._held) < _PRELUDE.size:
            return 0
        length, headers, checksum = _PRELUDE.unpack_from(self._held)
        if crc32(self._held[: _PRELUDE.size - _CRC_BYTES]) != checksum:
            raise _no_stream("ChecksumMismatch")
        if length > MESSAGE_MAX_BYTES:
            raise NotAsLambdaDoes(f"an event of more than {MESSAGE_MAX_BYTES} bytes in its stream")
        if headers > HEADERS_MAX_BYTES or length < _PRELUDE.size + headers + _CRC_BYTES:
            raise _no_stream("InvalidHeadersLength")
        return length if length <= len(self._held) else 0


def _parsed(message: bytes) -> EventStreamMessage:
    """Raises NotAsLambdaDoes."""
    buffer = EventStreamBuffer()
    buffer.add_data(message)
    try:
        return buffer.next()
    except (ParserError, StructError, ValueError, KeyError) as error:  # all but the first for its headers
        raise _no_stream(type(error).__name__) from None


def _no_stream(why: str) -> NotAsLambdaDoes:
    return NotAsLambdaDoes(f"no event stream ({why})")


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


def _last_bytes(encoded: str) -> str:
    """Of a text in base64 what holds LOG_TAIL_MAX bytes at least: megabytes would take long to decode."""
    start = max(0, len(encoded) - (LOG_TAIL_MAX // 3 + 2) * 4)
    return encoded[start - start % 4 :]


def _read_completion(payload: bytes, size: int) -> Completion:
    """Its ErrorDetails may be as long as an answer, and no longer: they go on in one piece."""
    try:
        said = _decoder.decode(payload[: RESPONSE_MAX + 1] or b"{}")
        log_tail = base64.b64decode(_last_bytes(said.LogResult or ""))
    except (msgspec.DecodeError, ValueError, RecursionError):  # DecodeError where it was cut
        raise NotAsLambdaDoes("a completion of its stream that cannot be read") from None
    return Completion(said.ErrorCode or "", said.ErrorDetails or "", log_tail[-LOG_TAIL_MAX:], size)

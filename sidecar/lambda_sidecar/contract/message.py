"""Requests and responses as gRPC's bytes, in which a large payload is copied once and no more.

Knows where a payload stands in a message, and nothing of what it says. protobuf itself would make three
copies of it on the way in, and four on the way out: of 5 MB that is 1 ms each (bench/README.md)."""

from __future__ import annotations

from dataclasses import dataclass

from lambda_sidecar.quotas import RESPONSE_MAX
from lambda_udf.v1 import invoker_pb2

Request = invoker_pb2.InvokeRequest
Response = invoker_pb2.InvokeResponse
Result = invoker_pb2.InvokeResult

# The largest payload and room for the rest of its message: more is neither taken nor sent.
MESSAGE_MAX = RESPONSE_MAX + 65_536
# Of a result's payload and log tail. The other fields are names and ids, each of them cut.
RESULT_MAX = MESSAGE_MAX - 16_384
# From so many bytes on, copies take longer than to look for the payload.
LARGE = 65_536
# Fields before a payload; a request has some twenty. A message with more is read as protobuf does.
FIELDS_MAX = 64

# Protocol Buffers, "Encoding": a field's tag is its number and its wire type; LEN is 2.
_LEN = 2
_REQUEST_PAYLOAD = Request.PAYLOAD_FIELD_NUMBER << 3 | _LEN
_RESULT = bytes([Response.RESULT_FIELD_NUMBER << 3 | _LEN])
_RESULT_PAYLOAD = bytes([Result.PAYLOAD_FIELD_NUMBER << 3 | _LEN])


class Taken:
    """A request that has come. `payload` is its payload, which is not in `message` if it is large. `size` is
    that of the whole message."""

    __slots__ = ("message", "payload", "size")

    def __init__(self, message: Request, payload: bytes, size: int) -> None:
        self.message = message
        self.payload = payload
        self.size = size


@dataclass(slots=True)
class LargeResult:
    """A result whose payload stands apart."""

    result: Result
    payload: bytes


@dataclass(slots=True)
class LargeResponse:
    """A response without its outcome, which is this."""

    response: Response
    outcome: LargeResult


def read_request(data: bytes) -> Taken:
    """Raises DecodeError for bytes that are no request."""
    size = len(data)
    if size >= LARGE and (found := _last_payload(data)) is not None:
        head, start = found
        return Taken(Request.FromString(data[:head]), data[start:], size)
    message = Request.FromString(data)
    return Taken(message, message.payload, size)


def write_response(response: Response | LargeResponse) -> bytes:
    """The bytes of it."""
    if isinstance(response, Response):
        return response.SerializeToString()
    outcome = response.outcome
    result, payload = outcome.result.SerializeToString(), outcome.payload
    head = _RESULT_PAYLOAD + _varint(len(payload))
    length = _varint(len(result) + len(head) + len(payload))
    return b"".join((response.response.SerializeToString(), _RESULT, length, result, head, payload))


def _last_payload(data: bytes) -> tuple[int, int] | None:
    """Where the field begins that ends with the message and is its payload, and where its bytes begin. The
    last one counts where there are several. None: there is no such field; the message may be malformed."""
    at = 0
    try:
        for _ in range(FIELDS_MAX):
            begin = at
            tag, at = _read_varint(data, at)
            length, after = _read_varint(data, at)
            if tag == _REQUEST_PAYLOAD and after + length == len(data):
                return begin, after
            kind = tag & 7
            if kind == 0:
                at = after
            elif kind == _LEN:
                at = after + length
            else:
                return None  # the contract has no numbers of fixed size
    except IndexError:
        return None
    return None


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number there, and where the next field begins. Raises IndexError at the message's end, and for what
    is longer than a number can be."""
    number = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise IndexError


def _varint(number: int) -> bytes:
    made = bytearray()
    while number >= 0x80:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)

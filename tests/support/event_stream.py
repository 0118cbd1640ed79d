"""Frames of an event stream as a test wants them: any headers, any payload, well-formed or not.

Knows the encoding (https://smithy.io/2.0/aws/amazon-eventstream.html); nothing of who reads it. The local Lambda has
its own encoder for what it sends."""

from __future__ import annotations

import json
import struct
from zlib import crc32

CONTENT_TYPE = "application/vnd.amazon.eventstream"

Value = bool | int | str | bytes


def header(name: str, value: Value) -> bytes:
    """Strings, bytes, booleans, and numbers as 64 bits."""
    start = bytes([len(name.encode())]) + name.encode()
    if isinstance(value, bool):
        return start + bytes([0 if value else 1])
    if isinstance(value, int):
        return start + struct.pack("!Bq", 5, value)
    encoded = value.encode() if isinstance(value, str) else value
    return start + struct.pack("!BH", 7 if isinstance(value, str) else 6, len(encoded)) + encoded


def raw(headers: bytes, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """One message of these headers as they are; its checksums are right, whatever `length` says of it."""
    said = 16 + len(headers) + len(payload) if length is None else length
    prelude = struct.pack("!II", said, len(headers))
    message = prelude + struct.pack("!I", crc32(prelude)) + headers + payload
    return message + struct.pack("!I", crc32(message))


def message(payload: bytes = b"", **headers: Value) -> bytes:
    """`event_type` stands for :event-type, and so on."""
    return raw(
        b"".join(header(":" + name.replace("_", "-"), value) for name, value in headers.items()), payload
    )


def chunk(payload: bytes) -> bytes:
    return message(
        payload, event_type="PayloadChunk", content_type="application/octet-stream", message_type="event"
    )


def complete(**members: object) -> bytes:
    return message(
        json.dumps(members).encode(),
        event_type="InvokeComplete",
        content_type="application/json",
        message_type="event",
    )


def exception(name: str, text: str) -> bytes:
    """As Lambda's model has them."""
    return message(
        json.dumps({"message": text}).encode(),
        exception_type=name,
        content_type="application/json",
        message_type="exception",
    )

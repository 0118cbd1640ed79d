"""Frames of application/vnd.amazon.eventstream, in which the parts of a streamed response travel.
Pure: knows neither HTTP nor invocations; whoever reads them has a parser of its own.

Source: "Amazon Event Stream Specification", https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping

CONTENT_TYPE = "application/vnd.amazon.eventstream"
# Bytes of a payload in one frame. Readers take 24 MB (_MAX_PAYLOAD_LENGTH of botocore.eventstream), and hold
# a frame until it is whole.
PART_MAX = 64 * 1024

_STRING = 7  # the type of a header's value
_PRELUDE = struct.Struct("!II")  # bytes in all, bytes of the headers
_CRC = struct.Struct("!I")
_PRELUDE_AND_CRCS = _PRELUDE.size + 2 * _CRC.size


def payload_chunks(payload: bytes) -> Iterator[bytes]:
    """A part of the function's answer, in as many frames as it needs; none for an empty one."""
    whole = memoryview(payload)
    for start in range(0, len(whole), PART_MAX):
        yield frame("PayloadChunk", "application/octet-stream", whole[start : start + PART_MAX])


def invoke_complete(members: Mapping[str, str]) -> bytes:
    """The last frame; members are those of InvokeWithResponseStreamCompleteEvent in botocore's model."""
    return frame("InvokeComplete", "application/json", json.dumps(dict(members), ensure_ascii=False).encode())


def frame(event_type: str, content_type: str, payload: bytes | memoryview) -> bytes:
    """One event: prelude, its CRC, headers, payload, and the CRC of all that."""
    headers = b"".join(
        _header(name, value)
        for name, value in (
            (":event-type", event_type),
            (":content-type", content_type),
            (":message-type", "event"),
        )
    )
    prelude = _PRELUDE.pack(_PRELUDE_AND_CRCS + len(headers) + len(payload), len(headers))
    head = prelude + _CRC.pack(zlib.crc32(prelude)) + headers
    return b"".join((head, payload, _CRC.pack(zlib.crc32(payload, zlib.crc32(head)))))


def _header(name: str, value: str) -> bytes:
    name_bytes, value_bytes = name.encode(), value.encode()
    return struct.pack(
        f"!B{len(name_bytes)}sBH{len(value_bytes)}s",
        len(name_bytes),
        name_bytes,
        _STRING,
        len(value_bytes),
        value_bytes,
    )

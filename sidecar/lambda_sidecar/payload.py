"""The checks that an event passes before anything is sent: size, UTF-8, JSON.

Pure; errors give a position, never the text itself."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from lambda_sidecar.errors import InvalidRequest

# Lambda quotas, invocation payload (request): 6 MB synchronous, 1 MB asynchronous.
REQUEST_RESPONSE_MAX = 6_291_456
EVENT_MAX = 1_048_576


def _no_constant(name: str) -> Any:
    raise InvalidRequest(f"payload is not JSON: {name} is not a JSON number")


def _number(_text: str) -> None:
    """Numbers need no value here; Python's int() would refuse more than 4,300 digits."""


_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_int=_number, parse_float=_number)
_checker = msgspec.json.Decoder(msgspec.Raw)


def _is_json(payload: bytes) -> bool:
    """Whether it is JSON (RFC 8259), its UTF-8 aside. Builds no objects, and so takes a thirtieth of the
    time that a parser takes, during which no other call goes on."""
    try:
        _checker.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def check_payload(payload: bytes, *, maximum: int, invocation_type: str) -> None:
    """Raises InvalidRequest unless `payload` is one JSON text in UTF-8 of at most `maximum` bytes."""
    if not payload:
        raise InvalidRequest("payload is empty; JSON is expected, {} at least")
    if len(payload) > maximum:
        raise InvalidRequest(
            f"payload too large: it has {len(payload)} bytes, "
            f"Lambda takes at most {maximum} for {invocation_type}"
        )
    try:
        if not payload.isascii():
            payload.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"payload is not UTF-8: {error.reason} at byte {error.start}") from None
    if _is_json(payload):
        return
    # What is wrong; or nothing is, because json takes lone surrogates too.
    try:
        _decoder.decode(payload.decode())
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"payload is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise InvalidRequest("payload is not JSON that can be checked: nested too deeply") from None

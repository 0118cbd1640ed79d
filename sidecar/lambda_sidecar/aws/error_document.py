"""Error documents of functions and of the Lambda API: the few fields that people get to see, cut short.

Pure; must not know what becomes of the fields."""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

from lambda_sidecar.text.json_text import (
    LoneSurrogate,
    NestedTooDeeply,
    NotJson,
    check,
    with_halves,
    without_halves_steps,
)
from lambda_sidecar.text.pacer import at_once

# A longer document is not read if halves of surrogate pairs are in it; one of this length takes 8 ms.
HALVES_MAX = 1024 * 1024
_NONE = msgspec.Raw(b"null")
# A character of a JSON string may be written as \uNNNN: six bytes for one.
_BYTES_PER_BYTE = 6
_LONGEST_ESCAPE = 6


class _FunctionDocument(msgspec.Struct):
    errorType: msgspec.Raw = _NONE
    errorMessage: msgspec.Raw = _NONE


class _ApiDocument(msgspec.Struct):
    type: msgspec.Raw = msgspec.field(default=_NONE, name="__type")
    code: msgspec.Raw = _NONE
    message: msgspec.Raw = _NONE
    Message: msgspec.Raw = _NONE
    Reason: msgspec.Raw = _NONE


D = TypeVar("D", _FunctionDocument, _ApiDocument)
_function_decoder = msgspec.json.Decoder(_FunctionDocument)
_api_decoder = msgspec.json.Decoder(_ApiDocument)


def function_error(body: bytes, *, type_max: int, message_max: int) -> tuple[str, str]:
    """errorType and errorMessage (developer guide, "Lambda function errors"), each cut to so many bytes
    of UTF-8, empty where there is none. Takes 2 ms for the worst text of 1 MB."""
    document, halves = _read(body, _function_decoder)
    if document is None:
        return "", ""
    return _start(document.errorType, type_max, halves), _start(document.errorMessage, message_max, halves)


def api_error(body: bytes, *, code_max: int, message_max: int, reason_max: int) -> tuple[str, str, str]:
    """The exception's name and its message, where REST-JSON errors carry them (as botocore reads them); and
    its Reason, which Lambda gives where it throttles."""
    document, halves = _read(body, _api_decoder)
    if document is None:
        return "", "", ""
    code = _start(document.type, code_max, halves) or _start(document.code, code_max, halves)
    message = _start(document.message, message_max, halves) or _start(document.Message, message_max, halves)
    return code, message, _start(document.Reason, reason_max, halves)


def _read(body: bytes, decoder: msgspec.json.Decoder[D]) -> tuple[D | None, bool]:
    """The fields as JSON, None if it is no object; and whether `without_halves_steps` has changed them."""
    try:
        return decoder.decode(body), False
    except (msgspec.DecodeError, RecursionError):
        if len(body) > HALVES_MAX or not _has_half(body):
            return None, False
    try:
        return decoder.decode(at_once(without_halves_steps(body))), True
    except (msgspec.DecodeError, RecursionError):
        return None, False


def _has_half(body: bytes) -> bool:
    try:
        check(body)
    except LoneSurrogate:
        return True
    except (NotJson, NestedTooDeeply):
        return False
    return False  # JSON, but no object


def _start(value: msgspec.Raw, most: int, halves: bool) -> str:
    """The beginning of a string, or of another value's JSON: a copy, so that the document can be freed."""
    with memoryview(value) as whole:
        piece = bytes(whole[: most * _BYTES_PER_BYTE + 1])
    if piece == b"null":
        return ""
    text = piece.decode(errors="replace")
    if text.startswith('"'):
        text = _string(text)
    if halves:
        text = with_halves(text)
    return text.encode(errors="replace")[:most].decode(errors="ignore")


def _string(text: str) -> str:
    """The text of a JSON string that may have been cut off, perhaps inside an escape."""
    for end in range(len(text), len(text) - _LONGEST_ESCAPE, -1):
        for closed in (text[:end], text[:end] + '"'):
            try:
                string: str = json.loads(closed, strict=False)
            except ValueError:
                continue
            return string
    return ""

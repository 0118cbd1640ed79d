"""The checks that an event passes before anything is sent: size, UTF-8, JSON.

Pure; errors give a position, never the text itself."""

from __future__ import annotations

from collections.abc import Generator

from lambda_sidecar.errors import InvalidRequest
from lambda_sidecar.text.json_text import NestedTooDeeply, NotJson, NotUtf8, check, check_steps, utf8_steps


def is_plainly_good(payload: bytes) -> bool:
    """Whether it is JSON in ASCII; False is no verdict. Without check_payload's steps, for what is small."""
    try:
        check(payload)
    except (NotJson, NestedTooDeeply):
        return False
    return payload.isascii()


def check_payload(payload: bytes, *, maximum: int, invocation_type: str) -> Generator[None, None, None]:
    """Raises InvalidRequest unless `payload` is one JSON text in UTF-8 of at most `maximum` bytes. Half a
    surrogate pair, as an escape, passes. A step at a time: `json_text.check` is the longest."""
    if not payload:
        raise InvalidRequest("payload is empty; JSON is expected, {} at least")
    if len(payload) > maximum:
        raise InvalidRequest(
            f"payload too large: it has {len(payload)} bytes, "
            f"Lambda takes at most {maximum} for {invocation_type}"
        )
    try:
        if not payload.isascii():
            yield from utf8_steps(payload)
        yield from check_steps(payload)
    except NotUtf8 as fault:
        raise InvalidRequest(f"payload is not UTF-8: {fault.what} at byte {fault.at}") from None
    except NotJson as fault:
        raise InvalidRequest(f"payload is not JSON: {fault.what} at byte {fault.at}") from None
    except NestedTooDeeply:
        raise InvalidRequest("payload is not JSON that can be checked: nested too deeply") from None

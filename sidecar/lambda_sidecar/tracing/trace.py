"""The context of a trace: read as W3C writes it, and written as AWS X-Ray does.

Pure; knows neither where it comes from nor what it is sent with."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

# https://www.w3.org/TR/trace-context/, version 00: trace-id, parent-id, trace-flags. No id is all zeros.
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_LENGTH = 55
_SAMPLED = 0x01
# Statements of many rows have one.
_REMEMBERED = 256


class Trace(NamedTuple):
    """`parent_id` is the span that asks for what comes next. Ids are hexadecimal digits in lower case."""

    trace_id: str
    parent_id: str
    sampled: bool


def read_traceparent(text: str) -> Trace | None:
    """None for anything but a well-formed one: what is wrong with a trace is no reason to refuse a call."""
    return _read(text) if len(text) == _LENGTH else None


@functools.lru_cache(_REMEMBERED)
def _read(text: str) -> Trace | None:
    found = _TRACEPARENT.fullmatch(text)
    if found is None:
        return None
    trace_id, parent_id, flags = found.groups()
    return Trace(trace_id, parent_id, bool(int(flags, 16) & _SAMPLED))


def xray_header(trace: Trace) -> str:
    """X-Amzn-Trace-Id. X-Ray's trace id is W3C's behind its version, with a hyphen after 8 digits, which it
    takes for a time (AWS X-Ray Developer Guide, "Tracing header" and "Sending trace data to AWS X-Ray")."""
    root, parent = trace.trace_id, trace.parent_id
    return f"Root=1-{root[:8]}-{root[8:]};Parent={parent};Sampled={int(trace.sampled)}"

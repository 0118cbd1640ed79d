"""How long a sidecar that has been asked to stop goes on taking calls.

Knows calls by their age only; nothing of sockets and streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import islice

from lambda_sidecar.calls.traffic import Traffic

# How often it looks whether it is time to end.
LOOK_SECONDS = 0.1
# What the calls of the last moment get at least, to be finished: most take milliseconds. Together with a
# successor's start (about 1 s) it is less than what calls that come meanwhile wait, which is
# lambda_udf.connect_timeout_ms (3 s).
CLOSING_SECONDS = 1.0


async def serve_on(traffic: Traffic, is_taken_over: Callable[[], bool], seconds: float) -> float:
    """Returns when the calls that are under way now have ended, when a successor has taken over, or when what
    is left of `seconds` is needed for the calls that have begun since; gives what is left of them."""
    end = time.monotonic() + seconds
    before = list(traffic.in_flight)
    longest = CLOSING_SECONDS  # of the calls that have begun since; another one may take as long
    while before and not is_taken_over():
        left = end - time.monotonic() - min(longest, seconds / 2)
        if left <= 0:
            break
        await asyncio.sleep(min(left, LOOK_SECONDS))
        before = [call for call in before if call in traffic.in_flight]
        # The oldest come first, so the one behind those of before is the oldest that has begun since.
        for call in islice(traffic.in_flight, len(before), len(before) + 1):
            longest = max(longest, time.monotonic() - call.began)
    return max(0.0, end - time.monotonic())

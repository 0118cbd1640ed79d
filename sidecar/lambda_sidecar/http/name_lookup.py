"""Looks up the addresses of host names, once for all connections that are made at a time.

Knows nothing of connections."""

from __future__ import annotations

import asyncio
import functools
import math
import socket
import time
from typing import Any

# Far below the minute for which AWS's names hold, and long enough that a burst of connections is one
# question: a VPC's resolver takes 1,024 a second from an interface (VPC user guide, DNS quotas).
KEEP_SECONDS = 10.0
# More than there are regions. Beyond, what was asked first is forgotten first.
NAMES_MAX = 256

_Key = tuple[str, int]


class NameLookup:
    """The system's resolver with a short memory. A failure is not kept."""

    def __init__(self) -> None:
        # Each with the moment from which its answer is too old; that is never while it is awaited.
        self._asked: dict[_Key, tuple[asyncio.Task[list[Any]], float]] = {}

    async def addresses(self, host: str, port: int) -> list[Any]:
        """As getaddrinfo gives them, for TCP. Raises OSError, and UnicodeError for what is no name. Whoever
        asks while the resolver takes its time waits for the same answer: a second question would hold a
        second thread of the few that there are."""
        asked, until = self._asked.get((host, port), (None, 0.0))
        if asked is None or time.monotonic() >= until:
            asked = self._ask((host, port))
        # Shielded: a caller that is cancelled must not take the answer from the others.
        return await asyncio.shield(asked)

    def _ask(self, key: _Key) -> asyncio.Task[list[Any]]:
        asked = asyncio.create_task(_look_up(asyncio.get_running_loop(), *key), name="name lookup")
        asked.add_done_callback(functools.partial(self._answered, key))
        self._asked.pop(key, None)  # so that it is the latest
        while len(self._asked) >= NAMES_MAX:
            del self._asked[next(iter(self._asked))]
        self._asked[key] = (asked, math.inf)
        return asked

    def _answered(self, key: _Key, asked: asyncio.Task[list[Any]]) -> None:
        """Keeps the answer, or forgets a failure. Another question may have taken its place meanwhile."""
        failed = asked.cancelled() or asked.exception() is not None
        if self._asked.get(key, (None, 0.0))[0] is not asked:
            return
        if failed:
            del self._asked[key]
        else:
            self._asked[key] = (asked, time.monotonic() + KEEP_SECONDS)


async def _look_up(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[Any]:
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)

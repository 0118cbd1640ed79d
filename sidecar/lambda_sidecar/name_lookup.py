"""Host names to addresses, asked once however many connections are made at a time.

Knows nothing of connections."""

from __future__ import annotations

import asyncio
import functools
import socket
import time
from typing import Any

# Far below the minute for which AWS's names hold, and long enough that a burst of connections is one
# question: a VPC's resolver takes 1,024 a second from an interface (VPC user guide, DNS quotas).
KEEP_SECONDS = 10.0


class NameLookup:
    """The system's resolver with a short memory. A failure is not kept."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, int], tuple[asyncio.Task[list[Any]], float]] = {}

    async def addresses(self, host: str, port: int) -> list[Any]:
        """As getaddrinfo gives them, for TCP. Raises OSError, and UnicodeError for what is no name."""
        asked, until = self._asked.get((host, port), (None, 0.0))
        if asked is None or time.monotonic() >= until:
            loop = asyncio.get_running_loop()
            asked = asyncio.create_task(_ask(loop, host, port), name="name lookup")
            asked.add_done_callback(functools.partial(self._forget_failure, (host, port)))
            self._asked[host, port] = (asked, time.monotonic() + KEEP_SECONDS)
        # Shielded: a caller that is cancelled must not take the answer from the others.
        return await asyncio.shield(asked)

    def _forget_failure(self, key: tuple[str, int], asked: asyncio.Task[list[Any]]) -> None:
        if (asked.cancelled() or asked.exception() is not None) and self._asked[key][0] is asked:
            del self._asked[key]


async def _ask(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[Any]:
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)

"""The parts of one streamed answer, from the function that sends them to the invoker who reads them.
One part waits at most: a slow reader holds the function up. Knows neither HTTP nor the Runtime API."""

from __future__ import annotations

import asyncio


class Parts:
    """Between one that puts and one that gets.

    begun: whether the function has answered in streaming mode.
    """

    def __init__(self) -> None:
        self.begun = False
        self._part: bytes | None = None
        self._ended = False
        self._unread = False
        self._filled = asyncio.Event()
        self._free = asyncio.Event()

    async def put(self, part: bytes) -> None:
        """Hands over a part, once the one before it has been taken. Nobody reads what comes after end() or
        abandon()."""
        while self._part is not None and not self._ended:
            self._free.clear()
            await self._free.wait()
        if not self._ended and not self._unread:
            self._part = part
            self._filled.set()

    async def get(self) -> bytes | None:
        """The next part; None after the last one."""
        while self._part is None and not self._ended:
            self._filled.clear()
            await self._filled.wait()
        part, self._part = self._part, None
        self._free.set()
        return part

    def end(self) -> None:
        """The function has ended: no part follows those that have been put."""
        self._ended = True
        self._filled.set()
        self._free.set()

    def abandon(self) -> None:
        """The reader is gone: the function runs on, and what it still puts is dropped."""
        self._unread = True
        self._part = None
        self._free.set()

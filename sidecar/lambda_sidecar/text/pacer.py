"""Work on large texts, a step at a time, so that the other calls of the event loop go on meanwhile.

Knows the loop and nothing of the work. A thread would not do: such work holds the interpreter all along."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

# Of a text of so many bytes all is done at once, in a millisecond: more than one step would cost more.
AT_ONCE = 256 * 1024
# Checks of 5 MB payloads have room for 80 a second, of which a processor can send 50.
PAUSE = 2.0

T = TypeVar("T")


class Pacer:
    """One per event loop. Of all that is under way one step is done at a time, and after each the loop has
    PAUSE times as long for everything else: large texts never take more than a third of it."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def run(self, work: Generator[None, None, T]) -> T:
        """The work's result; it yields after each step of some milliseconds."""
        loop = asyncio.get_running_loop()
        while True:
            await self._turn.acquire()
            began = time.perf_counter()
            try:
                next(work)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                # Nobody waits for the last step's pause but who works on the next large text.
                loop.call_later(PAUSE * (time.perf_counter() - began), self._turn.release)


def at_once(work: Generator[None, None, T]) -> T:
    """The work's result, without a pause: for what is small."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result

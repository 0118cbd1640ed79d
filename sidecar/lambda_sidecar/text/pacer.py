"""Work on large texts, a step at a time, so that the other calls of the event loop go on meanwhile.

Knows the loop, and nothing of the work. A thread would not help: such work holds the interpreter lock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

# A text of up to so many bytes is done at once, in a millisecond: steps would cost more.
AT_ONCE = 256 * 1024
# Steps that together take less than so many seconds are one: the pauses between them would take longer.
SHORT_SECONDS = 0.002
# With it, 80 payloads of 5 MB can be checked in a second; a processor can send 50.
PAUSE = 2.0

T = TypeVar("T")


class Pacer:
    """One per event loop. It does one step at a time, of whatever work is under way. After each step the loop
    has PAUSE times as long for everything else, so that large texts never take more than a third of it."""

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
                while time.perf_counter() - began < SHORT_SECONDS:
                    next(work)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                # Only the next large text waits for the pause after the last step.
                loop.call_later(PAUSE * (time.perf_counter() - began), self._turn.release)


def at_once(work: Generator[None, None, T]) -> T:
    """The work's result, without a pause: for what is small."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result

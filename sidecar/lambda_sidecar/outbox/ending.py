"""The end of tasks that speak to MySQL: they end although a cancellation may be lost on its way.

Knows tasks; nothing of what they do."""

from __future__ import annotations

import asyncio
from typing import Any

# The connector waits for each packet with asyncio.wait_for(). Before Python 3.12 that forgets a cancellation
# which comes in the same turn of the loop as the packet (bpo-37658), and the task goes on as if nobody had
# cancelled it. One that has heard it closes its connections, which takes milliseconds.
AGAIN_SECONDS = 1.0


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancels them, again and again, until all are done. What they raise is nobody's."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
        await asyncio.gather(*done, return_exceptions=True)

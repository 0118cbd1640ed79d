"""A cancellation that a library forgets.

aiohappyeyeballs has a task for each address of a name. When one is connected it cancels the others and waits
for them, and what it suppresses meanwhile may be its caller's own CancelledError (2.7.1, the `finally` of its
staggered_race). Knows tasks alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def cancellation_kept() -> Iterator[None]:
    """Raises CancelledError at the end of the block, whatever came of it, if the task was cancelled within: a
    timeout's expiry is one, too, and its `asyncio.timeout` makes TimeoutError of it as ever."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError

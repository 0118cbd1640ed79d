"""Background tasks of one owner: none is lost, none fails unseen, and all end with it.
Knows nothing of what they do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TypeVar

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


class Tasks:
    """Starts tasks and keeps them until they are done."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def start(self, coroutine: Coroutine[object, object, _T], *, name: str) -> asyncio.Task[_T]:
        """Runs it in the background; if it ends with an exception, that is logged."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def cancel(self) -> None:
        """Cancels all and waits until they are done."""
        for task in self._tasks:
            task.cancel()
        await self.finish()

    async def finish(self) -> None:
        """Waits until all are done."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("local Lambda: %s failed", task.get_name(), exc_info=error)

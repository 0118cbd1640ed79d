"""Closes all that was started, in the reverse order; none is left out because another one failed.

Knows no part; each is a name and a function that ends it."""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any

log = logging.getLogger(__name__)


@contextlib.contextmanager
def going_on(step: str) -> Iterator[None]:
    """A step of the end that may fail: the log names it, and the next step comes."""
    try:
        yield
    except Exception as error:
        log.error("stopping: %s: %s: %s", step, type(error).__name__, error)  # noqa: TRY400


class Closers:
    """Ends each once, however often it is closed."""

    def __init__(self) -> None:
        self._closers: list[tuple[str, Callable[[], Any]]] = []

    def add(self, name: str, close: Callable[[], Any]) -> None:
        """`close` may be a coroutine function."""
        self._closers.append((name, close))

    async def close(self) -> None:
        while self._closers:
            name, close = self._closers.pop()
            with going_on(name):
                result = close()
                if inspect.isawaitable(result):
                    await result

"""Waiting for a condition, the one way in which tests wait: nothing sleeps for a time that somebody guessed.

Knows nothing of what is waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

PAUSE_SECONDS = 0.01


def wait_until(condition: Callable[[], T], *, seconds: float = 20, what: str = "") -> T:
    """Polls until `condition()` is true and returns its value; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        _check(deadline, seconds, what or condition)
        time.sleep(PAUSE_SECONDS)
    return value


async def rest() -> None:
    """Turns of the event loop enough for whatever waits for nobody else, in whichever order it runs."""
    for _ in range(20):
        await asyncio.sleep(0)


@overload
async def until(condition: Callable[[], Awaitable[T]], *, seconds: float = 20, what: str = "") -> T: ...
@overload
async def until(condition: Callable[[], T], *, seconds: float = 20, what: str = "") -> T: ...
async def until(condition: Callable[[], Any], *, seconds: float = 20, what: str = "") -> Any:
    """The same while other tasks of the event loop run; an awaitable that `condition()` gives is awaited."""
    deadline = time.monotonic() + seconds
    while not (value := await _value(condition)):
        _check(deadline, seconds, what or condition)
        await asyncio.sleep(PAUSE_SECONDS)
    return value


async def _value(condition: Callable[[], Any]) -> Any:
    value = condition()
    return await value if isinstance(value, Awaitable) else value


def _check(deadline: float, seconds: float, what: object) -> None:
    assert time.monotonic() < deadline, f"not within {seconds} s: {what}"

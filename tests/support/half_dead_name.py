"""A name with two addresses, of which the first never answers: what happens in the turns in which the second has.

Real sockets on loopback; knows aiohappyeyeballs' one function that connects, and nothing of who calls it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohappyeyeballs.impl
import pytest

DEAD, LIVING = "127.0.0.2", "127.0.0.1"


@dataclass
class HalfDeadName:
    """`port` of both addresses. `requests` that the living one has had."""

    port: int
    requests: list[bytes] = field(default_factory=list)


@contextlib.asynccontextmanager
async def half_dead_name(answer: bytes) -> AsyncIterator[HalfDeadName]:
    """Each request gets the answer."""
    name = HalfDeadName(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                name.requests.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer)
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(await asyncio.start_server(serve, LIVING, 0))
        name.port = server.sockets[0].getsockname()[1]
        full = stack.enter_context(socket.socket())
        full.bind((DEAD, name.port))
        full.listen(0)
        for _ in range(3):  # its queue has room for no more
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((DEAD, name.port))
        yield name


async def cancelled_after(
    turns: int,
    call: Callable[[], Coroutine[Any, Any, Any]],
    monkeypatch: pytest.MonkeyPatch,
    then: Callable[[], object] = lambda: None,
) -> str:
    """What becomes of a call that is cancelled so many turns of the loop after an address has answered; `then` is
    called in the same turn."""
    won = asyncio.get_running_loop().create_future()
    connect = aiohappyeyeballs.impl._connect_sock

    async def watched(*arguments: Any) -> socket.socket:
        made = await connect(*arguments)
        if not won.done():
            won.set_result(None)
        return made

    with monkeypatch.context() as patch:
        patch.setattr(aiohappyeyeballs.impl, "_connect_sock", watched)
        task = asyncio.create_task(call())
        await won
        for _ in range(turns):
            await asyncio.sleep(0)
        then()
        task.cancel()
        await asyncio.wait({task}, timeout=10)
    if not task.done():
        return "is still there"
    return "cancelled" if task.cancelled() else repr(task.exception() or task.result())

"""The server's side of HTTP/1.1 for scripted endpoints: whole requests, on an event loop in a thread of its own.

Knows content-length and nothing else of HTTP; the endpoints know Lambda."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator

from tests.support.loop_thread import loop_thread
from tests.support.waiting import until


class HttpConnection(asyncio.Protocol):
    """One connection, one request after the other."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.transport: asyncio.Transport | None = None
        self.is_lost = False

    @abstractmethod
    def received(self, target: str, headers: dict[str, str], body: bytes) -> None:
        """A whole request: its target, its headers with names in lower case, and its body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True

    def write(self, data: bytes) -> None:
        """To whoever is still there."""
        if self.transport is not None:
            self.transport.write(data)

    def hang_up(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:end].decode().split("\r\n")
            pairs = [line.partition(": ") for line in lines[1:]]
            headers = {name.lower(): value for name, _, value in pairs}
            whole = end + 4 + int(headers.get("content-length", 0))
            if len(self._buffer) < whole:
                return
            body = bytes(self._buffer[end + 4 : whole])
            del self._buffer[:whole]
            self.received(lines[0].split(" ")[1], headers, body)


@contextlib.contextmanager
def http_answerer(connection: Callable[[], HttpConnection]) -> Iterator[str]:
    """Serves on a free loopback port; the URL. Its connections end with it; what one has raised is raised then."""
    defects: list[str] = []
    with loop_thread() as loop, loop.within(_served(connection, defects)) as url:
        yield url
    assert not defects, defects


@contextlib.asynccontextmanager
async def _served(connection: Callable[[], HttpConnection], defects: list[str]) -> AsyncIterator[str]:
    connections: weakref.WeakSet[HttpConnection] = weakref.WeakSet()

    def connected() -> HttpConnection:
        made = connection()
        connections.add(made)
        return made

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: defects.append(str(context)))
    server = await loop.create_server(connected, "127.0.0.1", 0, backlog=1024)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for each in list(connections):
            each.hang_up()
        await until(lambda: all(each.is_lost for each in connections))

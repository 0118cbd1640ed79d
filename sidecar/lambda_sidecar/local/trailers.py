"""The trailers of a chunked request, which aiohttp's parser checks and drops: read again from the end of what
the connection has received. Knows nothing of what they mean.

Source: RFC 9112, section 7.1
"""

from __future__ import annotations

import asyncio
import re
from collections import deque

from aiohttp import web

# Bytes of trailers, with the last chunk before them.
TRAILERS_MAX = 256 * 1024
# A trailer has a colon, so that none looks like the last chunk's line; and the end of a body is behind both.
_LAST_CHUNK = re.compile(rb"\r\n0+[ \t]*(?:;[^\r\n]*)?\r\n")


class Trailers:
    """Of all connections of one server. `protocol` makes a connection's protocol around aiohttp's own."""

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._connections: dict[asyncio.BaseTransport, _Connection] = {}

    def protocol(self) -> asyncio.Protocol:
        """For loop.create_server()."""
        return _Connection(self._server(), self._connections)

    def of(self, request: web.BaseRequest) -> dict[str, str]:
        """The trailers of a request whose body has been read to its end, under their names in lower case.
        Those beyond TRAILERS_MAX are lost."""
        connection = self._connections.get(request.transport) if request.transport is not None else None
        if connection is None or "chunked" not in request.headers.get("Transfer-Encoding", "").lower():
            return {}
        received = connection.end()
        starts = [found.end() for found in _LAST_CHUNK.finditer(received)]
        section = received[starts[-1] :] if starts else b""
        lines = (line.partition(b":") for line in section.split(b"\r\n") if b":" in line)
        return {name.decode("latin-1").lower(): value.decode("latin-1").strip() for name, _, value in lines}


class _Connection(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol, and keeps the end of what has been received."""

    def __init__(
        self,
        inner: web.RequestHandler,
        connections: dict[asyncio.BaseTransport, _Connection],
    ) -> None:
        self._inner = inner
        self._connections = connections
        self._transport: asyncio.BaseTransport | None = None
        self._received: deque[bytes] = deque()
        self._size = 0

    def end(self) -> bytes:
        """The last TRAILERS_MAX bytes or more, unless there were fewer."""
        return b"".join(self._received)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._connections[transport] = self
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._received.append(data)
        self._size += len(data)
        while self._size - len(self._received[0]) >= TRAILERS_MAX:
            self._size -= len(self._received.popleft())
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        self._inner.eof_received()
        return None

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._transport is not None:
            self._connections.pop(self._transport, None)
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

"""The connections of a worker's runtime, with what aiohttp's server does not do: it drops the trailers of a
chunked request, and gives up a request whose sender closes the connection behind it, as streaming runtimes
are told to. Knows nothing of what the requests mean.

Sources: RFC 9112, section 7.1; "Implementing response streaming in a custom runtime",
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

# Bytes of trailers, with the last chunk before them.
TRAILERS_MAX = 256 * 1024
# A trailer has a colon, so that none looks like the last chunk's line; and the end of a body is behind both.
_LAST_CHUNK = re.compile(rb"\r\n0+[ \t]*(?:;[^\r\n]*)?\r\n")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connections:
    """Of one server, which hands each request to the handler. settings: those of web.Server."""

    def __init__(self, handler: Handler, **settings: Any) -> None:
        self._handler = handler
        self.server = web.Server(self._handle, request_factory=self._request, **settings)
        self._connections: dict[web.RequestHandler, _Connection] = {}

    def protocol(self) -> asyncio.Protocol:
        """For loop.create_server()."""
        return _Connection(self.server(), self._connections)

    def trailers(self, request: web.BaseRequest) -> dict[str, str] | None:
        """Of a request whose body has been read to its end, under their names in lower case. None if they are
        above TRAILERS_MAX, or if the connection is gone."""
        if "chunked" not in request.headers.get("Transfer-Encoding", "").lower():
            return {}
        connection = self._connections.get(request.protocol)
        received = connection.received if connection is not None else b""
        starts = [found.end() for found in _LAST_CHUNK.finditer(received)]
        if not starts:
            return None
        lines = (line.partition(b":") for line in received[starts[-1] :].split(b"\r\n") if b":" in line)
        return {name.decode("latin-1").lower(): value.decode("latin-1").strip() for name, _, value in lines}

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        request = web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())
        if protocol in self._connections:
            self._connections[protocol].request = request
        return request

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = self._connections.get(request.protocol)
        try:
            response = await self._handler(request)
        finally:
            if connection is not None:
                connection.request = None
        if connection is not None and connection.at_eof:
            response.force_close()
        return response


class _Connection(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol, and keeps the end of what has been received.

    request: the one that is being handled.
    received: the last TRAILERS_MAX bytes or more, unless there were fewer.
    at_eof: the peer has closed its side.
    """

    def __init__(self, inner: web.RequestHandler, connections: dict[web.RequestHandler, _Connection]) -> None:
        self.request: web.BaseRequest | None = None
        self.received = bytearray()
        self.at_eof = False
        self._inner = inner
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections[self._inner] = self
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) > 2 * TRAILERS_MAX:
            del self.received[:-TRAILERS_MAX]
        self._inner.data_received(data)

    def eof_received(self) -> bool:
        """Whether the connection stays open: for a request that is here as a whole, until it is answered. One
        that only asks (GET) has nobody left to be answered."""
        self.at_eof = True
        self._inner.eof_received()
        request = self.request
        return request is not None and request.method == "POST" and request.content.is_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.pop(self._inner, None)
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

"""Connections of the HTTP client without a socket: a test says what the other side sends, piece by piece.

Knows the client's seam, `_reach`, and asyncio's transports; nothing of what a piece means."""

from __future__ import annotations

import asyncio
import enum
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any

from tests.support.waiting import rest

from lambda_sidecar.http.client import HttpClient
from lambda_sidecar.http.connection import Connection

# Made once: a context takes longer than all else that a test does.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class End(enum.Enum):
    """How a connection ends: the other side sends no more, or it is reset."""

    CLOSED = "closed"
    RESET = "reset"


Piece = bytes | End
Answer = Sequence[Piece]


class MemoryTransport(asyncio.Transport):
    """One connection. Each request that is whole gets the next answer, and each of its pieces comes in a turn of
    the event loop of its own, while the client reads. `stuck` bytes of what is written never leave."""

    def __init__(
        self,
        server: MemoryServer,
        protocol: Connection,
        answers: Sequence[Answer],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """`loop` is the running one unless it is said."""
        super().__init__()
        self._loop = loop or asyncio.get_running_loop()
        self.written: list[bytes] = []
        """Each write by itself."""
        self.stuck = 0
        self._server = server
        self._protocol = protocol
        self._answers = deque(answers)
        self._request = b""
        self._closing = False
        self._held_back: Sequence[Piece] | None = None
        """What comes when the client reads on; None while it reads."""
        self._has_come = asyncio.Event()
        self._has_come.set()

    async def settle(self) -> None:
        """Until all has come that is on its way, and the client has dealt with it."""
        await self._has_come.wait()
        await rest()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self._closing, "written to a connection that is closed"
        self.written.append(bytes(data))
        self._request += data
        if not _is_whole(self._request):
            return
        self._server.requests.append(self._request)
        self._request = b""
        if self._answers:
            self.send(*self._answers.popleft())

    def send(self, *pieces: Piece) -> None:
        """The first one in the next turn of the loop."""
        if pieces:
            self._has_come.clear()
            self._loop.call_soon(self._arrive, pieces)

    def send_in_one_turn(self, *pieces: bytes) -> None:
        """All in the next turn of the loop, one after the other."""

        def arrive() -> None:
            for piece in pieces:
                self._protocol.data_received(piece)

        self._loop.call_soon(arrive)

    @property
    def is_paused(self) -> bool:
        return self._held_back is not None

    def pause_reading(self) -> None:
        assert not self.is_paused, "paused twice"
        self._held_back = ()

    def resume_reading(self) -> None:
        assert self._held_back is not None, "it reads already"
        pieces, self._held_back = self._held_back, None
        self.send(*pieces)

    def _arrive(self, pieces: Sequence[Piece]) -> None:
        if self._held_back is not None:
            self._held_back = (*self._held_back, *pieces)
            return
        piece, *more = pieces
        if self._closing:
            pass
        elif isinstance(piece, bytes):
            self._protocol.data_received(piece)
        elif piece is End.CLOSED:
            self._protocol.eof_received()
            self._lose(None)
        else:
            self._lose(ConnectionResetError())
        if more and not self._closing:
            self.send(*more)
        else:
            self._has_come.set()

    def abort(self) -> None:
        if not self._closing:
            self._loop.call_soon(self._protocol.connection_lost, None)
        self._closing = True

    def _lose(self, error: Exception | None) -> None:
        self._closing = True
        self._protocol.connection_lost(error)

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return self.stuck

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def _is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end) and len(body) == (int(lengths[0]) if lengths else 0)


class MemoryServer:
    """The other side: `connections` in the order in which they were made, and every whole request. The n-th
    connection has the n-th of `scripts`, and where there are no more, one that never answers."""

    def __init__(self, *scripts: Sequence[Answer]) -> None:
        self.connections: list[MemoryTransport] = []
        self.requests: list[bytes] = []
        self._scripts = deque(scripts)

    def connect(self, protocol: Connection) -> None:
        answers = self._scripts.popleft() if self._scripts else ()
        self.connections.append(MemoryTransport(self, protocol, answers))
        protocol.connection_made(self.connections[-1])


class MemoryClient(HttpClient):
    """The client whose connections are those of a MemoryServer, whatever their origin."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(connect_timeout=5, tls=NO_TLS)
        self._server = server

    async def _reach(self, connection: Connection, scheme: str, host: str, port: int) -> None:
        self._server.connect(connection)

"""An answer of HTTP/1.1 whose body is handed on while it comes, so that nothing ever holds all of it.

Does no I/O; knows nothing of connections (connection.py), nor of what the body says."""

from __future__ import annotations

import asyncio

from lambda_sidecar.http.exchange import Exchange


class StreamedExchange(Exchange):
    """The body of a success (2xx), of any length, is what `next_piece` gives; another answer's is read as
    always. `begun`: the head of a success has come."""

    __slots__ = ("_out", "_waiting", "begun")

    def __init__(self, body_max: int) -> None:
        """`body_max`: of an answer that is no success."""
        super().__init__(body_max)
        self.begun = False
        self._out = bytearray()
        self._waiting: asyncio.Future[None] | None = None

    @property
    def held(self) -> int:
        """Bytes of the body that nobody has asked for yet."""
        return len(self._out)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.begun = 200 <= self.response.status < 300

    def on_body(self, piece: bytes) -> None:
        if not self.begun:
            super().on_body(piece)
            return
        self._since_body = 0
        self._out += piece

    def wake(self) -> None:
        """Something was fed, or nothing more comes."""
        if self._waiting is not None and not self._waiting.done() and (self._out or self.finished):
            self._waiting.set_result(None)

    async def next_piece(self) -> bytes | None:
        """All that has come since the last one; None behind the end. Raises what ended the body before it was
        whole."""
        if not self._out and not self.finished:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        if self._out:
            piece = bytes(self._out)
            self._out.clear()
            return piece
        if self.failure is not None:
            raise self.failure
        return None

"""One HTTP/1.1 connection: a request goes out, its answer comes back.

Leaves the reading of answers to exchange.py; knows neither where it leads (client.py) nor Lambda."""

from __future__ import annotations

import asyncio
import contextlib
import re
import select
from collections.abc import AsyncIterator
from typing import cast

from lambda_sidecar.http.exchange import ConnectionBroken, Exchange, Response, TunnelExchange
from lambda_sidecar.http.streamed import StreamedExchange

# A request's body up to this size leaves in one packet with its head.
JOIN_MAX = 65_536
# So much of a body that is handed on may lie here; then the endpoint has to wait.
HELD_MAX = 262_144
# An idle connection is closed by us before the other side does it under a request.
IDLE_SECONDS = 20.0
# Nor is it used in the last moment before the time that the other side named: a request could be too late.
KEEP_ALIVE_MARGIN_SECONDS = 1.0
# draft-thomson-hybi-http-timeout-03: `timeout` in seconds, `max` further requests; Node and Apache send it.
_KEEP_ALIVE = re.compile(r"\b(timeout|max)\s*=\s*\"?(\d{1,9})\b", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """A transport's protocol; one request at a time. `may_idle` is how many seconds it may wait for its
    next request."""

    def __init__(self) -> None:
        self.may_idle = IDLE_SECONDS
        self._transport: asyncio.Transport | None = None
        self._readable: select.poll | None = None
        self._exchange: Exchange | None = None
        self._answered: asyncio.Future[Response] | None = None
        self._reusable = True
        self._paused = False

    @property
    def is_open(self) -> bool:
        """Whether one more request may go out on it, as far as the event loop knows."""
        return self._reusable and self._transport is not None and not self._transport.is_closing()

    def is_quiet(self) -> bool:
        """Whether it is open and nothing has come that the event loop has not read yet: most likely the other
        side's end, after which a request would be lost."""
        return self.is_open and (self._readable is None or not self._readable.poll(0))

    @property
    def transport(self) -> asyncio.Transport:
        """Replaced where TLS begins on a connection that is there already."""
        return cast(asyncio.Transport, self._transport)

    @transport.setter
    def transport(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def close(self) -> None:
        """At once; what waits for a response fails."""
        self._reusable = False
        if self._transport is not None:
            self._transport.abort()

    async def open_tunnel(self, head: bytes) -> None:
        """Sends a CONNECT. Raises ConnectionBroken, also where the answer has not opened a tunnel."""
        answer = await self.carry_out(TunnelExchange(), head, b"")
        if not self.is_open:  # closed, or it said more than that
            raise ConnectionBroken(f"The proxy answered {answer.status}")

    async def carry_out(self, exchange: Exchange, head: bytes, body: bytes) -> Response:
        """Sends a request, `head` with the empty line at its end, and waits for the response. Raises
        ConnectionBroken and ResponseTooLarge; the connection is closed then, and also when this is
        cancelled. `exchange` is this request's alone."""
        answered = self._send(exchange, head, body)
        try:
            return await answered
        except BaseException:
            self.close()
            raise
        finally:
            self._exchange = self._answered = None
            exchange.release()

    @contextlib.asynccontextmanager
    async def stream(
        self, exchange: StreamedExchange, head: bytes, body: bytes
    ) -> AsyncIterator[StreamedResponse]:
        """As `carry_out`, but a success is there as soon as its head is. The connection is closed, too, where
        this ends before the body has come to its end."""
        answered = self._send(exchange, head, body)
        try:
            yield StreamedResponse(await answered, self, exchange)
        finally:
            if not exchange.finished or exchange.failure is not None:
                self.close()
            self._exchange = self._answered = None
            exchange.release()

    def _send(self, exchange: Exchange, head: bytes, body: bytes) -> asyncio.Future[Response]:
        if not self.is_open:
            raise ConnectionBroken("The endpoint closed the connection")
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._exchange, self._answered = exchange, answered
        if len(body) < JOIN_MAX:
            self.transport.write(head + body)  # one packet
        else:
            self.transport.write(head)
            self.transport.write(body)
        return answered

    def go_on_reading(self) -> None:
        """There is room again for a body that is handed on."""
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    # ---- asyncio's callbacks ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if (socket := transport.get_extra_info("socket")) is not None:
            self._readable = select.poll()
            self._readable.register(socket.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:  # nobody asked: what comes next could be taken for an answer
            self.close()
            return
        self._exchange.feed(data)
        self._settle(self._exchange)

    def eof_received(self) -> None:
        self._reusable = False
        if self._exchange is not None:
            self._exchange.end()
            self._settle(self._exchange)

    def connection_lost(self, error: Exception | None) -> None:
        # No end of a body: that is eof_received, which uvloop's TLS calls only for the other side's alert.
        self._reusable = False
        if self._exchange is not None:
            self._exchange.break_off(error)
            self._settle(self._exchange)

    def _settle(self, exchange: Exchange) -> None:
        if isinstance(exchange, StreamedExchange):
            exchange.wake()
            if not exchange.finished and exchange.held > HELD_MAX and not self._paused:
                self._paused = True
                self.transport.pause_reading()
            if exchange.begun and not exchange.finished:
                self._answer(exchange)
        if exchange.finished:
            self._reusable = self._reusable and exchange.reusable
            self._answer(exchange)

    def _answer(self, exchange: Exchange) -> None:
        if self._answered is None or self._answered.done():
            return
        response, failure = exchange.response, exchange.failure
        if failure is None and self.transport.get_write_buffer_size():
            # The answer came before the whole request had left. The rest must not follow, and this cannot be
            # the success of a request that nobody has read.
            self._reusable = False
            if response.status < 300:
                failure = ConnectionBroken("The endpoint answered before it had the whole request")
        if failure is not None:
            self._answered.set_exception(failure)
            return
        if (hint := response.headers.get("keep-alive")) is not None:
            self._heed(hint)
        self._answered.set_result(response)

    def _heed(self, hint: str) -> None:
        for name, number in _KEEP_ALIVE.findall(hint):
            if name.lower() == "timeout":
                self.may_idle = min(IDLE_SECONDS, int(number) - KEEP_ALIVE_MARGIN_SECONDS)
            elif int(number) == 0:
                self._reusable = False


class StreamedResponse:
    """Valid within `Connection.stream`. `head` has a body only where it is no success."""

    def __init__(self, head: Response, connection: Connection, exchange: StreamedExchange) -> None:
        self.head = head
        self._connection = connection
        self._exchange = exchange

    async def next_piece(self) -> bytes | None:
        """Of a success's body, as it comes; None behind the last one. Raises ConnectionBroken where it ends
        before it is whole."""
        piece = await self._exchange.next_piece()
        self._connection.go_on_reading()
        return piece

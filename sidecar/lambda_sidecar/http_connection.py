"""One HTTP/1.1 connection: a request goes out, its response comes back, parsed by httptools.

Knows nothing of where it leads (http_client.py) nor of Lambda."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import httptools

# Lambda's largest header is X-Amz-Log-Result, 4 KB in base64.
HEADERS_MAX = 65_536


class ConnectionBroken(Exception):
    """The response did not come whole. The text says why; it never quotes what was sent."""


class ResponseTooLarge(Exception):
    """The body is larger than what the caller allows."""


@dataclass(slots=True)
class Response:
    """`headers` under their names in lower case; bytes that are no UTF-8 are kept as surrogates. Of a
    header that comes twice the last one counts."""

    status: int = 0
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Connection(asyncio.Protocol):
    """A transport's protocol; one request at a time. Its callbacks for the parser are those that
    httptools calls by name."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answered: asyncio.Future[Response] | None = None
        self._response = Response()
        self._chunks: list[bytes] = []
        self._room = 0
        self._headers_room = 0
        self._headers_only = False
        self._reusable = True

    @property
    def is_open(self) -> bool:
        """Whether one more request may go out on it."""
        return self._reusable and self._transport is not None and not self._transport.is_closing()

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

    async def exchange(
        self, head: bytes, body: bytes, *, body_max: int, headers_only: bool = False
    ) -> Response:
        """Sends a request, `head` with the empty line at its end, and waits for the response;
        `headers_only`: it has no body whatever it says (CONNECT). Raises ConnectionBroken and
        ResponseTooLarge; the connection is closed then, and also when this is cancelled."""
        if not self.is_open:
            raise ConnectionBroken("The endpoint closed the connection")
        self._parser = httptools.HttpResponseParser(self)
        self._room, self._headers_room, self._headers_only = body_max, HEADERS_MAX, headers_only
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._answered = answered
        if len(body) < HEADERS_MAX:
            self.transport.write(head + body)  # one packet
        else:
            self.transport.write(head)
            self.transport.write(body)
        try:
            return await answered
        except BaseException:
            self.close()
            raise
        finally:
            self._answered = self._parser = None

    # ---- asyncio's callbacks ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._parser is None:  # nobody asked: what comes next could be taken for an answer
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(ConnectionBroken("The endpoint wants to change the protocol"))
        except httptools.HttpParserError:
            self._fail(ConnectionBroken("What the endpoint answered is not HTTP"))

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self._response.status and not self._framed and error is None:
            self._finish()  # RFC 9112, 6.3: such a body ends with the connection
        what = f"The connection to the endpoint broke ({type(error).__name__})" if error else None
        self._fail(ConnectionBroken(what or "The endpoint closed the connection"))

    # ---- httptools' callbacks ----

    def on_message_begin(self) -> None:
        if self._answered is not None and self._answered.done():
            self._reusable = False  # a second answer: nobody asked for it
        self._response = Response()
        self._chunks = []

    def on_status(self, reason: bytes) -> None:
        self._response.reason += _text(reason)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers_room -= len(name) + len(value)
        if self._headers_room < 0:
            self._fail(ConnectionBroken("The endpoint's headers are too long"))
            return
        self._response.headers[_text(name).lower()] = _text(value)

    def on_headers_complete(self) -> None:
        self._response.status = self._known_parser.get_status_code()
        if self._headers_only:
            self._finish()

    def on_body(self, chunk: bytes) -> None:
        self._room -= len(chunk)
        if self._room < 0:
            self._fail(ResponseTooLarge())
            return
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        if 100 <= self._response.status < 200:  # RFC 9110, 15.2: the final response follows
            return
        # An answer before the whole request has left: what is left of it must not follow.
        sent = self.transport.get_write_buffer_size() == 0
        self._reusable = self._reusable and sent and self._known_parser.should_keep_alive()
        self._finish()

    @property
    def _known_parser(self) -> httptools.HttpResponseParser:
        if self._parser is None:
            raise RuntimeError("a callback without a parser that is fed")
        return self._parser

    @property
    def _framed(self) -> bool:
        """Whether the response itself tells where its body ends."""
        headers = self._response.headers
        return "content-length" in headers or "transfer-encoding" in headers

    def _finish(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._response.body = b"".join(self._chunks)
            self._answered.set_result(self._response)

    def _fail(self, error: Exception) -> None:
        self._reusable = False
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")

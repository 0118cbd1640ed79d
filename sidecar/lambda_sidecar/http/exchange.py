"""One answer of HTTP/1.1, read by httptools as its bytes come: made for one request and gone with it.

Does no I/O. Bounds all that comes in; knows nothing of connections (connection.py) nor of Lambda."""

from __future__ import annotations

from dataclasses import dataclass, field

import httptools

# Lambda's largest header is X-Amz-Log-Result, 4 KB in base64.
HEADERS_MAX = 65_536
# A header counts as long as it is written and this more, as in RFC 7541, 4.1: empty ones take memory too.
HEADER_OVERHEAD = 32
# So much of a header and of the reason phrase is kept; divisible by 4, for what is cut may be base64.
HEADER_VALUE_KEPT = 8_192
REASON_KEPT = 200
# Above, the rest of the body goes into one piece: a piece takes memory of its own, however short it is.
PIECES_MAX = 1_000

_END_OF_HEAD = b"\r\n\r\n"


class ConnectionBroken(Exception):
    """The response did not come whole. The text says why; it never quotes what was sent."""


class ResponseTooLarge(Exception):
    """The body is larger than what the caller allows."""


@dataclass(slots=True)
class Response:
    """`headers` under their names in lower case; bytes that are no UTF-8 are kept as surrogates. Of a
    header that comes twice the last one counts. `until_close`: nothing but the connection's end says
    that the body is whole."""

    status: int = 0
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    until_close: bool = False


class _Enough(Exception):
    """Stops the parser: what follows is not looked at."""


class Exchange:
    """`finished` when `response` is whole, or when `failure` says why it never will be. `reusable`: the
    connection may carry another request then. Its callbacks are those that httptools calls by name.
    `release` at the end: parser and exchange hold each other."""

    __slots__ = (
        "_body_room",
        "_head_complete",
        "_headers_room",
        "_parser",
        "_pieces",
        "_since_body",
        "failure",
        "finished",
        "response",
        "reusable",
    )

    def __init__(self, body_max: int) -> None:
        self.response = Response()
        self.failure: Exception | None = None
        self.finished = False
        self.reusable = False
        self._body_room = body_max
        self._headers_room = HEADERS_MAX
        self._since_body = 0
        self._head_complete = False
        self._pieces: list[bytes | bytearray] = []
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def release(self) -> None:
        """Nothing can be fed any more."""
        self._parser = None

    def feed(self, data: bytes) -> None:
        """Reads bytes that the connection brought. Never raises."""
        if self.finished:  # nobody asked for more
            self.reusable = False
            return
        # Whatever is no body must end soon, complete or not: status line, header, chunk's size, trailer.
        self._since_body += len(data)
        self._parse(data)
        if self._since_body > HEADERS_MAX:
            self._fail(_too_long())

    def _parse(self, data: bytes) -> None:
        try:
            self._known_parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(ConnectionBroken("The endpoint wants to change the protocol"))
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, MemoryError):
                self._fail(ConnectionBroken("There is no memory for what the endpoint answered"))
            elif not (self.finished and isinstance(error, httptools.HttpParserCallbackError)):  # _Enough
                self._fail(ConnectionBroken("What the endpoint answered is not HTTP"))

    def end(self) -> None:
        """The other side has said that it sends no more."""
        self.reusable = False
        if not self.finished and self._ends_with_connection:
            self.response.until_close = True
            self._finish()
        self.break_off(None)

    def break_off(self, error: Exception | None) -> None:
        """The connection is gone; `error` as the system gives it."""
        broken = f"The connection to the endpoint broke ({type(error).__name__})" if error else None
        self._fail(ConnectionBroken(broken or "The endpoint closed the connection"))

    @property
    def _ends_with_connection(self) -> bool:
        """RFC 9112, 6.3: a body without a length may. Believed only of those that said that they would close
        (9.3): another one's end may as well be a proxy's that lost patience."""
        headers = self.response.headers
        if not self._head_complete or "content-length" in headers or "transfer-encoding" in headers:
            return False
        options = [option.strip() for option in headers.get("connection", "").lower().split(",")]
        return "close" in options or self._known_parser.get_http_version() == "1.0"

    # ---- httptools' callbacks ----

    def on_message_begin(self) -> None:
        if self.finished:  # a second answer: nobody asked for it
            self._stop()

    def on_status(self, reason: bytes) -> None:
        self._headers_room -= len(reason)
        kept = self.response.reason
        if len(kept) < REASON_KEPT:
            self.response.reason = (kept + _text(reason[:REASON_KEPT]))[:REASON_KEPT]

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers_room -= len(name) + len(value) + HEADER_OVERHEAD
        if self._headers_room < 0:
            self._stop(_too_long())
        if not self._head_complete:  # RFC 9110, 6.5.1: a trailer must not pass for a header
            if len(value) > HEADER_VALUE_KEPT:
                value = value[:HEADER_VALUE_KEPT]
            self.response.headers[_text(name).lower()] = _text(value)

    def on_headers_complete(self) -> None:
        self._head_complete = True
        self.response.status = status = self._known_parser.get_status_code()
        if status == 101:
            self._stop(ConnectionBroken("The endpoint wants to change the protocol"))

    def on_body(self, piece: bytes) -> None:
        self._since_body = 0
        self._body_room -= len(piece)
        if self._body_room < 0:
            self._stop(ResponseTooLarge())
        pieces = self._pieces
        if len(pieces) < PIECES_MAX:
            pieces.append(piece)
            return
        if len(pieces) == PIECES_MAX:
            pieces.append(bytearray())
        pieces[-1] += piece

    def on_message_complete(self) -> None:
        if 100 <= self.response.status < 200:  # RFC 9110, 15.2: the final response follows
            self.response = Response()
            self._head_complete = False
            return
        self.reusable = self._known_parser.should_keep_alive()
        self._finish()

    # ---- what becomes of it ----

    @property
    def _known_parser(self) -> httptools.HttpResponseParser:
        if self._parser is None:
            raise RuntimeError("an exchange is fed that was released")
        return self._parser

    def _finish(self) -> None:
        self.finished = True
        self.response.body = b"".join(self._pieces)

    def _fail(self, error: Exception | None) -> None:
        self.reusable = False
        if not self.finished:
            self.finished, self.failure = True, error

    def _stop(self, error: Exception | None = None) -> None:
        self._fail(error)
        raise _Enough


class TunnelExchange(Exchange):
    """The answer to CONNECT: a tunnel begins after its headers, whatever they say of a body (RFC 9110,
    9.3.6). Bytes between them and TLS would be read as the endpoint's, and are a failure."""

    __slots__ = ("_head",)

    def __init__(self) -> None:
        super().__init__(body_max=0)
        self._head = bytearray()

    def feed(self, data: bytes) -> None:
        head = self._head
        looked_at = max(0, len(head) - len(_END_OF_HEAD) + 1)
        head += data
        while not self.finished and (end := head.find(_END_OF_HEAD, looked_at)) >= 0:
            one = bytes(head[: end + len(_END_OF_HEAD)])
            del head[: len(one)]
            looked_at = 0
            super().feed(one)
        if not self.finished and len(head) > HEADERS_MAX:
            self._fail(_too_long())
        if self.reusable and head:
            self.reusable = False
            self.failure = ConnectionBroken("The proxy said more than its answer to CONNECT")

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.response.status >= 200:
            self._finish()
            self.reusable = self.response.status < 300
            raise _Enough


def _too_long() -> ConnectionBroken:
    return ConnectionBroken("The endpoint's headers are too long")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")

"""The other end of the socket, in bytes: HTTP/2 frames (RFC 9113) and gRPC messages written by hand.

Knows frames, HPACK's simplest form and gRPC's framing; a test's script says what to do with them."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Self

from lambda_udf.v1 import invoker_pb2

# Frame types and flags, RFC 9113 section 6.
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 3, 4, 5, 6, 7, 8, 9,
)  # fmt: skip
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAM = 1
INITIAL_WINDOW_SIZE = 4
OPENED = ((":status", "200"), ("content-type", "application/grpc"))
_PATIENCE = 20.0


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """One frame; `length` lies about the payload's."""
    said = len(payload) if length is None else length
    return struct.pack(">I", said)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def field(name: str, value: str | bytes) -> bytes:
    """A literal header field without indexing and without Huffman coding, RFC 7541 section 6.2.2."""
    raw = value.encode() if isinstance(value, str) else value
    return b"\x00" + _length(len(name)) + name.encode() + _length(len(raw)) + raw


def _length(number: int) -> bytes:
    """An integer with a 7-bit prefix, RFC 7541 section 5.1."""
    if number < 127:
        return bytes([number])
    rest, out = number - 127, b"\x7f"
    while rest >= 128:
        out += bytes([rest % 128 + 128])
        rest //= 128
    return out + bytes([rest])


def block(*fields: tuple[str, str | bytes]) -> bytes:
    return b"".join(field(name, value) for name, value in fields)


def headers(*fields: tuple[str, str | bytes], end: bool = False, stream: int = STREAM) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(*fields))


def trailers(status: str | None, *fields: tuple[str, str | bytes]) -> bytes:
    """What ends a stream; None: without grpc-status."""
    return headers(*((("grpc-status", status),) if status is not None else ()), *fields, end=True)


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", key, value) for key, value in pairs))


def goaway(last_stream: int, error: int = 0) -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">II", last_stream, error))


def rst_stream(error: int = 8, stream: int = STREAM) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", error))


def window_update(increment: int, stream: int = 0) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def message(payload: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """A gRPC message with its prefix; `length` lies."""
    return struct.pack(">BI", flag, len(payload) if length is None else length) + payload


def data(payload: bytes, *, end: bool = False, stream: int = STREAM) -> bytes:
    """DATA frames of at most 16,384 bytes."""
    parts = [payload[at : at + 16384] for at in range(0, len(payload), 16384)] or [b""]
    last = len(parts) - 1
    return b"".join(
        frame(DATA, END_STREAM if end and at == last else 0, stream, part) for at, part in enumerate(parts)
    )


def result(call_id: int, payload: bytes = b"{}") -> bytes:
    """An InvokeResponse that says: it went well."""
    outcome = invoker_pb2.InvokeResult(status_code=200, request_id="r-1", payload=payload)
    return invoker_pb2.InvokeResponse(call_id=call_id, result=outcome).SerializeToString()


def part(call_id: int, payload: bytes) -> bytes:
    """An InvokeResponse that is a part of the result's payload."""
    return invoker_pb2.InvokeResponse(call_id=call_id, part=payload).SerializeToString()


class Gone(Exception):
    """The library has closed the connection: the script is over."""


class Connection:
    """One connection of the library. Every method raises Gone when the library has closed it."""

    def __init__(self, connected: socket.socket, stopping: threading.Event) -> None:
        self.socket = connected
        self._stopping = stopping
        self._bytes = b""
        self._more: deque[bytes] = deque()

    def send(self, *chunks: bytes) -> None:
        """All of them, at once."""
        with self._gone():
            self.socket.sendall(b"".join(chunks))

    def drip(self, chunk: bytes, milliseconds: int) -> None:
        """One byte at a time."""
        for byte in chunk:
            self.send(bytes([byte]))
            self.pause(milliseconds)

    def flood(self, chunk: bytes) -> None:
        """The same again and again, reading what comes back, until the library goes."""
        self.socket.setblocking(False)
        rest = chunk
        while not self._stopping.is_set():
            readable, writable, _ = select.select([self.socket], [self.socket], [], 0.1)
            with self._gone():
                if readable and not self.socket.recv(1 << 20):
                    raise Gone
                if writable:
                    rest = rest[self.socket.send(rest) :] or chunk

    def pause(self, milliseconds: int) -> None:
        """Nothing happens for so long, or until the test is over."""
        if self._stopping.wait(milliseconds / 1000):
            raise Gone

    def read(self, size: int) -> bytes:
        while len(self._bytes) < size:
            with self._gone():
                more = self.socket.recv(65536)
            if not more:
                raise Gone
            self._bytes += more
        taken, self._bytes = self._bytes[:size], self._bytes[size:]
        return taken

    def read_frame(self) -> tuple[int, int, int, bytes]:
        """Type, flags, stream, payload."""
        head = self.read(9)
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        return kind, flags, stream, self.read(int.from_bytes(head[:3], "big"))

    def read_request(self) -> invoker_pb2.InvokeRequest:
        """The next request, from as many DATA frames as it takes; other frames are skipped. Several may come
        in one message."""
        if self._more:
            return invoker_pb2.InvokeRequest.FromString(self._more.popleft())
        body = b""
        while len(body) < 5 or len(body) < 5 + int.from_bytes(body[1:5], "big"):
            kind, _, _, payload = self.read_frame()
            if kind == DATA:
                body += payload
                if payload:
                    self.send(window_update(len(payload)), window_update(len(payload), STREAM))
        request = invoker_pb2.InvokeRequest.FromString(body[5:])
        self._more.extend(request.more)
        return request

    def has_no_more(self) -> bool:
        """Whether no request has come that is not read yet, nor comes before the library has answered a PING: what it
        is to send before it reads on, it has sent by then."""
        self.send(frame(PING, 0, 0, b"no more?"))
        frames = iter(self.read_frame, (PING, ACK, 0, b"no more?"))
        return not self._more and not [payload for kind, _, _, payload in frames if kind == DATA and payload]

    def wait_for(self, kind: int) -> None:
        """Skips frames up to one of this type."""
        while self.read_frame()[0] != kind:
            pass

    def open(self, *more: bytes) -> None:
        """What a good sidecar says first: settings (or what is given) and the response's headers."""
        assert self.read(len(PREFACE)) == PREFACE
        self.wait_for(HEADERS)
        self.send(*(more or (settings(),)), headers(*OPENED))

    def hold(self) -> None:
        """Stays silent, and reads, until the library closes the connection."""
        while True:
            self.read(1)

    def hold_unread(self) -> None:
        """Stays silent, and reads nothing, until the library closes the connection."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        while not poll.poll(20):
            if self._stopping.is_set():
                raise Gone
        raise Gone

    @contextlib.contextmanager
    def _gone(self):  # type: ignore[no-untyped-def]
        try:
            yield
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            raise Gone from None
        except BlockingIOError:
            pass


Script = Callable[[Connection], None]


class Peer:
    """Listens on a Unix socket and runs the script on each connection, one after the other in the order in
    which they come, each in a thread of its own."""

    def __init__(self, path: Path, script: Script) -> None:
        self.path = path
        self.connections = 0
        self._script = script
        self._failures: list[BaseException] = []
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._listener.settimeout(0.05)
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()
        assert not self._failures, self._failures

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connected, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connected,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connected: socket.socket) -> None:
        with connected:
            connected.settimeout(_PATIENCE)
            try:
                self._script(Connection(connected, self._stopping))
            except Gone:
                pass
            except BaseException as failure:
                self._failures.append(failure)

"""An HTTP server that plays a Lambda endpoint badly: throttled, broken, silent, as a test scripts it.

Real sockets; knows nothing of the sidecar."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Handler"], None]


@dataclass
class Endpoint:
    """`answers` are given in turn, the last one for ever; `paths` are the requests that came."""

    url: str
    answers: list[Answer]
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_answer(self, handler: Handler) -> Answer:
        with self.lock:
            self.paths.append(handler.path)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Handler(BaseHTTPRequestHandler):
    """One connection; kept alive as Lambda keeps its own."""

    protocol_version = "HTTP/1.1"
    # Head and body are two writes: the second would wait for the acknowledgement of the first, 40 ms.
    disable_nagle_algorithm = True
    endpoint: Endpoint
    body: bytes

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.endpoint.next_answer(self)(self)

    def do_GET(self) -> None:
        self.do_POST()

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the tests look at what the sidecar says."""


def says(status: int, body: bytes = b"", **headers: str) -> Answer:
    """An answer with that status, body and headers (with _ for -)."""
    return lambda handler: handler.reply(status, body, **headers)


def held(gate: threading.Event, answer: Answer) -> Answer:
    """Gives it when the gate is set, or after a minute; whoever has gone by then is no error."""

    def reply(handler: Handler) -> None:
        gate.wait(60)
        with contextlib.suppress(ConnectionError):
            answer(handler)

    return reply


def hangs_up(handler: Handler) -> None:
    """Closes the connection instead of an answer."""
    handler.close_connection = True


def resets(handler: Handler) -> None:
    """The same with a RST: as a load balancer does that has forgotten the connection."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512  # a burst of connections must not wait for a second SYN

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: set[socket.socket] = set()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The whole of one connection."""
        self._open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            self._open.discard(request)

    def hang_up(self) -> None:
        """On everybody who is still connected."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is none: tests make them go."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # as it came


@contextlib.contextmanager
def lambda_endpoint(*answers: Answer, port: int = 0) -> Iterator[Endpoint]:
    """Serves on a free loopback port, or on that one."""
    handler = type("ScriptedHandler", (Handler,), {})
    server = _Server(("127.0.0.1", port), handler)
    endpoint = Endpoint(f"http://127.0.0.1:{server.server_address[1]}", list(answers))
    handler.endpoint = endpoint  # type: ignore[attr-defined]  # a class of its own for each server
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.hang_up()

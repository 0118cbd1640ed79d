"""Answers of a scripted endpoint that come as a stream, and the client's side of them: parts, then the last response.

Knows the event stream's encoding and the contract; asserts nothing of what a test sends."""

from __future__ import annotations

import contextlib
import json
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.event_stream import CONTENT_TYPE
from tests.support.invoker_client import InvokerStream
from tests.support.lambda_endpoint import Answer, Handler

from lambda_udf.v1 import invoker_pb2

RESULT_MAX = 256 * 1024 * 1024
STREAM = '{"stream": true}'
Step = bytes | threading.Event | Callable[[Handler], None]


def begin(handler: Handler, **headers: str) -> None:
    handler.send_response(200)
    for name, value in {"Content_Type": CONTENT_TYPE, "x_amzn_RequestId": "r-1", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()


def streams(*steps: Step, **headers: str) -> Answer:
    """Writes bytes, waits for events (a minute at most), calls what can be called; then the body has ended. A client
    that has gone is no error."""

    def reply(handler: Handler) -> None:
        with contextlib.suppress(ConnectionError):
            begin(handler, **headers)
            for step in steps:
                if isinstance(step, threading.Event):
                    step.wait(60)
                elif isinstance(step, bytes):
                    write(handler, step)
                else:
                    step(handler)
            handler.wfile.write(b"0\r\n\r\n")

    return reply


def write(handler: Handler, data: bytes) -> None:
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


def until_gone(gone: threading.Event) -> Callable[[Handler], None]:
    """Waits until the client has closed the connection, and says so."""

    def wait(handler: Handler) -> None:
        handler.connection.settimeout(60)
        with contextlib.suppress(ConnectionError):
            handler.connection.recv(1)
        gone.set()

    return wait


class Flood:
    """So many pieces, one after the other; `held_up` when the client takes none for half a second."""

    def __init__(self, piece: bytes, number: int) -> None:
        self.held_up = threading.Event()
        self.gone = threading.Event()
        self.written = 0
        self._piece, self._number = piece, number

    def __call__(self, handler: Handler) -> None:
        try:
            for _ in range(self._number):
                if not select.select([], [handler.connection], [], 0.5)[1]:
                    self.held_up.set()
                write(handler, self._piece)
                self.written += len(self._piece)
        except ConnectionError:
            self.gone.set()
            raise


@dataclass
class Streamed:
    """What came of one call: `document` is None where it failed."""

    parts: int
    last: invoker_pb2.InvokeResponse
    text: bytes

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    @property
    def error(self) -> str:
        assert self.last.WhichOneof("outcome") == "error", self.last
        return self.last.error.message


def send(stream: InvokerStream, function: str = "f", options: str = STREAM, **fields: Any) -> int:
    fields.setdefault("result_max", RESULT_MAX)
    return stream.send(function, options_json=options, **fields)


def receive(stream: InvokerStream) -> Streamed:
    """Until the call's last response."""
    parts: list[bytes] = []
    while (response := stream.receive()).part:
        parts.append(response.part)
    return Streamed(len(parts), response, b"".join([*parts, response.result.payload]))


def ask(stream: InvokerStream, function: str = "f", options: str = STREAM, **fields: Any) -> Streamed:
    send(stream, function, options, **fields)
    return receive(stream)

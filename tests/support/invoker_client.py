"""The contract's other side in Python: what the library says to the sidecar, said by a test.

Knows the contract and gRPC; asserts nothing."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from lambda_udf.v1 import invoker_pb2, invoker_pb2_grpc, monitor_pb2, monitor_pb2_grpc

MESSAGE_MAX = 8 * 1024 * 1024
REQUEST_RESPONSE = invoker_pb2.INVOCATION_TYPE_REQUEST_RESPONSE


class InvokerStream:
    """One stream of one connection. Leave it as a context manager: it is cancelled then."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._requests: queue.SimpleQueue[invoker_pb2.InvokeRequest | None] = queue.SimpleQueue()
        self._call_id = 0
        stub = invoker_pb2_grpc.LambdaInvokerStub(channel)
        self.call: Any = stub.Invoke(iter(self._requests.get, None))

    def send(self, function: str, payload: bytes = b"{}", *, timeout_ms: int = 20_000, **fields: Any) -> int:
        """Sends one request and returns its call_id; `fields` are the message's."""
        self._call_id += 1
        fields.setdefault("invocation_type", REQUEST_RESPONSE)
        fields.setdefault("caller", invoker_pb2.Caller(user="app", host="%", connection_id=7))
        self._requests.put(
            invoker_pb2.InvokeRequest(
                call_id=self._call_id, function=function, payload=payload, timeout_ms=timeout_ms, **fields
            )
        )
        return self._call_id

    def receive(self) -> invoker_pb2.InvokeResponse:
        """The next response. Raises grpc.RpcError when the stream ends."""
        response: invoker_pb2.InvokeResponse = next(self.call)
        return response

    def ask(self, function: str, payload: bytes = b"{}", **fields: Any) -> invoker_pb2.InvokeResponse:
        """One call, there and back."""
        call_id = self.send(function, payload, **fields)
        response = self.receive()
        assert response.call_id == call_id
        return response

    def error(self, function: str, payload: bytes = b"{}", **fields: Any) -> str:
        """The text of a call that must fail."""
        response = self.ask(function, payload, **fields)
        assert response.WhichOneof("outcome") == "error", response
        return response.error.message

    def end(self) -> None:
        """No more requests; the responses still come."""
        self._requests.put(None)

    def cancel(self) -> None:
        self.call.cancel()
        self._requests.put(None)


@contextlib.contextmanager
def connect(socket: Path) -> Iterator[grpc.Channel]:
    """A connection of its own to the sidecar."""
    options = (
        ("grpc.max_receive_message_length", MESSAGE_MAX),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.default_authority", "localhost"),
    )
    with grpc.insecure_channel(f"unix:{socket}", options=options) as channel:
        yield channel


def snapshot(socket: Path, calls_max: int = 0) -> monitor_pb2.SnapshotResponse:
    """What the sidecar does now, and has done."""
    with connect(socket) as channel:
        request = monitor_pb2.SnapshotRequest(calls_max=calls_max)
        answer: monitor_pb2.SnapshotResponse = monitor_pb2_grpc.MonitorStub(channel).Snapshot(request)
        return answer


@contextlib.contextmanager
def open_stream(socket: Path) -> Iterator[InvokerStream]:
    """One stream on a connection of its own."""
    with connect(socket) as channel:
        stream = InvokerStream(channel)
        try:
            yield stream
        finally:
            stream.cancel()

"""Servicers of the contract on a real socket, for clients that are the library.

Knows gRPC and the contract; nothing of the sidecar."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc

from lambda_udf.v1 import invoker_pb2, invoker_pb2_grpc


def each(messages: Iterator[invoker_pb2.InvokeRequest]) -> Iterator[invoker_pb2.InvokeRequest]:
    """The requests, of which several may come in one message."""
    for message in messages:
        yield message
        yield from map(invoker_pb2.InvokeRequest.FromString, message.more)


class Echo(invoker_pb2_grpc.LambdaInvokerServicer):
    """Speaks the contract on a real socket and answers at once."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.functions: list[str] = []

    def Invoke(
        self,
        request_iterator: Iterator[invoker_pb2.InvokeRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[invoker_pb2.InvokeResponse]:
        context.send_initial_metadata(())
        for request in each(request_iterator):
            self.payloads.append(request.payload)
            self.functions.append(request.function)
            result = invoker_pb2.InvokeResult(status_code=200, request_id="r", payload=request.payload)
            yield invoker_pb2.InvokeResponse(call_id=request.call_id, result=result)


class OldSidecar(invoker_pb2_grpc.LambdaInvokerServicer):
    """A sidecar of before lambda_ping: what it says to an invocation type that it does not know."""

    def Invoke(
        self,
        request_iterator: Iterator[invoker_pb2.InvokeRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[invoker_pb2.InvokeResponse]:
        context.send_initial_metadata(())
        for request in request_iterator:
            assert request.invocation_type == invoker_pb2.INVOCATION_TYPE_PING
            error = invoker_pb2.InvokeError(kind="ERROR_KIND_INVALID", message="unknown invocation type")
            yield invoker_pb2.InvokeResponse(call_id=request.call_id, error=error)


@contextlib.contextmanager
def serve(servicer: invoker_pb2_grpc.LambdaInvokerServicer, socket: Path) -> Iterator[Path]:
    limits = (("grpc.max_receive_message_length", 7 << 20), ("grpc.max_send_message_length", 7 << 20))
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=limits)
    invoker_pb2_grpc.add_LambdaInvokerServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    try:
        yield socket
    finally:
        server.stop(None).wait()

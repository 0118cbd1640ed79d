"""A collector of spans: OTLP over HTTP, as its protobuf messages have it (opentelemetry-proto).

Real sockets; knows nothing of the sidecar."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


@dataclass(frozen=True)
class CollectedSpan:
    """Ids in hexadecimal; `kind` and `status` by name; `resource` are the attributes of whoever sent it."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    is_error: bool
    seconds: float
    attributes: dict[str, Any]
    events: dict[str, dict[str, Any]]
    resource: dict[str, Any]


@dataclass
class Collector:
    """`spans` are those that have come; `requests` counts what was posted."""

    url: str
    spans: list[CollectedSpan] = field(default_factory=list)
    requests: int = 0
    paths: set[str] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)
    """No request is answered before it is set."""

    def take(self, body: bytes) -> None:
        for sender in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _values(sender.resource.attributes)
            for scope in sender.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        CollectedSpan(
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.kind,
                            span.status.code == 2,  # STATUS_CODE_ERROR
                            (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                            _values(span.attributes),
                            {event.name: _values(event.attributes) for event in span.events},
                            resource,
                        )
                    )


def _values(attributes: Any) -> dict[str, Any]:
    pairs: list[KeyValue] = list(attributes)
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    collector: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.collector.requests += 1
        self.collector.paths.add(self.path)
        self.collector.gate.wait(60)
        self.collector.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
        answer = ExportTraceServiceResponse().SerializeToString()
        with contextlib.suppress(ConnectionError):  # whoever waited too long has gone
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def otlp_collector(*, answers: bool = True) -> Iterator[Collector]:
    """On a free loopback port. One that does not answer takes what is posted, and is silent until `gate` is set."""
    handler: Callable[..., BaseHTTPRequestHandler] = type("CollectingHandler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    handler.collector = collector  # type: ignore[attr-defined]  # a class of its own for each server
    if answers:
        collector.gate.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield collector
    finally:
        collector.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()

"""Spans of calls, sent over OTLP by OpenTelemetry's SDK: in batches, from a thread of its own.

Alone knows OpenTelemetry; nothing of what a call is."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping

from opentelemetry import trace as api
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from lambda_sidecar.tracing.trace import Trace
from lambda_sidecar.version import version

log = logging.getLogger(__name__)

# What the sidecar's end waits for a collector; what it has not taken by then is lost.
FLUSH_SECONDS = 3.0
# service.name where nobody gives one, and how the SDK begins the one that it makes up.
SERVICE, _UNNAMED = "lambda-sidecar", "unknown_service"
# The SDK logs what it cannot read of OTEL_EXPORTER_OTLP_HEADERS, and exceptions with the whole URL of the
# collector in their texts: both may hold a key.
_HEADERS_LOG, _EXPORTER_LOG = "opentelemetry.util.re", OTLPSpanExporter.__module__

Value = str | int | float | bool


class Span:
    """Of one call. `end` it once."""

    def __init__(self, span: api.Span, trace: Trace) -> None:
        self._span = span
        self.trace = trace
        """What comes next in the trace has this span as its parent."""

    def event(self, name: str, attributes: Mapping[str, Value]) -> None:
        """Happened now."""
        self._span.add_event(name, attributes)

    def end(self, name: str, attributes: Mapping[str, Value], *, is_error: bool) -> None:
        """Hands it over to be sent, and waits for nobody: what is too much for the queue is dropped."""
        self._span.update_name(name)
        self._span.set_attributes(attributes)
        if is_error:
            self._span.set_status(api.StatusCode.ERROR)
        self._span.end()


class Spans:
    """Configured by the variables of OpenTelemetry's SDK and its OTLP exporter (HTTP). `close` at the end."""

    def __init__(self) -> None:
        """Connects to nobody. What it raises for settings that are wrong is the SDK's."""
        logging.getLogger(_HEADERS_LOG).addFilter(_without_words)
        logging.getLogger(_EXPORTER_LOG).addFilter(_without_words)
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("lambda-udf", version())

    def begin(self, name: str, trace: Trace) -> Span | None:
        """A client's span, below the trace's parent. None where the sampler does not want it."""
        parent = api.SpanContext(
            trace_id=int(trace.trace_id, 16),
            span_id=int(trace.parent_id, 16),
            is_remote=True,
            trace_flags=api.TraceFlags(api.TraceFlags.SAMPLED if trace.sampled else api.TraceFlags.DEFAULT),
        )
        context = api.set_span_in_context(api.NonRecordingSpan(parent))
        span = self._tracer.start_span(name, context, api.SpanKind.CLIENT)
        if not span.is_recording():
            return None
        own = span.get_span_context()
        follows = Trace(trace.trace_id, api.format_span_id(own.span_id), bool(own.trace_flags.sampled))
        return Span(span, follows)

    async def close(self) -> None:
        """Sends what is there, for FLUSH_SECONDS at most."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def shut_down() -> None:
            try:
                self._provider.shutdown()
            finally:
                try:
                    loop.call_soon_threadsafe(done.set)
                except RuntimeError:  # too late: nobody waits any more, and the loop is closed
                    log.debug("the collector took its time")

        # A thread that nobody waits for: the SDK's own bound is half a minute.
        threading.Thread(target=shut_down, name="spans", daemon=True).start()
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await done.wait()
        except TimeoutError:
            log.warning("spans were lost: the collector did not take them within %g s", FLUSH_SECONDS)


def _without_words(record: logging.LogRecord) -> bool:
    """Of an exception its class is left, of a header nothing."""
    if isinstance(record.args, tuple):
        record.args = tuple(_left(each, record.name) for each in record.args)
    return True


def _left(value: object, logger: str) -> object:
    if isinstance(value, BaseException):
        return type(value).__name__
    return "(not shown)" if logger == _HEADERS_LOG else value


def _resource() -> Resource:
    """As OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say."""
    resource = Resource.create({SERVICE_VERSION: version()})
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith(_UNNAMED):
        return resource.merge(Resource({SERVICE_NAME: SERVICE}))
    return resource

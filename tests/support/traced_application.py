"""An application with OpenTelemetry and mysql-connector-python's own support for it: runs one statement in a span.

A program of its own, because that support changes the connector: SOCKET SQL. Prints, as JSON, the id of its trace and
those of its spans, by their names."""

from __future__ import annotations

import json
import sys

import mysql.connector
from mysql.connector.opentelemetry.instrumentation import MySQLInstrumentor
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def main() -> None:
    socket, sql = sys.argv[1:]
    provider, spans = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    MySQLInstrumentor().instrument()
    with (
        trace.get_tracer("application").start_as_current_span("request") as span,
        mysql.connector.connect(unix_socket=socket, user="root") as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
        cursor.fetchall()
    ids = {each.name: f"{each.context.span_id:016x}" for each in spans.get_finished_spans() if each.context}
    print(json.dumps({"trace": f"{span.get_span_context().trace_id:032x}", "spans": ids}))  # noqa: T201


if __name__ == "__main__":
    main()

"""The context of a trace, read as W3C writes it and written as AWS X-Ray does; OpenTelemetry's own code is the oracle.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace as api
from opentelemetry.propagators.aws import AwsXRayPropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lambda_sidecar.tracing.start import start_spans
from lambda_sidecar.tracing.trace import Trace, read_traceparent, xray_header

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE_ID}-{PARENT_ID}-01"
HEX = "0123456789abcdef"

ids = st.text(HEX, min_size=32, max_size=32).filter(lambda digits: digits.strip("0"))
parents = st.text(HEX, min_size=16, max_size=16).filter(lambda digits: digits.strip("0"))
flags = st.text(HEX, min_size=2, max_size=2)


def theirs(traceparent: str) -> api.SpanContext:
    context = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
    return api.get_current_span(context).get_span_context()


@given(ids, parents, flags)
def test_a_traceparent_is_read_as_opentelemetry_reads_it(trace_id: str, parent_id: str, flags: str) -> None:
    text = f"00-{trace_id}-{parent_id}-{flags}"
    expected = theirs(text)
    sampled = bool(expected.trace_flags & api.TraceFlags.SAMPLED)
    assert read_traceparent(text) == (trace_id, parent_id, sampled)
    assert (expected.trace_id, expected.span_id) == (int(trace_id, 16), int(parent_id, 16))


@given(ids, parents, st.booleans())
def test_the_header_is_the_one_that_opentelemetrys_xray_propagator_writes(
    trace_id: str, parent_id: str, sampled: bool
) -> None:
    context = api.SpanContext(
        int(trace_id, 16), int(parent_id, 16), is_remote=True, trace_flags=api.TraceFlags(sampled)
    )
    carrier: dict[str, str] = {}
    AwsXRayPropagator().inject(carrier, api.set_span_in_context(api.NonRecordingSpan(context)))
    assert carrier == {"X-Amzn-Trace-Id": xray_header(Trace(trace_id, parent_id, sampled))}


def test_the_header_has_the_trace_id_of_awss_own_example() -> None:
    """AWS X-Ray Developer Guide, "Sending trace data to AWS X-Ray": how a W3C trace id is to be formatted."""
    header = xray_header(Trace("4efaaf4d1e8720b39541901950019ee5", "53995c3f42cd8ad8", True))
    assert header == "Root=1-4efaaf4d-1e8720b39541901950019ee5;Parent=53995c3f42cd8ad8;Sampled=1"


MALFORMED = [
    "",
    GOOD[:-1],
    GOOD + "0",
    GOOD + "\n",
    GOOD + "-00",
    " " + GOOD,
    GOOD.upper(),
    GOOD.replace("-", "_"),
    "01" + GOOD[2:],
    "ff" + GOOD[2:],
    f"00-{'0' * 32}-{PARENT_ID}-01",
    f"00-{TRACE_ID}-{'0' * 16}-01",
    f"00-{TRACE_ID}-{PARENT_ID}-0g",
    GOOD.replace("4", "４"),
    GOOD.replace("f", "\0"),
    "x" * 55,
    GOOD * 10_000,
]


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_not_well_formed_is_no_trace(text: str) -> None:
    assert read_traceparent(text) is None


@given(st.integers(0, len(GOOD) - 1), st.characters())
def test_one_wrong_character_anywhere_makes_it_no_trace(at: int, character: str) -> None:
    text = GOOD[:at] + character + GOOD[at + 1 :]
    if character == GOOD[at] or (at not in (0, 1, 2, 35, 52) and character in HEX):
        assert read_traceparent(text) is not None
    else:
        assert read_traceparent(text) is None


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        ("https://user:canary@collector.example:4318/v1?key=canary", "https://collector.example:4318/v1"),
        ("http://[::1]:4318", "http://[::1]:4318"),
        ("http://collector.example?key=canary", "http://collector.example"),
        ("http://collector.example/v1?next=http://x&key=canary", "http://collector.example/v1"),
    ],
)
def test_the_log_names_the_collector_without_a_password(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, endpoint: str, shown: str
) -> None:
    monkeypatch.setattr("lambda_sidecar.tracing.start._is_installed", lambda: False)
    with caplog.at_level(logging.DEBUG):
        assert start_spans({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}) is None
    assert [record.getMessage() for record in caplog.records] == [
        f"spans are not sent to {shown}: the extra [tracing] is not installed"
    ]

"""Spans of calls: what a collector gets, and that one which is away, or slow, or not wanted changes nothing.

A real collector's endpoint takes them. Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.pure.test_trace import GOOD, PARENT_ID, TRACE_ID
from tests.support.account import ACCOUNT_ID, REGION
from tests.support.aws_sidecar import OK, variables
from tests.support.invoker_client import InvokerStream, open_stream
from tests.support.lambda_endpoint import Answer, Endpoint, held, lambda_endpoint, says
from tests.support.otlp_collector import CollectedSpan, Collector, otlp_collector
from tests.support.sts_endpoint import sts_endpoint
from tests.support.waiting import wait_until

from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess

UNSAMPLED = GOOD[:-2] + "00"
CLIENT = 3  # opentelemetry-proto: SPAN_KIND_CLIENT
REFUSED = says(
    404, b'{"message": "none"}', x_amzn_ErrorType="ResourceNotFoundException", x_amzn_RequestId="r-9"
)


@dataclass
class Traced:
    sidecar: SidecarProcess
    endpoint: Endpoint
    stream: InvokerStream

    def headers(self) -> list[str]:
        return [each["x-amzn-trace-id"] for each in self.endpoint.headers]


@contextlib.contextmanager
def traced(
    directory: Path, environment: Mapping[str, str], *answers: Answer, **settings: Any
) -> Iterator[Traced]:
    config = {"region": REGION, "account_id": ACCOUNT_ID, "log_level": "debug", **settings}
    with lambda_endpoint(*(answers or (OK,))) as endpoint, sts_endpoint() as sts:
        aws = variables(directory, endpoint.url, sts.url)
        sidecar = SidecarProcess(directory, config, environment={**aws, **environment})
        with sidecar, open_stream(sidecar.socket) as stream:
            yield Traced(sidecar, endpoint, stream)


def exporting(collector: Collector | str, **more: str) -> dict[str, str]:
    """A span leaves as soon as it may."""
    url = collector if isinstance(collector, str) else collector.url
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "20", **more}


def collected(collector: Collector, count: int) -> list[CollectedSpan]:
    wait_until(lambda: len(collector.spans) >= count, what=f"{count} spans at the collector")
    assert len(collector.spans) == count
    return collector.spans


def test_a_call_with_a_trace_is_a_span_between_its_parent_and_what_lambda_is_told(tmp_path: Path) -> None:
    with otlp_collector() as collector, traced(tmp_path, exporting(collector)) as sidecar:
        sidecar.stream.ask("f:live", traceparent=GOOD)
        sidecar.stream.ask("f")
        (span,) = collected(collector, 1)
        root = sidecar.endpoint.headers[0]["x-amzn-trace-id"]
    assert collector.paths == {"/v1/traces"}
    assert (span.name, span.trace_id, span.parent_id, span.kind) == ("f", TRACE_ID, PARENT_ID, CLIENT)
    assert root == f"Root=1-{TRACE_ID[:8]}-{TRACE_ID[8:]};Parent={span.span_id};Sampled=1"
    assert span.span_id != PARENT_ID
    assert 0 < span.seconds < 10
    assert (span.is_error, span.events) == (False, {})
    assert span.attributes == {
        "aws.request_id": "r-1",
        "faas.invoked_name": "f",
        "faas.invoked_provider": "aws",
        "faas.invoked_region": REGION,
        "lambda_udf.connection_id": 7,
        "lambda_udf.invocation_type": "RequestResponse",
        "lambda_udf.outcome": "success",
    }
    assert span.resource["service.name"] == "lambda-sidecar"
    assert span.resource["service.version"]


def test_a_failed_call_is_a_span_with_its_error(tmp_path: Path) -> None:
    raised = says(200, b'{"errorType": "E"}', X_Amz_Function_Error="Unhandled", x_amzn_RequestId="r-2")
    with (
        otlp_collector() as collector,
        traced(tmp_path, exporting(collector), REFUSED, raised) as sidecar,
    ):
        for function in ("f", "f", "no/name"):
            sidecar.stream.ask(function, traceparent=GOOD)
        api, function_error, invalid = collected(collector, 3)
    for span, outcome, error in (
        (api, "api", "ResourceNotFoundException"),
        (function_error, "function_error", "Unhandled"),
        (invalid, "invalid", "invalid"),
    ):
        assert span.is_error
        assert (span.attributes["lambda_udf.outcome"], span.attributes["error.type"]) == (outcome, error)
    assert (api.attributes["aws.request_id"], function_error.attributes["aws.request_id"]) == ("r-9", "r-2")
    assert invalid.name == "lambda"
    assert "faas.invoked_name" not in invalid.attributes


def test_a_call_whose_client_goes_is_a_span_too(tmp_path: Path) -> None:
    with (
        otlp_collector() as collector,
        traced(tmp_path, exporting(collector), lambda handler: None) as sidecar,
    ):
        with open_stream(sidecar.sidecar.socket) as stream:
            stream.send("f", traceparent=GOOD)
            wait_until(lambda: sidecar.endpoint.paths, what="the call at the endpoint")
        (span,) = collected(collector, 1)
    assert (span.attributes["lambda_udf.outcome"], span.is_error) == ("cancelled", True)


def test_the_wait_for_a_slot_is_an_event_of_the_span(tmp_path: Path) -> None:
    with otlp_collector() as collector:
        answer = held(gate := threading.Event(), OK)
        with traced(tmp_path, exporting(collector), answer, max_concurrency=1) as sidecar:
            sidecar.stream.send("f")
            wait_until(lambda: sidecar.endpoint.paths, what="the first call at the endpoint")
            sidecar.stream.send("f", traceparent=GOOD)
            wait_until(lambda: sidecar.sidecar.log_contains("calls wait for a slot"), what="the second waits")
            gate.set()
            (span,) = collected(collector, 1)
    assert span.events["queued"]["lambda_udf.queued_ms"] > 0


def test_what_the_client_does_not_sample_is_no_span_and_goes_to_lambda_as_it_came(tmp_path: Path) -> None:
    with otlp_collector() as collector, traced(tmp_path, exporting(collector)) as sidecar:
        sidecar.stream.ask("f", traceparent=UNSAMPLED)
        sidecar.stream.ask("f", traceparent=GOOD)
        collected(collector, 1)
        assert sidecar.headers()[0].endswith(f"Parent={PARENT_ID};Sampled=0")


def test_opentelemetrys_variables_count(tmp_path: Path) -> None:
    """Sampling of what connectors do not sample, the name, headers of the resource, compression, the whole endpoint."""
    with otlp_collector() as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/elsewhere",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_SERVICE_NAME": "orders",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
        }
        with traced(tmp_path, environment) as sidecar:
            sidecar.stream.ask("f", traceparent=UNSAMPLED)
            (span,) = collected(collector, 1)
            assert sidecar.headers()[0].endswith(f"Parent={span.span_id};Sampled=1")
    assert collector.paths == {"/elsewhere"}
    assert span.resource["service.name"] == "orders"
    assert span.resource["deployment.environment.name"] == "test"


def test_the_sidecars_end_sends_what_is_there(tmp_path: Path) -> None:
    with otlp_collector() as collector:
        with traced(tmp_path, exporting(collector, OTEL_BSP_SCHEDULE_DELAY="60000")) as sidecar:
            for _ in range(20):
                sidecar.stream.ask("f", traceparent=GOOD)
            assert collector.spans == []
            sidecar.sidecar.stop()
        collected(collector, 20)


def test_a_collector_that_is_silent_holds_the_sidecars_end_up_for_a_few_seconds_at_most(
    tmp_path: Path,
) -> None:
    with otlp_collector(answers=False) as collector, traced(tmp_path, exporting(collector)) as sidecar:
        sidecar.stream.ask("f", traceparent=GOOD)
        wait_until(lambda: collector.requests, what="the span at the collector")
        began = time.monotonic()
        sidecar.sidecar.stop()
        assert time.monotonic() - began < 3 + 4
        assert sidecar.sidecar.log_contains("spans were lost: the collector did not take them within 3 s")


@pytest.mark.parametrize("there", ["nobody", "silent"])
def test_a_collector_that_is_away_neither_delays_nor_fails_a_call(tmp_path: Path, there: str) -> None:
    with otlp_collector(answers=False) as collector:
        url = f"http://127.0.0.1:{free_port()}" if there == "nobody" else collector.url
        queue = {"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4"}
        with traced(tmp_path, exporting(url, **queue)) as sidecar:
            began = time.monotonic()
            for _ in range(200):  # many more than its queue holds
                assert sidecar.stream.ask("f", traceparent=GOOD).HasField("result")
            assert time.monotonic() - began < 10
            collector.gate.set()


def test_what_the_sdk_logs_of_a_collector_that_is_away_holds_no_key(tmp_path: Path) -> None:
    """Nor what it logs of headers that it cannot read."""
    environment = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://user:canary@127.0.0.1:{free_port()}/v1?key=canary",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization: canary",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "20",
    }
    with traced(tmp_path, environment) as sidecar:
        sidecar.stream.ask("f", traceparent=GOOD)
        for what in ("Header format invalid", "exporting spans? batch|Failed to export spans? batch"):
            wait_until(lambda what=what: re.search(what, sidecar.sidecar.log_text()), what=what)  # type: ignore[misc]
        assert "canary" not in sidecar.sidecar.log_text()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "orders"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
    ids=["nothing", "no endpoint", "disabled", "no exporter"],
)
def test_where_no_spans_are_wanted_opentelemetry_is_not_imported(environment: dict[str, str]) -> None:
    code = (
        "import os, sys; from lambda_sidecar import server; from lambda_sidecar.tracing.start import start_spans; "
        "assert start_spans(os.environ) is None; assert 'opentelemetry' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **environment})


def test_without_the_extra_the_log_says_so_and_calls_go_on(tmp_path: Path) -> None:
    """As if it were not installed: a folder before all others has a package of that name with nothing in it."""
    (tmp_path / "shadow/opentelemetry").mkdir(parents=True)
    (tmp_path / "shadow/opentelemetry/__init__.py").touch()
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "PYTHONPATH": str(tmp_path / "shadow"),
    }
    with traced(tmp_path / "s", environment) as sidecar:
        assert sidecar.stream.ask("f", traceparent=GOOD).HasField("result")
        assert sidecar.headers()[0].endswith(f"Parent={PARENT_ID};Sampled=1")
        text = "spans are not sent to http://127.0.0.1:1: the extra [tracing] is not installed"
        assert sidecar.sidecar.log_contains(text)


def test_settings_that_opentelemetry_refuses_keep_no_sidecar_from_serving(tmp_path: Path) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_BSP_MAX_QUEUE_SIZE": "7"}
    with traced(tmp_path, environment) as sidecar:
        assert sidecar.stream.ask("f", traceparent=GOOD).HasField("result")
        assert sidecar.sidecar.log_contains("spans are not sent to http://127.0.0.1:1: ")


def test_no_payload_is_in_a_span(tmp_path: Path) -> None:
    canary = "canary-of-spans"
    raised = says(200, json.dumps({"errorMessage": canary}).encode(), X_Amz_Function_Error="Unhandled")
    with otlp_collector() as collector, traced(tmp_path, exporting(collector), raised) as sidecar:
        sidecar.stream.ask("f", json.dumps(canary).encode(), traceparent=GOOD)
        sidecar.stream.ask(f"{canary}/", canary.encode(), traceparent=GOOD)
        assert canary not in repr(collected(collector, 2))

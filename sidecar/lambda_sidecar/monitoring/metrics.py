"""The sidecar's numbers as Prometheus scrapes them, read when it asks.

Imported only where /metrics is configured. Knows prometheus_client; nothing of HTTP (metrics_listener.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from lambda_sidecar.aws.lambda_api import Invoker
from lambda_sidecar.aws.role_credentials import RoleCredentials
from lambda_sidecar.calls.call import Outcome
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.traffic import BUCKETS, OTHER, FunctionTraffic, Traffic
from lambda_sidecar.errors import ErrorKind
from lambda_sidecar.log.format import dropped_lines
from lambda_sidecar.outbox.numbers import Numbers
from lambda_sidecar.version import version

_OUTCOMES = [outcome.name.lower() for outcome in Outcome]
# As Lambda says that it throttles. These are shown from the start: Prometheus sees only what grows.
_THROTTLED = ("TooManyRequestsException", "ThrottlingException")
_BOUNDS = [*(str(bound) for bound in BUCKETS), "+Inf"]
# What can become of fetching a role's credentials. Shown from the start, too.
_REFRESHES = [
    "success",
    *(kind.name.lower() for kind in (ErrorKind.CREDENTIALS, ErrorKind.NETWORK, ErrorKind.INTERNAL)),
]


@dataclass(frozen=True, slots=True)
class Sources:
    """Whose numbers they are. `streams` says how many are open; `roles` is None for a sidecar without STS,
    and so is what `outbox` gives for one without [outbox]."""

    pipeline: Pipeline
    streams: Callable[[], int]
    invoker: Invoker
    roles: RoleCredentials | None
    outbox: Callable[[], Numbers | None]


def make_registry(sources: Sources) -> CollectorRegistry:
    """The sidecar's own, and prometheus_client's own of every process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_SidecarCollector(sources))
    return registry


class _SidecarCollector(Collector):
    """Makes the families anew each time: calls are counted without them."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        traffic = self._sources.pipeline.traffic
        functions = {**traffic.functions, OTHER: traffic.other}
        yield InfoMetricFamily("lambda_sidecar", "The sidecar.", {"version": version()})
        yield _calls(functions)
        yield _durations(functions)
        yield from _totals(traffic)
        yield from self._now()
        yield from _throttled(functions, self._sources.pipeline.waits.held_to())
        yield from self._others()
        if (numbers := self._sources.outbox()) is not None:
            yield from _outbox(numbers)

    def _now(self) -> Iterator[Metric]:
        pipeline = self._sources.pipeline
        slots = pipeline.concurrency
        for name, text, value in (
            ("calls_in_flight", "Calls taken and not yet answered.", len(pipeline.traffic.in_flight)),
            ("calls_running", "Calls that have a slot: at Lambda, or on the way to it.", slots.running),
            ("calls_waiting", "Calls that wait for a slot (max_concurrency).", slots.waiting),
            (
                "calls_held_back",
                "Calls that wait because Lambda throttles their function.",
                pipeline.waits.held_back(),
            ),
            ("max_concurrency", "Slots over all functions.", slots.maximum),
            ("streams", "Open streams: connections of mysqld.", self._sources.streams()),
        ):
            yield GaugeMetricFamily(f"lambda_sidecar_{name}", text, value)

    def _others(self) -> Iterator[Metric]:
        text = "Attempts that were not a call's first."
        retries = self._sources.invoker.retries + self._sources.pipeline.traffic.repeated
        yield CounterMetricFamily("lambda_sidecar_retries", text, retries)
        text = "Lines of the log that standard error did not take."
        yield CounterMetricFamily("lambda_sidecar_log_lines_dropped", text, dropped_lines())
        roles = self._sources.roles
        text = "Credentials of a role fetched from STS, by what came of it."
        fetched = CounterMetricFamily("lambda_sidecar_role_credential_refreshes", text, labels=["outcome"])
        for outcome in _REFRESHES:
            fetched.add_metric([outcome], roles.refreshes[outcome] if roles is not None else 0)
        yield fetched


def _calls(functions: dict[str, FunctionTraffic]) -> Metric:
    text = "Calls that have ended, by function and by what became of them."
    family = CounterMetricFamily("lambda_sidecar_calls", text, labels=["function", "outcome"])
    for name, counts in functions.items():
        for outcome, calls in zip(_OUTCOMES, counts.calls, strict=True):
            family.add_metric([name, outcome], calls)
    return family


def _durations(functions: dict[str, FunctionTraffic]) -> Metric:
    text = "How long calls took that were sent to Lambda, waiting for a slot included."
    family = HistogramMetricFamily("lambda_sidecar_call_duration_seconds", text, labels=["function"])
    for name, counts in functions.items():
        buckets = list(zip(_BOUNDS, accumulate(counts.buckets), strict=True))
        family.add_metric([name], buckets, counts.seconds)
    return family


def _throttled(functions: dict[str, FunctionTraffic], held_to: dict[str, float]) -> Iterator[Metric]:
    text = "Lambda's answers that it takes no call now (429); one call may have several."
    answers = CounterMetricFamily("lambda_sidecar_throttled", text, labels=["function"])
    for name, counts in functions.items():
        answers.add_metric([name], counts.throttled)
    yield answers
    text = "Calls in a second to which a function is held while Lambda throttles it."
    speeds = GaugeMetricFamily("lambda_sidecar_held_to_per_second", text, labels=["function"])
    for name, speed in held_to.items():
        speeds.add_metric([name], speed)
    yield speeds


def _totals(traffic: Traffic) -> Iterator[Metric]:
    text = "Errors of the Lambda API, by its own name for them."
    errors = CounterMetricFamily("lambda_sidecar_api_errors", text, labels=["code"])
    for code, count in {**dict.fromkeys(_THROTTLED, 0), **traffic.api_errors}.items():
        errors.add_metric([code], count)
    yield errors
    for name, text, value in (
        ("calls_waited", "Calls that had to wait for a slot.", traffic.waited),
        ("wait_seconds", "How long they waited.", traffic.waited_us / 1_000_000),
        ("payload_sent_bytes", "Payloads sent to Lambda.", traffic.sent_bytes),
        ("payload_received_bytes", "Payloads that Lambda answered with.", traffic.received_bytes),
    ):
        yield CounterMetricFamily(f"lambda_sidecar_{name}", text, value)


def _outbox(numbers: Numbers) -> Iterator[Metric]:
    """What is not known has no sample: 0 would say that all is well."""
    for name, text, value in (
        ("accepted", "Rows that Lambda has accepted.", numbers.accepted),
        ("retried", "Attempts at rows that failed, and are repeated.", numbers.retried),
        ("dead", "Rows that were given up.", numbers.dead),
        ("duplicates", "Rows dropped because of their deduplication_key.", numbers.duplicates),
    ):
        yield CounterMetricFamily(f"lambda_sidecar_outbox_{name}", text, value)
    for name, text, now in (
        ("waiting", "Rows that are neither accepted nor dead.", numbers.waiting),
        ("oldest_seconds", "How long the oldest row has been due.", numbers.oldest_seconds),
        ("under_way", "Rows at Lambda, or on the way to it.", numbers.under_way),
        ("delivering", "Whether this sidecar delivers the outbox.", int(numbers.is_delivering)),
    ):
        yield GaugeMetricFamily(f"lambda_sidecar_outbox_{name}", text, now)

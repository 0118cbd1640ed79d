"""The goals that the figures are held against. A goal that is missed is said; it fails nothing.

Knows names of results and limits; measures nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from bench.results import Results, Spread

Measured = Callable[[Results], Spread | None]


@dataclass(frozen=True)
class Goal:
    """`limit` in `unit` ("×": a ratio)."""

    text: str
    measured: Measured
    limit: float
    unit: str
    at_least: bool = False

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


def case(name: str, figure: str) -> Measured:
    """The median of all rounds."""
    return lambda results: results.case(name, figure)


def ratio(over: str, under: str, figure: str) -> Measured:
    """Of two cases, round by round: what disturbs the machine for a while disturbs both."""

    def measured(results: Results) -> Spread | None:
        pairs = zip(results.cases.get(over, []), results.cases.get(under, []), strict=False)
        ratios = [getattr(one, figure) / getattr(other, figure) for one, other in pairs]
        return Spread.of(ratios) if ratios else None

    return measured


def other(*names: str) -> Measured:
    """The median; of several figures the highest median."""

    def measured(results: Results) -> Spread | None:
        found = [spread for name in names if (spread := results.figure(name))]
        return max(found, key=lambda spread: spread.median) if found else None

    return measured


def p99(*names: str) -> Measured:
    """The 99th percentile of all samples; of several kinds the highest."""
    return _of_samples(names, 0.99)


def p50(name: str) -> Measured:
    """The median of all samples."""
    return _of_samples((name,), 0.5)


def _of_samples(names: tuple[str, ...], share: float) -> Measured:
    def measured(results: Results) -> Spread | None:
        found = [percentile(results.extra[name], share) for name in names if results.extra.get(name)]
        return Spread.of([max(found)]) if found else None

    return measured


def percentile(values: list[float], share: float) -> float:
    """The nearest-rank percentile."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


GOALS = (
    Goal("one session: lambda_sync ÷ boto3, p50", ratio("sync/1", "boto3/1", "p50_us"), 0.6, "×"),
    Goal("the gRPC hop alone, p50", case("hop/1", "p50_us"), 200, "µs"),
    Goal(
        "32 sessions: calls per second ÷ boto3's with 32 threads",
        ratio("sync/32", "boto3/32", "per_second"),
        4,
        "×",
        at_least=True,
    ),
    Goal("32 sessions: CPU of the sidecar per call", case("sync/32", "cpu_us.sidecar"), 300, "µs"),
    Goal("KILL, p99 of QUERY and CONNECTION", p99("kill_query_ms", "kill_connection_ms"), 100, "ms"),
    Goal("1,000 sessions × a 1 s function: all done", other("crowd_done_s"), 3, "s"),
    Goal("1,000 sessions waiting: mysqld + sidecar", other("crowd_waiting_percent"), 20, "% of a core"),
    Goal("sidecar, idle after its start: RSS", other("sidecar_idle_mb"), 90, "MB"),
    Goal("mysqld, for each session that has called: RSS", other("session_called_kb"), 64, "kB"),
    Goal("5 MB there and back ÷ boto3, p50", ratio("sync/5 MB", "boto3/5 MB", "p50_us"), 2, "×"),
    Goal("lambda_map, 1,000 rows × 50 ms, 100 at once", other("map_1000_100_s"), 0.6, "s"),
    Goal("lambda_map, 10,000 rows × 50 ms, 100 at once", other("map_10000_s"), 5.7, "s"),
    Goal(
        "lambda_map from one session ÷ lambda_sync from 32: rows per second",
        other("map_ratio"),
        1.3,
        "×",
        at_least=True,
    ),
    Goal("lambda_batch, 100,000 rows of three columns", other("batch_16_s"), 1.0, "s"),
    Goal("lambda_batch, the same: CPU of the sidecar", other("batch_sidecar_s"), 0.2, "s"),
    Goal("1,000 events by a trigger ÷ rows of a plain table", other("outbox_enqueue_ratio"), 1.6, "×"),
    Goal("outbox: COMMIT → accepted, p50", p50("outbox_function_latency_ms"), 5, "ms"),
    Goal("outbox: accepted", other("outbox_per_second"), 4000, "events/s", at_least=True),
    Goal("outbox, idle: statements", other("outbox_idle_queries_per_second"), 5, "/s"),
    Goal("outbox, idle: CPU of the sidecar and for it", other("outbox_idle_percent"), 1, "% of a core"),
)

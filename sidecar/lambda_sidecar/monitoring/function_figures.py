"""Functions between two snapshots: how often each was called, how many calls failed, and how long they took.

Pure; knows the contract's messages and the arithmetic of histograms, nothing of how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lambda_udf.v1 import monitor_pb2


@dataclass(frozen=True, slots=True)
class FunctionFigures:
    """One function. The times are in seconds; None: no call was sent."""

    function: str
    calls: int
    per_second: float
    failed: int
    median: float | None
    percentile_99: float | None
    held_to: float
    """Calls in a second, while Lambda throttles it; 0 otherwise."""


def function_figures(
    now: monitor_pb2.SnapshotResponse, before: monitor_pb2.SnapshotResponse | None, seconds: float
) -> list[FunctionFigures]:
    """The functions that were ever called, with what they did within the `seconds` from `before` (None: the
    sidecar's start) to `now`; the one with the most calls first, then the others by all their calls."""
    earlier = {} if before is None else {each.function: each for each in before.functions}
    none = monitor_pb2.FunctionCount()
    known = sorted(
        (each for each in now.functions if each.calls or each.held_to),
        key=lambda count: (-count.calls, count.function),
    )
    every = [_between(each, earlier.get(each.function, none), now, seconds) for each in known]
    return sorted(every, key=lambda figures: -figures.calls)


def _between(
    now: monitor_pb2.FunctionCount,
    before: monitor_pb2.FunctionCount,
    snapshot: monitor_pb2.SnapshotResponse,
    seconds: float,
) -> FunctionFigures:
    earlier = before.durations or [0] * len(now.durations)
    durations = [one - other for one, other in zip(now.durations, earlier, strict=True)]
    calls = now.calls - before.calls
    return FunctionFigures(
        function=now.function,
        calls=calls,
        per_second=calls / max(seconds, 0.001),
        failed=now.failed - before.failed,
        median=quantile(0.5, snapshot.duration_bounds, durations),
        percentile_99=quantile(0.99, snapshot.duration_bounds, durations),
        held_to=now.held_to,
    )


def quantile(share: float, bounds: Sequence[float], counts: Sequence[int]) -> float | None:
    """As Prometheus' histogram_quantile() has it: within a bucket all values are taken to be spread evenly,
    and what is beyond the last bound is taken for it. None: there is no value."""
    rank, below = share * sum(counts), 0
    if not rank:
        return None
    for number, count in enumerate(counts[: len(bounds)]):
        if below + count >= rank:
            lower = bounds[number - 1] if number else 0.0
            return lower + (bounds[number] - lower) * (rank - below) / count
        below += count
    return bounds[-1]

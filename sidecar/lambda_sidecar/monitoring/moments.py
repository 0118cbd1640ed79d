"""Snapshots of one sidecar over the last minute, so that what grew between two of them can be told.

Pure; knows when a snapshot was taken and that a restart ends all comparing, nothing of what is shown."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from lambda_udf.v1 import monitor_pb2

# Long enough for a 99th percentile of a function that is called now and then; short enough to be "now".
WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Moment:
    """A snapshot, and when it was taken (seconds, on any clock that only grows)."""

    snapshot: monitor_pb2.SnapshotResponse
    seconds: float


@dataclass(frozen=True, slots=True)
class Past:
    """Earlier moments of the same sidecar: the last one, and the first one of the window."""

    first: Moment
    last: Moment


class History:
    """Of moments that are added in their order."""

    def __init__(self) -> None:
        self._moments: deque[Moment] = deque()

    def add(self, moment: Moment) -> Past | None:
        """What the moment can be compared with; None for the first one of a process."""
        moments = self._moments
        if moments and _is_another(moment.snapshot, moments[-1].snapshot):
            moments.clear()
        while moments and moments[0].seconds < moment.seconds - WINDOW_SECONDS:
            moments.popleft()
        past = Past(moments[0], moments[-1]) if moments else None
        moments.append(moment)
        return past


def _is_another(now: monitor_pb2.SnapshotResponse, before: monitor_pb2.SnapshotResponse) -> bool:
    """Whether it is of another process; those of older releases have no id."""
    return now.sidecar_id != before.sidecar_id or now.uptime_ms < before.uptime_ms

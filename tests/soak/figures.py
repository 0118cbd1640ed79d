"""What a soak has measured, and whether it grows: a line of least squares through the second half, and of descriptors
what is held without load.

Pure; knows no process."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limit:
    """`growth` is what the line may rise within the second half: in `unit`, or as a part of its beginning. `at_rest`:
    the figure goes up and down with the load, and what counts is what it is without, at the end and at half-time."""

    unit: str
    growth: float
    is_part: bool = False
    at_rest: bool = False


LIMITS = {
    "mysqld, MB": Limit("MB", 2.0),
    "sidecar, MB": Limit("MB", 2.0),
    # Under load the sidecar has as many connections as the busiest moment of the last 20 s needed. One that is
    # never let go is there without load, too.
    "mysqld, descriptors": Limit("descriptors", 5.0, at_rest=True),
    "sidecar, descriptors": Limit("descriptors", 5.0, at_rest=True),
    # What else the machine does shows in it.
    "lambda_sync, p50 in ms": Limit("ms", 0.5, is_part=True),
    "lambda_sync, p99 in ms": Limit("ms", 1.0, is_part=True),
}


@dataclass
class Figures:
    """`rows`: by name, seconds since the start and value. `rests`: values without load, at half-time and at the end."""

    rows: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {name: [] for name in LIMITS})
    rests: list[dict[str, float]] = field(default_factory=list)

    def add(self, seconds: float, values: Mapping[str, float]) -> None:
        """By the names of LIMITS; what was not measured is left out."""
        for name, value in values.items():
            self.rows[name].append((seconds, value))

    @property
    def fewest(self) -> int:
        """Of every figure there are so many values at least."""
        return min(map(len, self.rows.values()))

    def second_half(self, name: str) -> list[tuple[float, float]]:
        rows = self.rows[name]
        return [row for row in rows if row[0] >= rows[-1][0] / 2]

    def growth(self, name: str) -> float:
        """From the beginning to the end of the line, in the limit's unit, or as a part of its beginning. Raises
        statistics.StatisticsError for less than two values: of those nothing can be told."""
        if LIMITS[name].at_rest:
            return self.rests[-1][name] - self.rests[0][name]
        rows = self.second_half(name)
        line = statistics.linear_regression(*zip(*rows, strict=True))
        first = line.intercept + line.slope * rows[0][0]
        rise = line.slope * (rows[-1][0] - rows[0][0])
        return rise / first if LIMITS[name].is_part else rise

    def grown(self) -> list[str]:
        """What rises by more than it may."""
        return [name for name, limit in LIMITS.items() if self.growth(name) > limit.growth]

    def report(self) -> str:
        lines = []
        for name, limit in LIMITS.items():
            values, half = [value for _, value in self.rows[name]], self.second_half(name)[0][1]
            if limit.at_rest:
                half, values[-1] = self.rests[0][name], self.rests[-1][name]
            grown = f"{self.growth(name):+.0%}" if limit.is_part else f"{self.growth(name):+.2f}"
            allowed = f"{limit.growth:.0%}" if limit.is_part else f"{limit.growth:g}"
            shown = [f"{value:9.2f}" for value in (values[0], half, values[-1])]
            lines.append(f"{name:24} {' '.join(shown)}   {grown} in the second half, at most {allowed}")
        return "\n".join([f"{'':24} {'start':>9} {'half':>9} {'end':>9}", *lines])


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that so many are not above. `values` is not empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

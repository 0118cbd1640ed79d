"""The measurements of a run, as plain values: kept, written as JSON, asked for medians.

Knows the shape of the results; neither how they are measured nor how they are shown."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Spread:
    """A figure of several rounds: the median, the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])


@dataclass
class CaseRound:
    """One case in one round. `cpu_us`: CPU time per call, by process."""

    calls: int
    per_second: float
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float
    cpu_us: dict[str, float]


@dataclass
class Results:
    """Everything of one run."""

    about: dict[str, str] = field(default_factory=dict)
    """Machine, versions, date, command."""
    cases: dict[str, list[CaseRound]] = field(default_factory=dict)
    """By the case's name; one entry for each round."""
    extra: dict[str, list[float]] = field(default_factory=dict)
    """Other figures by their name, which ends in its unit; one value for each round or sample."""

    def add(self, name: str, *values: float) -> None:
        self.extra.setdefault(name, []).extend(values)

    def case(self, name: str, figure: str) -> Spread | None:
        """A figure of a case, e.g. p50_us, per_second or cpu_us.sidecar; None: not measured."""
        attribute, _, key = figure.partition(".")
        found = [getattr(one, attribute) for one in self.cases.get(name, [])]
        if key:
            found = [values[key] for values in found if key in values]
        return Spread.of(found) if found else None

    def figure(self, name: str) -> Spread | None:
        """One of the other figures; None: not measured."""
        return Spread.of(self.extra[name]) if self.extra.get(name) else None

    @classmethod
    def read(cls, path: Path) -> Results:
        """Reads a file that `write` has written."""
        kept = json.loads(path.read_text(encoding="utf-8"))
        cases = {name: [CaseRound(**one) for one in rounds] for name, rounds in kept["cases"].items()}
        return cls(kept["about"], cases, kept["extra"])

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

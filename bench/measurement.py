"""One case, measured once: its figures, and the CPU time that each process spent on it.

Also compares the answers of contestants that were asked the same; knows no case in particular."""

from __future__ import annotations

from collections.abc import Mapping

from bench.cases import Case
from bench.load import WrongAnswer
from bench.process_figures import cpu_seconds
from bench.results import CaseRound
from bench.rig import Rig


class Answers:
    """The answers of all contestants to the same request; the first to differ ends the run."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, str]] = {}

    def compare(self, case: Case, answers: str) -> None:
        """`answers` is Figures.answers. Raises WrongAnswer."""
        if not case.compared:
            return
        who, what = self._first.setdefault(case.compared, (case.name, answers))
        if what != answers:
            raise WrongAnswer(
                f"{case.name} and {who} were asked the same ({case.compared}) and answered differently: "
                f"checksums {answers} and {what}"
            )


def measure(rig: Rig, case: Case, seconds: float, answers: Answers) -> CaseRound:
    """Warm up, then call for `seconds`. Raises WrongAnswer."""
    load = rig.load(case.kind)
    load.prepare(case.sessions, case.request, case.expected, seconds=seconds, warmup=case.warmup)
    pids = rig.pids(case.kind)
    before = cpu_of(pids)
    figures = load.run()
    after = cpu_of(pids)
    answers.compare(case, figures.answers)
    return CaseRound(
        calls=figures.calls,
        per_second=figures.per_second,
        p50_us=figures.p50_us,
        p90_us=figures.p90_us,
        p99_us=figures.p99_us,
        max_us=figures.max_us,
        cpu_us={name: (after[name] - before[name]) / figures.calls * 1e6 for name in pids},
    )


def cpu_of(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds used so far, by name."""
    return {name: cpu_seconds(pid) for name, pid in pids.items()}

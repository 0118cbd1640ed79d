"""`make bench-million`: does memory grow? A million calls, and what mysqld and the sidecar hold meanwhile.

Fails if one of them grows by more than GROWTH_MB in the second half (a line is laid through the samples);
writes RESULTS-million.md, which `make bench` leaves alone."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.cases import PAYLOAD, sync
from bench.load import Figures, Load, WrongAnswer
from bench.machine import about
from bench.memory import KB
from bench.process_figures import resident_kib
from bench.report import table
from bench.rig import Rig, running

GROWTH_MB = 2.0
SAMPLES = 200
"""About so many; one each second at most."""
HERE = Path(__file__).parent

Samples = dict[str, list[tuple[float, float]]]
"""By process: seconds since the start, MB."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.million")
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=16)
    parser.add_argument("--out", type=Path, default=HERE, metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        with running() as rig:
            figures, samples = run(rig, options.calls, options.sessions)
    except WrongAnswer as wrong:
        print(f"bench: WRONG: {wrong}", file=sys.stderr)
        return 1
    text = report(figures, samples, sys.argv[1:] if arguments is None else arguments)
    print(text)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "RESULTS-million.md").write_text(text, encoding="utf-8")
    grown = [name for name, rows in samples.items() if growth(second_half(rows)) > GROWTH_MB]
    if grown:
        print(f"bench: {' and '.join(grown)} grew by more than {GROWTH_MB:g} MB", file=sys.stderr)
    return 1 if grown else 0


def run(rig: Rig, calls: int, sessions: int) -> tuple[Figures, Samples]:
    """All calls, and the samples taken while they ran. Raises WrongAnswer."""
    with rig.new_load("sql", sessions) as load:
        load.prepare(sessions, sync(PAYLOAD), PAYLOAD, calls=calls // sessions, warmup=100)
        load.start()
        return _sample(rig, load)


def _sample(rig: Rig, load: Load) -> tuple[Figures, Samples]:
    pids = {"mysqld": rig.mysqld.pid, "sidecar": rig.sidecar.pid}
    samples: Samples = {name: [] for name in pids}
    began = time.monotonic()
    while True:
        for name, pid in pids.items():
            samples[name].append((time.monotonic() - began, resident_kib(pid) * KB / 1000))
        if load.is_done(within=min(1.0, 0.02 * len(samples["mysqld"]))):
            return load.result(), samples


def second_half(rows: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Samples after half of the time, in which half of the calls were made."""
    middle = rows[-1][0] / 2
    return [row for row in rows if row[0] >= middle]


def growth(rows: Sequence[tuple[float, float]]) -> float:
    """MB from the beginning to the end of the line of least squares through the samples."""
    if len(rows) < 2:
        return 0.0
    slope = statistics.linear_regression(*zip(*rows, strict=True)).slope
    return slope * (rows[-1][0] - rows[0][0])


def report(figures: Figures, samples: Samples, arguments: Sequence[str]) -> str:
    told = about(arguments, program="bench.million")
    lines = [f"- {name}: {value}" for name, value in told.items()]
    lines.append(f"- calls: {figures.calls:,} in {figures.seconds:.0f} s, {figures.per_second:,.0f} a second")
    rows = []
    for name, taken in samples.items():
        half = second_half(taken)
        held = [f"{mb:.1f}" for mb in (taken[0][1], half[0][1], half[-1][1])]
        grown = growth(half)
        rows.append([name, *held, f"{grown:+.2f}", "holds" if grown <= GROWTH_MB else "MISSED"])
    header = ["RSS, MB", "start", "half", "end", "growth in the second half", f"≤ {GROWTH_MB:g} MB"]
    return f"# Results of `make bench-million`\n\n{chr(10).join(lines)}\n\n{table(header, rows)}\n"


if __name__ == "__main__":
    sys.exit(main())

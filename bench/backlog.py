"""`make bench-backlog`: does delivery slow down behind a million events? They are written before it begins.

Fails if the last fifth is delivered more than SLOWER_PERCENT slower than the first; writes
RESULTS-backlog.md, which `make bench` leaves alone."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import outbox
from bench.load import WrongAnswer
from bench.machine import about
from bench.report import table
from bench.rig import Rig, running

from lambda_sidecar.contract.client import MonitorClient, monitor

SLOWER_PERCENT = 10.0
PARTS = 5
# No event accepted for so long: it stands still.
STILL_SECONDS = 120.0
HERE = Path(__file__).parent

Samples = list[tuple[float, int]]
"""Seconds since the first event was accepted, and events accepted by then."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.backlog")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=HERE, metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        with running(outbox=True) as rig:
            samples = run(rig, options.events)
    except WrongAnswer as wrong:
        print(f"bench: WRONG: {wrong}", file=sys.stderr)
        return 1
    rates = rates_of(samples)
    text = report(rates, samples, sys.argv[1:] if arguments is None else arguments)
    print(text)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "RESULTS-backlog.md").write_text(text, encoding="utf-8")
    if slower(rates) > SLOWER_PERCENT:
        print(f"bench: the end was {slower(rates):.0f} % slower than the beginning", file=sys.stderr)
        return 1
    return 0


def run(rig: Rig, events: int) -> Samples:
    """All events are in the table before the sidecar starts. Raises WrongAnswer."""
    rig.sidecar.stop()
    outbox.prepare(rig)
    with contextlib.closing(rig.mysqld.connect()) as connection, connection.cursor() as cursor:
        for _ in range(events // outbox.ROWS):
            cursor.execute(outbox.INSERT_ROWS)
    rig.sidecar.start()
    with monitor(rig.sidecar.socket) as sidecar:
        return _sample(sidecar, events // outbox.ROWS * outbox.ROWS)


def _sample(sidecar: MonitorClient, events: int) -> Samples:
    outbox.wait_until_delivering(sidecar)
    began, samples = time.monotonic(), [(0.0, outbox.accepted(sidecar))]
    while (count := samples[-1][1]) < events:
        time.sleep(0.2)
        now = time.monotonic() - began
        if (more := outbox.accepted(sidecar)) > count:
            samples.append((now, more))
        elif now > samples[-1][0] + STILL_SECONDS:
            raise WrongAnswer(f"{count} of {events} events were accepted, and then none")
    return samples


def rates_of(samples: Samples) -> list[float]:
    """Events per second in each of PARTS equal parts of the events."""
    first, last = samples[0][1], samples[-1][1]
    bounds = [first + (last - first) * part / PARTS for part in range(PARTS + 1)]
    moments = [_moment(samples, bound) for bound in bounds]
    part = (last - first) / PARTS
    return [part / (after - before) for before, after in itertools.pairwise(moments)]


def _moment(samples: Samples, count: float) -> float:
    """When so many were accepted: between two samples, on the line through them."""
    for (before, low), (after, high) in itertools.pairwise(samples):
        if count <= high:
            return before + (after - before) * (count - low) / (high - low)
    return samples[-1][0]


def slower(rates: list[float]) -> float:
    """By how many percent the last part was slower than the first; negative if it was faster."""
    return (1 - rates[-1] / rates[0]) * 100


def report(rates: list[float], samples: Samples, arguments: Sequence[str]) -> str:
    lines = [f"- {name}: {value}" for name, value in about(arguments, program="bench.backlog").items()]
    lines.append(f"- events: {samples[-1][1]:,} in {samples[-1][0]:.0f} s")
    verdict = "holds" if slower(rates) <= SLOWER_PERCENT else "MISSED"
    header = ["", *(f"fifth {part}" for part in range(1, PARTS + 1)), "slower", f"≤ {SLOWER_PERCENT:g} %"]
    row = ["events/s", *(f"{rate:,.0f}" for rate in rates), f"{slower(rates):.1f} %", verdict]
    return f"# Results of `make bench-backlog`\n\n{chr(10).join(lines)}\n\n{table(header, [row])}\n"


if __name__ == "__main__":
    sys.exit(main())

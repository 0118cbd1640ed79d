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
from bench.measurement import cpu_of
from bench.report import table
from bench.rig import Rig, running

from lambda_sidecar.contract.client import MonitorClient, monitor

SLOWER_PERCENT = 10.0
PARTS = 5
# No event accepted for so long: it stands still.
STILL_SECONDS = 120.0
HERE = Path(__file__).parent

Samples = list[tuple[float, int, float]]
"""Seconds since the sidecar began, events accepted by then, and CPU seconds of the sidecar and mysqld."""


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
        return _sample(rig, sidecar, events // outbox.ROWS * outbox.ROWS)


def _sample(rig: Rig, sidecar: MonitorClient, events: int) -> Samples:
    outbox.wait_until_delivering(sidecar)
    pids = {"mysqld": rig.mysqld.pid, "sidecar": rig.sidecar.pid}
    began = time.monotonic()
    samples: Samples = [(0.0, outbox.accepted(sidecar), sum(cpu_of(pids).values()))]
    while (count := samples[-1][1]) < events:
        time.sleep(0.2)
        now = time.monotonic() - began
        if (more := outbox.accepted(sidecar)) > count:
            samples.append((now, more, sum(cpu_of(pids).values())))
        elif now > samples[-1][0] + STILL_SECONDS:
            raise WrongAnswer(f"{count} of {events} events were accepted, and then none")
    return samples


def rates_of(samples: Samples) -> list[float]:
    """Events per second in each of PARTS equal parts of the events."""
    return [1 / seconds for seconds in _for_each_event(samples, 0)]


def cpu_of_events(samples: Samples) -> list[float]:
    """Microseconds of CPU time for each event, in each of the parts."""
    return [seconds * 1e6 for seconds in _for_each_event(samples, 2)]


def _for_each_event(samples: Samples, column: int) -> list[float]:
    first, last = samples[0][1], samples[-1][1]
    bounds = [first + (last - first) * part / PARTS for part in range(PARTS + 1)]
    values = [_value(samples, bound, column) for bound in bounds]
    return [(after - before) * PARTS / (last - first) for before, after in itertools.pairwise(values)]


def _value(samples: Samples, count: float, column: int) -> float:
    """As it was when so many were accepted: between two samples, on the line through them."""
    for before, after in itertools.pairwise(samples):
        if count <= after[1]:
            share = (count - before[1]) / (after[1] - before[1])
            return before[column] + (after[column] - before[column]) * share
    return samples[-1][column]


def slower(rates: list[float]) -> float:
    """By how many percent the last part was slower than the first; negative if it was faster."""
    return (1 - rates[-1] / rates[0]) * 100


def report(rates: list[float], samples: Samples, arguments: Sequence[str]) -> str:
    lines = [f"- {name}: {value}" for name, value in about(arguments, program="bench.backlog").items()]
    lines.append(f"- events: {samples[-1][1]:,} in {samples[-1][0]:.0f} s")
    verdict = "holds" if slower(rates) <= SLOWER_PERCENT else "MISSED"
    header = ["", *(f"fifth {part}" for part in range(1, PARTS + 1)), "slower", f"≤ {SLOWER_PERCENT:g} %"]
    row = ["events/s", *(f"{rate:,.0f}" for rate in rates), f"{slower(rates):.1f} %", verdict]
    cpu = ["CPU of sidecar and mysqld, µs/event", *(f"{each:.0f}" for each in cpu_of_events(samples)), "", ""]
    return f"# Results of `make bench-backlog`\n\n{chr(10).join(lines)}\n\n{table(header, [row, cpu])}\n"


if __name__ == "__main__":
    sys.exit(main())

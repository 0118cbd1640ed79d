"""`make soak T=minutes`: mixed SQL for so long, while memory, descriptors and times are measured.

Fails if one of them grows in the second half by more than figures.py allows: descriptors from a rest at half-time
to one at the end. The sidecar is upgraded in the first quarter only: then one process has a quarter to get warm,
and a half in which its growth shows."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench.process_figures import resident_kib
from examples.checkout import mysql_home
from tests.chaos.outbox_server import OutboxServer
from tests.conftest import pytest_configure
from tests.soak import plot
from tests.soak.endpoint import forgetful_endpoint
from tests.soak.figures import Figures, percentile
from tests.soak.operations import Operator, operator
from tests.soak.statements import CLIENTS, CROWD, TABLES, Client, clients
from tests.support.checkout import ROOT
from tests.support.waiting import wait_until

from lambda_sidecar.http.connection import IDLE_SECONDS

SAMPLES, UPGRADES = 300, 5
# Of each figure, however short the run is: a slow machine needs more than a second for an upgrade, and takes none meanwhile.
FEWEST_SAMPLES = 10
# Of a rest: until every connection that nobody needs has been closed, which the next call sees to.
REST_SECONDS = IDLE_SECONDS + 5
# What mysqld keeps for itself is soon as much as it will be. Its table cache has 16 parts by default, a session uses the
# one of its number, and each part keeps as many open tables as sessions once used it at the same time: with clients that
# come and go, it and InnoDB's part of it (memory/sql/TABLE and memory/innodb/memory in performance_schema) grow by
# 2 MB in a minute at first, and are not done after ten. InnoDB with its default pool of 128 MB was seen to take longer still.
SOON_WARM = ("--table-open-cache-instances=1", "--innodb-buffer-pool-size=24M")
# Each arena of glibc's malloc keeps the most that its threads once had at once. In the second half of 1.7 million calls
# the process grew by 1.7 MB with one for each thread, by 0.4 and 0.8 MB with one for all.
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
SVG = ROOT / "build/soak.svg"


@dataclass(frozen=True)
class Soak:
    """What a run has given."""

    figures: Figures
    statements: Counter[str]
    failed: Counter[int]
    operations: Counter[str]
    calls: int


def main(minutes: float) -> int:
    pytest_configure()
    seed = int(os.environ.get("LAMBDA_UDF_CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"soak: {minutes:g} minutes, SEED={seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak") as directory:
        done = soak(mysql_home(), Path(directory), 60 * minutes, seed)
    print(f"soak: {done.calls:,} calls; statements: {dict(done.statements)}; errors: {dict(done.failed)}")
    print(f"soak: {dict(done.operations)}\n{done.figures.report()}")
    SVG.write_text(
        plot.svg(done.figures, f"make soak: {done.calls:,} calls in {minutes:g} minutes, seed {seed}")
    )
    print(f"soak: {SVG.relative_to(ROOT)}")
    grown = done.figures.grown()
    if grown:
        print(f"soak: grown in the second half: {', '.join(grown)}", file=sys.stderr)
    return 1 if grown else 0


def soak(home: Path, directory: Path, seconds: float, seed: int, rest: float = REST_SECONDS) -> Soak:
    """For so long, rests left out, and on until each kind of statement and of operation has been there, and of each
    figure FEWEST_SAMPLES. Raises AssertionError if something has happened that should not."""
    figures = Figures()
    with forgetful_endpoint() as url, OutboxServer(home, directory, url, options=SOON_WARM) as server:
        server.mysqld.environment.update(ONE_ARENA)
        server.start_mysqld()
        server.start_sidecar()
        for statement in TABLES:
            server.query(statement)
        with clients(seed, server, CROWD) as crowd:
            wait_until(
                lambda: all(each.defect or not _kinds_missing(each) for each in crowd),
                seconds=120,
                what="each of them has done everything",
            )
        with clients(seed, server, CLIENTS) as running, operator(seed, server, running) as operates:
            _measure(figures, server, running, operates, seconds, rest)
        server.wait_until_empty(120)
        assert server.mysqld.log_text().count("ready for connections") == 1
    return Soak(
        figures,
        sum((each.done for each in running), Counter[str]()),
        sum((each.failed for each in running), Counter[int]()),
        operates.done,
        sum(each.calls for each in running),
    )


def _measure(
    figures: Figures,
    server: OutboxServer,
    running: list[Client],
    operates: Operator,
    seconds: float,
    rest: float,
) -> None:
    began = time.monotonic()
    upgrades = [seconds / 4 * (number + 0.5) / UPGRADES for number in range(UPGRADES)]
    while (
        (passed := time.monotonic() - began) < seconds
        or upgrades
        or not operates.has_done_everything
        or _kinds_missing(*running)
        or figures.fewest < FEWEST_SAMPLES
    ):
        if upgrades and passed >= upgrades[0]:
            upgrades.pop(0)
            operates.upgrade()
        assert not any(each.defect for each in running), [each.defect for each in running]
        if not figures.rests and passed >= seconds / 2:
            began += _rest(figures, server, operates, rest)
        figures.add(passed, _sample(server, running))
        time.sleep(max(0.2, seconds / SAMPLES))  # the pace of the samples
    _rest(figures, server, operates, rest)


def _rest(figures: Figures, server: OutboxServer, operates: Operator, rest: float) -> float:
    """What is held without load, after so many seconds of it. How long it took."""
    began = time.monotonic()
    with operates.rest():
        server.wait_until_empty(120)
        while time.monotonic() - began < rest:
            server.query("SELECT lambda_sync('f', '{}')")
            time.sleep(1.0)  # the pace of these calls
        held = {"mysqld, descriptors": server.mysqld.pid, "sidecar, descriptors": server.sidecar.pid}
        figures.rests.append({name: float(_descriptors(pid)) for name, pid in held.items()})
    return time.monotonic() - began


def _kinds_missing(*running: Client) -> set[str]:
    """Kinds of statements that none of them has run."""
    return {kind for each in running for kind in each.kinds} - {
        kind for each in running for kind in each.done
    }


def _sample(server: OutboxServer, running: list[Client]) -> dict[str, float]:
    """By the names of LIMITS; no times where no call has ended since the last sample."""
    mysqld, sidecar = server.mysqld.pid, server.sidecar.pid
    times: list[float] = []
    for each in running:
        taken, each.milliseconds = each.milliseconds, []
        times += taken
    sample = {
        "mysqld, MB": resident_kib(mysqld) * 1024 / 1e6,
        "sidecar, MB": resident_kib(sidecar) * 1024 / 1e6,
        "mysqld, descriptors": float(_descriptors(mysqld)),
        "sidecar, descriptors": float(_descriptors(sidecar)),
    }
    if times:
        sample["lambda_sync, p50 in ms"] = percentile(times, 0.5)
        sample["lambda_sync, p99 in ms"] = percentile(times, 0.99)
    return sample


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))

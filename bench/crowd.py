"""A thousand sessions at once: how long a 1 s function takes them all, and what it costs while they wait.

CPU time is counted while nginx says that every one of them waits; knows nothing of single calls."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.cases import PAYLOAD, sync
from bench.load import Load, WrongAnswer
from bench.measurement import cpu_of
from bench.results import Results
from bench.rig import CROWD_MAX, Rig
from bench.upstream import ANSWER

SAMPLE_SECONDS = 1.5
# Long enough that all have arrived, and a sample fits, before the first answer.
WAIT_SECONDS = 6


def measure(rig: Rig, results: Results, sessions: int = CROWD_MAX) -> None:
    """Once each: idle, 1 s for all, waiting. Raises WrongAnswer."""
    began = time.monotonic()
    with rig.new_load("sql", sessions) as load:
        results.add("crowd_connect_s", time.monotonic() - began)
        _sample(rig, results, "idle")
        load.prepare(sessions, sync(PAYLOAD, "sleep-1"), ANSWER, calls=1)
        results.add("crowd_done_s", load.run().seconds)
        _wait(rig, results, load, sessions)


def _wait(rig: Rig, results: Results, load: Load, sessions: int) -> None:
    load.prepare(sessions, sync(PAYLOAD, f"sleep-{WAIT_SECONDS}"), ANSWER, calls=1)
    load.start()
    give_up = time.monotonic() + WAIT_SECONDS
    while (waiting := rig.upstream.in_progress()) < sessions:
        if time.monotonic() > give_up:
            raise WrongAnswer(f"{waiting} of {sessions} sessions waited at once, not all")
        time.sleep(0.02)
    _sample(rig, results, "waiting")
    if (waiting := rig.upstream.in_progress()) < sessions:
        raise WrongAnswer(f"only {waiting} of {sessions} sessions waited to the end of the sample")
    load.result()


def _sample(rig: Rig, results: Results, state: str) -> None:
    """Adds the share of a core, in percent, that mysqld and the sidecar use for a while from now on."""
    pids = {"mysqld": rig.mysqld.pid, "sidecar": rig.sidecar.pid}
    clock: Callable[[], float] = time.monotonic
    began, before = clock(), cpu_of(pids)
    time.sleep(SAMPLE_SECONDS)
    after, seconds = cpu_of(pids), clock() - began
    shares = {name: (after[name] - before[name]) / seconds * 100 for name in pids}
    for name, share in shares.items():
        results.add(f"crowd_{state}_{name}_percent", share)
    results.add(f"crowd_{state}_percent", sum(shares.values()))

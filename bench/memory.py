"""Memory that is held: by a sidecar that has just started, and by mysqld for each session that has called.

Wants a rig on which nothing has run yet: memory that an earlier measurement left would hide what is asked."""

from __future__ import annotations

from bench.cases import PAYLOAD, sync
from bench.process_figures import resident_kib
from bench.results import Results
from bench.rig import Rig

SESSIONS = 500
CALLS = 4
KB = 1.024
"""One KiB in kB (1,000 bytes), in which the goals are."""


def measure_start(rig: Rig, results: Results, sessions: int = SESSIONS) -> None:
    """The same sessions run SELECT 1 first and lambda_sync then; the difference is the calls'. It includes
    the idle channels that the library keeps. Raises WrongAnswer."""
    results.add("sidecar_idle_mb", resident_kib(rig.sidecar.pid) * KB / 1000)
    results.add("mysqld_idle_mb", resident_kib(rig.mysqld.pid) * KB / 1000)
    with rig.new_load("sql", 1) as load:  # what the first call of all brings in is nobody's
        load.prepare(1, sync(PAYLOAD), PAYLOAD, calls=CALLS)
        load.run()
    before = resident_kib(rig.mysqld.pid)
    with rig.new_load("sql", sessions) as load:
        load.prepare(sessions, "SELECT 1", "1", calls=CALLS)
        load.run()
        plain = resident_kib(rig.mysqld.pid)
        load.prepare(sessions, sync(PAYLOAD), PAYLOAD, calls=CALLS)
        load.run()
        called = resident_kib(rig.mysqld.pid)
    results.add("session_plain_kb", (plain - before) * KB / sessions)
    results.add("session_called_kb", (called - plain) * KB / sessions)


def measure_end(rig: Rig, results: Results) -> None:
    """After everything else."""
    results.add("sidecar_after_mb", resident_kib(rig.sidecar.pid) * KB / 1000)
    results.add("mysqld_after_mb", resident_kib(rig.mysqld.pid) * KB / 1000)

"""A process and its descendants as the kernel accounts for them: CPU time used and memory held.

Reads /proc alone; knows no program."""

from __future__ import annotations

import os
import re
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """The process and all its descendants that live now."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except (FileNotFoundError, ProcessLookupError):
                continue  # a thread that has just ended; its children have another parent now
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree, in steps of 10 ms (proc(5): utime, stime)."""
    ticks = 0
    for process in tree(pid):
        # The name in parentheses may hold anything, spaces and parentheses included.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def resident_kib(pid: int) -> int:
    """Resident memory of the tree; smaps_rollup counts exactly, VmRSS is off by some pages per CPU."""
    total = 0
    for process in tree(pid):
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
        found = re.search(r"^Rss:\s+(\d+) kB$", text, re.MULTILINE)
        if found is None:
            raise RuntimeError(f"/proc/{process}/smaps_rollup has no Rss")
        total += int(found[1])
    return total

"""A control group whose processes may have so much memory and no more; the kernel kills one that takes more.

Knows both versions of cgroups(7); nothing of who is put into the group."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.support.waiting import wait_until

_ROOT = Path("/sys/fs/cgroup")


def _parent() -> tuple[Path, str]:
    """Where a group can be made, and the file of its limit."""
    if (_ROOT / "memory/memory.limit_in_bytes").exists():
        return _ROOT / "memory", "memory.limit_in_bytes"
    return _ROOT, "memory.max"


def why_there_is_none() -> str:
    """Why no such group can be made here; empty if one can."""
    parent, limit = _parent()
    group = parent / f"lambda-udf-probe-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        return f"no control group can be made here: {error.strerror}"
    has_limit = (group / limit).exists()
    group.rmdir()
    return "" if has_limit else "control groups do not limit memory here"


@contextlib.contextmanager
def limited_memory(pid: int, more: int) -> Iterator[None]:
    """What the process has is not counted (version 1) or nearly nothing (version 2: what it takes from now on)."""
    parent, limit = _parent()
    group = parent / f"lambda-udf-{pid}"
    group.mkdir()
    try:
        (group / limit).write_text(str(more))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        wait_until(
            lambda: not (group / "cgroup.procs").read_text(), what="the end of the process in the group"
        )
        group.rmdir()

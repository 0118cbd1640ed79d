"""A process whose clock goes wrong: its calendar time is off by so many seconds, and nothing else is.

Knows how libraries are loaded first; nothing of what the process is."""

from __future__ import annotations

import subprocess
from pathlib import Path

_SOURCE = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (!failed && clock == CLOCK_REALTIME) now->tv_sec += SECONDS;
  return failed;
}
"""


def clock_off_by(seconds: int, directory: Path) -> dict[str, str]:
    """The environment of such a process."""
    source, library = directory / "clock.c", directory / "clock.so"
    source.write_text(_SOURCE)
    subprocess.run(["cc", "-shared", "-fPIC", f"-DSECONDS=({seconds})", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library)}

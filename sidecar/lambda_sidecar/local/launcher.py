"""Becomes a worker's runtime, after it has asked the kernel to end this process when the sidecar ends.
A script of its own that knows nothing of this package, because every cold start has to run it.

Arguments: the sidecar's process ID, the executable, its arguments."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2), linux/prctl.h; kept across execve(2) of a program without set-user-ID


def main() -> None:
    """Never returns: ends in execv, or exits with 1 if the sidecar is gone already."""
    sidecar = int(sys.argv[1])
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != sidecar:  # it died before prctl, so no signal will come
        sys.exit("the sidecar is gone")
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - a shell is not wanted


if __name__ == "__main__":
    main()

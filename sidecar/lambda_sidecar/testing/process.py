"""One server process: started in its own session, found again by its command line, ended for certain.

Must not know what the program is, nor when it is ready or how it is configured."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

# Linux ends a child with PR_SET_PDEATHSIG when the *thread* that started it ends, so one thread that lives
# as long as the interpreter starts them all. The launcher asks for the signal, looks whether its parent died
# before it could ask, and becomes the program.
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="process-starter")
_LAUNCHER = """
import ctypes, os, sys
number, parent, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
PR_SET_PDEATHSIG = 1
if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0):
    sys.exit(f"PR_SET_PDEATHSIG: {os.strerror(ctypes.get_errno())}")
if os.getppid() != parent:
    sys.exit("the parent is gone")
os.execv(program[0], program)
"""


class ServerError(RuntimeError):
    """A server did not start or did not end; the message says why and quotes the end of its log."""


class ServerProcess:
    """A process that `spawn` started or `find` found. It is known by a descriptor, not by its number."""

    def __init__(
        self, pid: int, popen: subprocess.Popen[bytes] | None = None, *, outlives_us: bool = True
    ) -> None:
        self.pid = pid
        self._popen = popen
        self._outlives_us = outlives_us
        self._pidfd = os.pidfd_open(pid)

    @classmethod
    def spawn(
        cls,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str | None],
        dies_with_us: signal.Signals | None,
    ) -> Self:
        """Start a program, its output appended to `log`.

        `environment` changes ours (None removes a variable); `dies_with_us` is the signal that the program
        gets when this process dies, None lets it outlive us."""
        complete = {**os.environ, **environment}
        command = list(arguments)
        if dies_with_us is not None:
            launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(int(dies_with_us)), str(os.getpid())]
            command = launcher + command

        def start() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={name: value for name, value in complete.items() if value is not None},
                    start_new_session=True,
                )

        popen = _STARTER.submit(start).result()
        return cls(popen.pid, popen, outlives_us=dies_with_us is None)

    @classmethod
    def find(cls, identity: Sequence[str]) -> Self | None:
        """The process whose command line holds `identity` as consecutive arguments, whoever started it."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or not _has_arguments(entry, identity):
                continue
            try:
                process = cls(int(entry.name))
            except ProcessLookupError:
                continue
            # Looked at again now that the descriptor holds it: the number may have changed hands before.
            if _has_arguments(entry, identity):
                return process
            process._close()
        return None

    @property
    def running(self) -> bool:
        return self._pidfd >= 0 and not self._wait(0)

    @property
    def status(self) -> int | None:
        """The exit status (negative: a signal) of a process that we started and that has ended."""
        return self._popen.poll() if self._popen else None

    def stop(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL after `seconds`; then kills what is left of its process group."""
        self._signal(signal.SIGTERM)
        if not self._wait(seconds):
            self._signal(signal.SIGKILL)
            self._wait(None)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nothing of ours is left
        self._reap()

    def kill(self) -> None:
        """SIGKILL to this one process, as the kernel's out-of-memory killer would do it."""
        self._signal(signal.SIGKILL)
        self._wait(None)
        self._reap()

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                pass  # it ended by itself in between

    def _wait(self, seconds: float | None) -> bool:
        """Whether it has ended within `seconds` (None: however long it takes)."""
        if self._pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def _reap(self) -> None:
        if self._popen:
            self._popen.wait()
        self._close()

    def _close(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def __del__(self) -> None:
        self._close()
        if self._popen is not None and self._popen.returncode is None and self._outlives_us:
            self._popen.returncode = (
                0  # otherwise subprocess warns of a process that still runs: it is meant to
            )


def _has_arguments(entry: Path, identity: Sequence[str]) -> bool:
    try:
        arguments = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:  # it ended, or is not ours to look at
        return False
    wanted = [os.fsencode(argument) for argument in identity]
    return any(
        arguments[start : start + len(wanted)] == wanted for start in range(len(arguments) - len(wanted) + 1)
    )


def log_tail(log: Path, lines: int = 25) -> str:
    """The last lines of a log, for an error message; says so if there is none."""
    try:
        with log.open(encoding="utf-8", errors="replace") as text:
            return "".join(deque(text, lines)).rstrip() or f"({log} is empty)"
    except FileNotFoundError:
        return f"({log} does not exist)"


def socket_path(path: Path) -> Path:
    """`path`, if it fits into a Unix socket's address: sun_path of unix(7) holds 107 bytes and a NUL."""
    length = len(os.fsencode(path))
    if length > 107:
        raise ServerError(
            f"the socket's path has {length} bytes, 107 are allowed; use a shorter folder: {path}"
        )
    return path

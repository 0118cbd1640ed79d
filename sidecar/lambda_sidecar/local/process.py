"""A worker's operating system process: its own session, output and end. Linux only (pidfd, PR_SET_PDEATHSIG).
Knows nothing of the Runtime API or of invocations."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from lambda_sidecar.local.log_tail import LogTail
from lambda_sidecar.local.output import Output

_logger = logging.getLogger(__name__)
_LAUNCHER = Path(__file__).with_name("launcher.py")
_CHUNK = 64 * 1024  # a Linux pipe holds that much (pipe(7)), so a few reads empty it
_DRAIN_READS = 16  # a worker that prints without end cannot hold the event loop


class WorkerProcess:
    """A process that the constructor starts. The kernel ends it when the thread that started it ends.

    exited: its return code as subprocess reports it, once it has ended and the rest of its group was killed.
    log: stdout and stderr, which `output` gets too.
    """

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path, output: Output) -> None:
        """Raises OSError."""
        self.log = LogTail()
        self._printed = output
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._output, pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            os.set_blocking(pipe, True)  # the worker's end: it waits when it prints faster than we read
            self._process = subprocess.Popen(  # noqa: S603 - the command is the function that the user configured
                [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *command],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=pipe,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(pipe)
        self.pid = self._process.pid
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError:
            self._process.kill()
            self._process.wait()
            os.close(self._output)
            raise
        self._loop.add_reader(self._pidfd, self._ended)
        self._loop.add_reader(self._output, self._read)

    def kill(self) -> None:
        """Kills the process and everything in its group; harmless when it has ended."""
        if not self.exited.done():
            self._kill_group()

    def drain(self) -> None:
        """Reads the output that was printed until now."""
        for _ in range(_DRAIN_READS):
            if not self._read():
                break
        self._printed.flush()

    def max_memory_mb(self) -> int:
        """The most memory the process had resident, in MB; 0 once it has ended."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace")
        except OSError:  # ended and reaped
            return 0
        kilobytes = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), "0")
        return -(-int(kilobytes) // 1024)

    def _read(self) -> bool:
        if self._output < 0:
            return False
        try:
            chunk = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._close_output()
            return False
        self.log.write(chunk)
        self._printed.write(chunk)
        return True

    def _close_output(self) -> None:
        if self._output >= 0:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = -1

    def _ended(self) -> None:
        # Not reaped yet, so its number still means this group: nothing it started survives it.
        self._kill_group()
        return_code = self._process.wait()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.drain()
        self._close_output()
        self.exited.set_result(return_code)

    def _kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (
            ProcessLookupError,
            PermissionError,
        ) as error:  # setsid(2) of the launcher not done yet, or gone
            _logger.debug("killpg(%d): %s", self.pid, error)
            self._process.kill()

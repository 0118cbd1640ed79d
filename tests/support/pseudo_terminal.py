"""A command in a pseudo-terminal of a given size: what it draws, and keys for it.

Knows terminals; nothing of the command."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

FRAME = "\x1b[H"
# Becomes the command with standard input as its controlling terminal: Ctrl-C is a signal only there.
_IN_CONTROL = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


class PseudoTerminal:
    """Reads as long as it is asked; `output` is everything so far."""

    def __init__(self, process: subprocess.Popen[bytes], controller: int, terminal: int) -> None:
        self.process = process
        self._controller = controller
        self._terminal = terminal
        self.output = ""
        self.attributes = termios.tcgetattr(terminal)

    def press(self, keys: str) -> None:
        os.write(self._controller, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        _set_size(self._terminal, columns, lines)

    def is_as_before(self) -> bool:
        """Whether echo, line editing and all the rest are as they were at the start."""
        return termios.tcgetattr(self._terminal) == self.attributes

    def frames(self) -> list[list[str]]:
        """The lines of everything that was drawn whole: each frame without its control sequences."""
        return [[re.sub(r"\x1b\[[\d;]*m", "", line) for line in frame] for frame in self.coloured_frames()]

    def coloured_frames(self) -> list[list[str]]:
        """The same with the sequences that choose colours."""
        drawn = [part for part in self.output.split(FRAME)[1:] if "\x1b[J" in part]
        return [re.sub(r"\x1b\[[KJ]", "", part.partition("\x1b[J")[0]).split("\r\n") for part in drawn]

    def wait_for(self, text: str, seconds: float = 20) -> list[str]:
        """Reads until a frame holds `text`, and gives that frame."""
        return self.wait_for_frame(lambda frame: text in "\n".join(frame), repr(text), seconds)

    def wait_for_frame(
        self, is_wanted: Callable[[list[str]], bool], what: str = "that", seconds: float = 20
    ) -> list[str]:
        """Reads until a new frame is as wanted, and gives it."""
        deadline = time.monotonic() + seconds
        seen = len(self.frames())
        while True:
            for frame in self.frames()[seen:]:
                if is_wanted(frame):
                    return frame
            assert time.monotonic() < deadline, f"no frame with {what}:\n{self.output!r}"
            self._read(0.1)

    def ended(self, seconds: float = 20) -> int:
        """Its exit status, when it has ended and all is read."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it has not ended: {self.output[-300:]!r}"
            self._read(0.05)
        while self._read(0):
            pass
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        if not select.select([self._controller], [], [], seconds)[0]:
            return False
        self.output += os.read(self._controller, 65536).decode()
        return True


@contextlib.contextmanager
def pseudo_terminal(
    command: Sequence[str],
    *,
    columns: int = 80,
    lines: int = 24,
    environment: Mapping[str, str] | None = None,
) -> Iterator[PseudoTerminal]:
    """Starts the command, in a terminal that knows colours; killed if it has not ended at the end."""
    controller, terminal = pty.openpty()
    try:
        _set_size(terminal, columns, lines)
        inherited = {
            name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")
        }
        with subprocess.Popen(
            [sys.executable, "-c", _IN_CONTROL, *command],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**inherited, "TERM": "xterm-256color", **(environment or {})},
            start_new_session=True,
        ) as process:
            try:
                yield PseudoTerminal(process, controller, terminal)
            finally:
                process.kill()
    finally:
        os.close(controller)
        os.close(terminal)


def _set_size(terminal: int, columns: int, lines: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

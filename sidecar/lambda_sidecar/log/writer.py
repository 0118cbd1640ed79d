"""Writes the log's lines to standard error without making anybody wait: a bounded queue, and a thread.

Knows logging's handlers and a descriptor; nothing of a line's form (format.py) or content."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from lambda_sidecar.text.safe_text import visible

# The lines that wait while nobody reads: some minutes of a call that fails every 20 ms, and 4 MB at most.
LINES_MAX = 10_000
BYTES_MAX = 4 * 1024 * 1024
# journald takes lines of 48 KB (LineMax=, journald.conf(5)); stacks are shorter.
LINE_MAX = 32 * 1024
# As many lines as fit go out in one write: a pipe's capacity (pipe(7)).
WRITE_MAX = 64 * 1024
# How long the end of the process waits for a reader.
FLUSH_SECONDS = 1.0


class LogWriter(logging.Handler):
    """Formats a record where it is logged; a thread writes it and alone waits for the reader. A line for
    which there is no room is dropped and counted, and once there is room again, a line says how many."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor
        self.dropped = 0
        """Lines, since the start."""
        self._reported = 0  # of them, those that a line has reported
        self._lines: deque[bytes] = deque()
        self._writing = 0  # lines that are no longer there, but not written yet
        self._bytes = 0  # of both
        self._broken = False
        # A lock that its holder may take again: a destructor may print whenever memory is collected.
        self._changed = threading.Condition(threading.RLock())
        threading.Thread(target=self._write_for_ever, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.write_line(self.format(record))
        except Exception:  # as logging does it: a line that cannot be formatted ends nothing
            self.handleError(record)

    def write_line(self, line: str) -> None:
        """Takes it, without its line end, and returns at once."""
        data = line.encode(errors="backslashreplace")
        if len(data) > LINE_MAX:
            data = data[:LINE_MAX].decode(errors="ignore").encode() + b" (cut)"
        with self._changed:
            waiting = len(self._lines) + self._writing
            if waiting >= LINES_MAX or self._bytes + len(data) > BYTES_MAX:
                self.dropped += 1
                return
            self._report_dropped()
            self._put(data)

    def flush(self) -> None:
        """Waits until all is written, FLUSH_SECONDS at most. logging calls it when the process ends."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines and not self._writing, FLUSH_SECONDS)

    def _put(self, line: bytes) -> None:
        self._lines.append(line + b"\n")
        self._bytes += len(line) + 1
        self._changed.notify_all()

    def _report_dropped(self) -> None:
        """Puts one line in the place of those that were dropped."""
        count = self.dropped - self._reported
        if count == 0 or self._broken:
            return
        self._reported = self.dropped
        text = "%d log lines were dropped: standard error did not take them"
        level = logging.WARNING
        record = logging.LogRecord(__name__, level, __file__, 0, text, (count,), None)
        self._put(self.format(record).encode(errors="backslashreplace"))

    # ---- the thread ----

    def _write_for_ever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                lines = self._take()
            data = b"".join(lines)
            written = self._write(data)
            with self._changed:
                self._writing = 0
                self._bytes -= len(data)
                self._broken = not written
                if not written:
                    self.dropped += len(lines)
                elif not self._lines:
                    self._report_dropped()
                self._changed.notify_all()

    def _take(self) -> list[bytes]:
        """Takes the oldest lines from the queue. Until they are written, they count as waiting."""
        lines = [self._lines.popleft()]
        size = len(lines[0])
        while self._lines and size + len(self._lines[0]) <= WRITE_MAX:
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        self._writing = len(lines)
        return lines

    def _write(self, data: bytes) -> bool:
        """Waits for the reader, however long that takes; False if there is none any more."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self.descriptor, left) :]
            except BlockingIOError:  # somebody who shares it made it so
                with contextlib.suppress(OSError):
                    select.select([], [self.descriptor], [], 1.0)
            except OSError:
                time.sleep(0.01)  # a reader that has gone: lines go the same way, without haste
                return False
        return True


class LogStream(io.TextIOBase):
    """Takes the place of sys.stderr: whatever Python itself prints (warnings, errors in destructors) goes the
    same way, because that must not make anybody wait either."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, writer: LogWriter, descriptor: int, form: Callable[[str], str] = str) -> None:
        """`form` is given each line, and makes it what is written."""
        self._writer = writer
        self._descriptor = descriptor
        self._form = form
        self._begun = ""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._writer.write_line(self._form(visible(line)))
        if len(self._begun) > LINE_MAX:
            self._writer.write_line(self._form(visible(self._begun)))
            self._begun = ""
        return len(text)

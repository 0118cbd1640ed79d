"""The lines that a worker prints, in the sidecar's log as they come, each behind its function's name.
Knows neither processes nor invocations; log_tail.py keeps what an answer carries."""

from __future__ import annotations

import logging

_logger = logging.getLogger(__name__)
_LINE_MAX = 8 * 1024  # bytes
# A chunk is what a pipe holds, 64 KiB: a traceback has tens of lines, and a worker that prints empty lines
# without end cannot hold the event loop.
_LINES_MAX = 500


class Output:
    """The output of one worker."""

    def __init__(self, function: str) -> None:
        self._function = function
        self._rest = b""  # the beginning of a line

    def write(self, chunk: bytes) -> None:
        """Logs the lines that end in this chunk."""
        # awslambdaric separates the lines of one message by a carriage return (bootstrap.py).
        *lines, self._rest = (self._rest + chunk.replace(b"\r", b"\n")).split(b"\n")
        for line in lines[:_LINES_MAX]:
            self._log(line)
        if len(lines) > _LINES_MAX:
            _logger.warning("%s: %d more lines at once", self._function, len(lines) - _LINES_MAX)
        if len(self._rest) > _LINE_MAX:
            self.flush()

    def flush(self) -> None:
        """Logs a line that has not ended."""
        rest, self._rest = self._rest, b""
        self._log(rest)

    def _log(self, line: bytes) -> None:
        # awslambdaric indents a traceback by no-break spaces (bootstrap.py), which the log would write out.
        text = line[:_LINE_MAX].decode(errors="replace").replace("\u00a0", " ").rstrip()
        if text:
            _logger.info("%s: %s%s", self._function, text, " …" if len(line) > _LINE_MAX else "")

"""systemd's journal as the reader of standard error: it takes the priority of a line from its beginning.

Knows sd-daemon(3) and systemd.exec(5); nothing of what a line says."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping

# sd-daemon(3): syslog's numbers, in angle brackets, in front of each line.
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7
_MARK = re.compile("<[0-7]>")


def is_journal(descriptor: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the journal reads what is written there. systemd.exec(5), $JOURNAL_STREAM: "the device and
    inode numbers are formatted in their decimal values, separated by a colon"; somebody may have redirected
    it."""
    try:
        status = os.fstat(descriptor)
    except OSError:  # closed
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def mark(level: int) -> str:
    """What begins a line of that level, one of logging's."""
    return f"<{next((priority for least, priority in _PRIORITIES if level >= least), _DEBUG)}>"


def marked(line: str) -> str:
    """A line of nobody's record, as it is where it begins with a priority already; otherwise a warning."""
    return line if _MARK.match(line) else mark(logging.WARNING) + line


class JournalFormatter(logging.Formatter):
    """Another formatter's lines, each with its record's priority."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        begin = mark(record.levelno)
        return begin + self._formatter.format(record).replace("\n", f"\n{begin}")

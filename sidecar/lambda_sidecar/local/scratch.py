"""The folder that holds the workers' private folders: removed at stop or, after a kill, by the next owner.
Knows nothing of workers."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from pathlib import Path

_logger = logging.getLogger(__name__)
_PREFIX = "lambda-sidecar-local-"


class Scratch:
    """A folder under the system's temporary folder, locked for as long as its owner lives."""

    def __init__(self) -> None:
        """Raises OSError."""
        _remove_abandoned()
        while True:
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            lock = _lock(self.folder)
            if lock is not None:
                self._lock = lock
                return
            # Another local Lambda starts at this moment and takes this one for abandoned.

    def remove(self) -> None:
        """Removes it with all that is in it."""
        shutil.rmtree(self.folder, onerror=_not_removed)
        os.close(self._lock)


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        try:
            lock = _lock(folder) if folder.stat().st_uid == os.getuid() else None
        except OSError as error:
            _logger.debug("%s: %s", folder, error)
            continue
        if lock is not None:
            shutil.rmtree(folder, onerror=_not_removed)
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock until it is closed; None if someone else has it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _not_removed(_function: object, path: str, _error: object) -> None:
    _logger.warning("local Lambda: cannot remove %s", path)

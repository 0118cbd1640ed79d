"""The files of one function's folder, and whether any has changed since the last look.

Looks at names, sizes and times; must not know what a function is."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

# Each look compares so many files, those nearest to the top, and as many of the others in turn. So vendored
# packages (boto3 alone has some 3,000 files) slow no invocation down, and a change in them is seen some looks
# later.
LOOK_AT = 2_000

_Stat = tuple[int, int, int] | None


class Inventory:
    """One folder. Bytecode and hidden files do not count."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError where something cannot be read."""
        self._folder = str(folder)
        self._known: dict[str, _Stat] = {}
        self._place = LOOK_AT
        self._revision = ""
        self._walk()

    def revision(self) -> str:
        """A text that differs whenever a file was added, removed or written. Raises OSError."""
        if any(_stat(path) != self._known[path] for path in self._turn()):
            self._walk()
        return self._revision

    def _turn(self) -> Iterator[str]:
        first = islice(self._known, LOOK_AT)
        others = islice(self._known, self._place, self._place + LOOK_AT)
        self._place += LOOK_AT
        if self._place >= len(self._known):
            self._place = LOOK_AT
        return chain(first, others)

    def _walk(self) -> None:
        """Level by level: a function's own files come before those of what it vendors. Folders are looked at
        too, because one that gets or loses a file changes its time; the revision is of files alone."""
        self._known, self._place = {}, LOOK_AT
        digest = hashlib.blake2b(digest_size=16)
        folders = deque([self._folder])
        while folders:
            folder = folders.popleft()
            self._known[folder] = _stat(folder)
            for entry in _entries(folder):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    found = self._known[entry.path] = _stat(entry.path)
                    digest.update(f"{entry.path}\0{found}\n".encode(errors="surrogateescape"))
        self._revision = digest.hexdigest()


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = [
                entry for entry in entries if entry.name != "__pycache__" and not entry.name.startswith(".")
            ]
    except FileNotFoundError:  # removed while it was looked at
        return []
    return sorted(found, key=lambda entry: entry.name)


def _stat(path: str) -> _Stat:
    """None for a file that has gone, as while an editor replaces it: its next state is another revision."""
    try:
        found = os.stat(path)  # noqa: PTH116  a Path for each of thousands of files would cost as much again
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_mode

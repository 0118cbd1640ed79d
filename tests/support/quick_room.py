"""What the tests of the quick room, tests/pure/, may not do: start a process, or have a server's fixture.

Knows how Python starts processes, and the names of those fixtures; nothing of what is tested."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator

import pytest

# Those of tests/conftest.py; test_quick_room.py holds that none is missing.
SERVERS = frozenset(
    ("every_stack", "library", "library_of_8_4", "moto_url", "mysql_home", "shared_stack", "stack")
)
# Python's audit events, https://docs.python.org/3/library/audit_events.html
_STARTS = frozenset(
    ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen")
)


class ProcessRefused(RuntimeError):
    """A test of the quick room has tried to start one."""


class _Room:
    """What was tried since the test began; None while no test of this room runs."""

    tried: list[str] | None = None


def _refuse(event: str, _arguments: tuple[object, ...]) -> None:
    if event in _STARTS and _Room.tried is not None:
        _Room.tried.append(event)
        raise ProcessRefused(event)


sys.addaudithook(_refuse)  # there is no way to take one out again


@contextlib.contextmanager
def refused_processes() -> Iterator[list[str]]:
    """While it lasts, whoever starts one gets ProcessRefused, and the list an entry."""
    _Room.tried = []
    try:
        yield _Room.tried
    finally:
        _Room.tried = None


def refuse_servers(test: str, fixtures: Iterable[str]) -> None:
    """Raises UsageError."""
    if servers := SERVERS.intersection(fixtures):
        raise pytest.UsageError(f"{test}: the quick room has no server: {', '.join(sorted(servers))}")

"""The law of the quick room: no test in it starts a process, or has a fixture that starts a server.

Knows where the room is, and what in it takes long; tests/support/quick_room.py knows what is forbidden."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from tests.support.quick_room import refuse_servers, refused_processes

_read_json = JSONFileLoader.load_file


@functools.cache
def _read_json_once(path: str) -> Any:
    return _read_json(JSONFileLoader(), path)


@pytest.fixture(scope="module", autouse=True)
def _the_sdks_data_are_read_once() -> Iterator[None]:
    """Each session of botocore parses its megabytes of JSON anew: a third of this room's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _loader, path: _read_json_once(path))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`items` are those of all rooms."""
    for item in items:
        if Path(__file__).parent in item.path.parents and isinstance(item, pytest.Function):
            refuse_servers(item.nodeid, item.fixturenames)


@pytest.fixture(autouse=True)
def tried_processes() -> Iterator[list[str]]:
    """What was refused. A test fails that leaves something in it, though it may have caught the error."""
    with refused_processes() as tried:
        yield tried
    assert tried == [], "a test of the quick room starts no process"

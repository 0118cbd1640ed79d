"""Fixtures for the tests of the kit.

Knows nothing of what the kit starts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, for the sake of Unix sockets, and removed with the 90 MB that a server's data take."""
    with tempfile.TemporaryDirectory(prefix="kit-") as name:
        yield Path(name)

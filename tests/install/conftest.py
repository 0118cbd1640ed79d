"""Fixtures for the tests of install and uninstall: a server of one's own, and the library installed on it.

Knows nothing of what install does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.installation import Bare, installed, start_bare
from tests.support.stack import Library


@pytest.fixture(scope="module")
def server(library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    with start_bare(mysql_home, tmp_path_factory.mktemp(f"old-{library.value}"), library) as bare:
        bare.query("CREATE USER app@'%'")
        yield bare


@pytest.fixture
def bare(server: Bare) -> Iterator[Bare]:
    """With the library installed."""
    with installed(server):
        yield server

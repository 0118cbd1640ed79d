"""Fixtures for the tests of SQL statements.

Knows nothing of a single feature."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.component import installed_component
from tests.support.stack import Stack


@pytest.fixture
def component(stack: Stack) -> Iterator[Stack]:
    """The stack with the component installed; afterwards it is gone, with what was granted and persisted."""
    with installed_component(stack):
        yield stack

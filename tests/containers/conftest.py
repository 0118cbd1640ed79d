"""Fixtures of the container tests: the images, built once, and an engine to run them.

Knows nothing of what is in them. Without a Docker Engine only test_engine.py stays, which says so in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# The reaper is one more image. What tests start they remove themselves; `images` looks whether they did.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"

from tests.support.containers import LABELS, build_images, leftovers, why_no_engine

_NEED_ONE = ["compose", "container_habits", "container_kit", "development", "images"]
collect_ignore = [f"test_{name}.py" for name in _NEED_ONE] if why_no_engine() else []


@pytest.fixture(scope="session")
def images() -> Iterator[None]:
    """lambda-udf/mysql, lambda-udf/sidecar and lambda-udf/development of this checkout."""
    build_images()
    yield
    ((name, value),) = LABELS.items()
    assert leftovers(f"{name}={value}") == []

"""Fixtures of the container tests: the images, built once, and an engine to run them.

Where no Docker Engine answers, everything that asks for the images is left out, which pytest says in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# The reaper is one more image. What tests start they remove themselves; `images` looks whether they did.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"

from tests.support.containers import LABELS, build_images, leftovers, why_no_engine


@pytest.fixture(scope="session")
def images() -> Iterator[None]:
    """lambda-udf/mysql and lambda-udf/sidecar of this checkout."""
    if reason := why_no_engine():
        pytest.skip(f"container tests are left out: {reason}")
    build_images()
    yield
    ((name, value),) = LABELS.items()
    assert leftovers(f"{name}={value}") == []

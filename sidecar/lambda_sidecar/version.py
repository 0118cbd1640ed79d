"""The version of the package that runs: what a package manager says of it.

Knows nothing of what has a version."""

from __future__ import annotations

import functools
import importlib.metadata


@functools.cache
def version() -> str:
    """Raises importlib.metadata.PackageNotFoundError in a source tree that was never installed."""
    return importlib.metadata.version("lambda-udf")

"""The sidecar's source, parsed once, for tests of what may stand where in it.

Knows Python's grammar; nothing of what is allowed."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from tests.support.checkout import ROOT

PACKAGE = ROOT / "sidecar/lambda_sidecar"


@functools.cache
def modules() -> tuple[tuple[Path, ast.Module], ...]:
    """Each with its path in the package."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return tuple((path.relative_to(PACKAGE), ast.parse(path.read_text())) for path in paths)


@functools.cache
def imports() -> dict[Path, tuple[str, ...]]:
    """What each module imports, by whole names, also within functions."""
    return {path: tuple(_imported(tree)) for path, tree in modules()}


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)

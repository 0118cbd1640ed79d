"""npm's mysql2, driven by mysql2_client.cjs.

Knows the program's two documents; asserts nothing about the answers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.npm import installed, node

VERSION = "3.24.6"
_PROGRAM = Path(__file__).with_suffix(".cjs")

Statement = str | tuple[str, Sequence[Any]]


def install() -> Path:
    """The folder of the module. Raises NoPackage."""
    return installed("mysql2", VERSION) / "node_modules" / "mysql2"


def run(module: Path, socket: Path, statements: Sequence[Statement]) -> list[list[dict[str, Any]]]:
    """Runs the statements in one connection; the rows of each, as mysql2 gives them. One with parameters is
    prepared. Fails with node's own words."""
    document = {
        "module": str(module),
        "socket": str(socket),
        "statements": [
            {"sql": s} if isinstance(s, str) else {"sql": s[0], "parameters": list(s[1])} for s in statements
        ],
    }
    done = subprocess.run(
        [node(), _PROGRAM],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    results: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return results

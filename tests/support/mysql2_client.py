"""npm's mysql2, installed once into the project's cache and driven by mysql2_client.cjs.

Knows npm and the program's two documents; asserts nothing about the answers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambda_sidecar.testing.datadir import cache_folder

VERSION = "3.24.6"
_PROGRAM = Path(__file__).with_suffix(".cjs")
_INSTALL_SECONDS = 120

Statement = str | tuple[str, Sequence[Any]]


class NoMysql2(Exception):
    """There is no node, no npm, or no registry in reach; says which."""


def install() -> Path:
    """The folder of the module. Raises NoMysql2."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        raise NoMysql2(f"{' and '.join(missing)} not found")
    folder = cache_folder() / f"mysql2-{VERSION}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            _install_into(Path(temporary))
            with contextlib.suppress(OSError):  # another process was first: the folder is not empty
                Path(temporary, "installed").rename(folder)
    module = folder / "node_modules" / "mysql2"
    if not module.is_dir():
        raise NoMysql2(f"{folder} holds no mysql2")
    return module


def _install_into(temporary: Path) -> None:
    prefix = temporary / "installed"
    prefix.mkdir()
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        done = subprocess.run(
            [*command, "--prefix", prefix, f"mysql2@{VERSION}"],
            env={**os.environ, "npm_config_cache": str(temporary / "npm-cache")},
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise NoMysql2(f"npm did not install mysql2 within {_INSTALL_SECONDS} s") from None
    if done.returncode or not (prefix / "node_modules" / "mysql2").is_dir():
        lines = (done.stderr + done.stdout).strip().splitlines() or ["no reason given"]
        raise NoMysql2(f"npm could not install mysql2: {lines[0]}")


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
        ["node", _PROGRAM],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    results: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return results

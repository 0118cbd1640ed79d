"""Packages from npm's registry, each installed once into the project's cache.

Knows npm alone, and nothing of the packages. What packages would compile is not compiled."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lambda_sidecar.testing.datadir import cache_folder

_INSTALL_SECONDS = 120


class NoPackage(Exception):
    """There is no node, no npm, or no registry in reach; says which."""


def installed(package: str, version: str) -> Path:
    """The folder whose `node_modules` holds it. Raises NoPackage."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        raise NoPackage(f"{' and '.join(missing)} not found")
    folder = cache_folder() / f"{package}-{version}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            _install_into(Path(temporary), package, version)
            with contextlib.suppress(OSError):  # another process was first: the folder is not empty
                Path(temporary, "installed").rename(folder)
    if not (folder / "node_modules" / package).is_dir():
        raise NoPackage(f"{folder} holds no {package}")
    return folder


def _install_into(temporary: Path, package: str, version: str) -> None:
    prefix = temporary / "installed"
    prefix.mkdir()
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        done = subprocess.run(
            [*command, "--prefix", prefix, f"{package}@{version}"],
            env={**os.environ, "npm_config_cache": str(temporary / "npm-cache")},
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise NoPackage(f"npm did not install {package} within {_INSTALL_SECONDS} s") from None
    if done.returncode or not (prefix / "node_modules" / package).is_dir():
        lines = (done.stderr + done.stdout).strip().splitlines() or ["no reason given"]
        raise NoPackage(f"npm could not install {package}: {lines[0]}")

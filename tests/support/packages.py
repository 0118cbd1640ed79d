"""The .deb and .rpm of both architectures, and the library and C tests of the other one: built once, for every test.

Knows make's targets and what they take; nothing of what is in a package."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import release_number
from tests.support import wheel
from tests.support.checkout import ROOT

BUILD = ROOT / "build"
NATIVE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
OTHER = {"amd64": "arm64", "arm64": "amd64"}[NATIVE]
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# Debian's names: of the compilers, and of what runs the other architecture's programs.
COMPILER = {"amd64": "x86_64-linux-gnu-gcc", "arm64": "aarch64-linux-gnu-gcc"}
QEMU = {"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"}


def why_no_other() -> str:
    """Why the other architecture's library cannot be built here; empty if it can."""
    missing = [name for name in (COMPILER[OTHER], "mmdebstrap") if shutil.which(name) is None]
    if missing:
        return f"needs {', '.join(missing)} (packaging/debian/install-packages.sh cross-{OTHER})"
    return "" if os.geteuid() == 0 else "needs root, to unpack that architecture's libraries"


def make(target: str, *variables: str) -> str:
    """make's output. It builds with this environment, and numbers what it builds as the checkout does."""
    done = subprocess.run(
        ["make", "--no-print-directory", target, f"VENV={sys.prefix}", *variables],
        cwd=ROOT,
        env={**os.environ, release_number.VARIABLE: release_number.release()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@cache
def packages() -> Path:
    """What `make packages` makes, in a folder of the tests' own; made anew when something has changed."""
    folder, kept = BUILD / "packages/dist", BUILD / "packages/tested"
    with _alone():
        made = f"{release_number.release()} {wheel.fingerprint(_inputs())}"
        if not kept.exists() or kept.read_text() != made or len(list(folder.glob("lambda-udf*"))) != 4:
            make("packages", f"DIST={folder}")
            kept.write_text(made)
    return folder


def _inputs() -> list[Path]:
    own = [path for path in (ROOT / "packaging/packages").iterdir() if path.is_file()]
    documents = (
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / name for name in ("SECURITY.md", "CHANGELOG.md", "LICENSE")),
    )
    sources = [*(ROOT / "udf").glob("*.[ch]"), *documents, ROOT / "constraints.txt"]
    return sorted([*wheel.inputs(), *own, *sources])


def package(kind: str, architecture: str) -> Path:
    """One of the four."""
    name = architecture if kind == "deb" else MACHINES[architecture]
    (found,) = packages().glob(f"lambda-udf*{name}.{kind}")
    return found


def unpacked(architecture: str, folder: Path) -> Path:
    """The files of a .deb."""
    if not folder.exists():
        subprocess.run(["dpkg-deb", "-x", package("deb", architecture), folder], check=True)
    return folder


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """The test processes of pytest-xdist take turns."""
    with (BUILD / ".packages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

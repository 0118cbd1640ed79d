"""The wheel and the sdist, and environments that have nothing else: made once, kept in build/ between runs.

Knows what a wheel is made of; nothing of what is in one."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import release_number
from tests.support.checkout import ROOT

BUILD = ROOT / "build"
# Python's own variables and a proxy for packages pass; what points into the checkout does not.
_NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def run(
    command: Sequence[str | Path], *, cwd: Path, seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """A command outside the checkout's environment; its output is one text. A build has the checkout's release
    number, also where nothing tells one (a shallow clone): tests/test_release_number.py looks at that."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={
            **{name: value for name, value in os.environ.items() if name not in _NOT_INHERITED},
            release_number.VARIABLE: release_number.release(),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )


def wheel() -> Path:
    """The wheel of the checkout as it is now."""
    with _alone():
        folder = BUILD / "wheels" / f"{release_number.release()}-{fingerprint(inputs())}"
        if not folder.is_dir():
            shutil.rmtree(folder.parent, ignore_errors=True)
            new = folder.with_name("new")
            command: list[str | Path] = ["wheel", "-q", "--no-build-isolation", "--no-deps", "-w", new, ROOT]
            _must(run([sys.executable, "-m", "pip", *command], cwd=ROOT))
            new.rename(folder)
        (made,) = folder.glob("*.whl")
        return made


def environment(extra: str = "", constraints: Path = ROOT / "constraints.txt") -> Path:
    """bin/ of a virtual environment with the wheel, its dependencies and those of `extra`, and pip."""
    made = wheel()
    with _alone():
        folder = BUILD / f"environment-{constraints.stem}{extra and '-'}{extra}"
        dependencies = fingerprint([ROOT / "pyproject.toml", constraints])
        dependencies += f" {sys.executable} {sys.hexversion:x}"
        ready = folder / "ready"
        kept = ready.read_text().splitlines() if ready.exists() else []
        if kept == [dependencies, str(made)]:
            return folder / "bin"
        ready.unlink(missing_ok=True)
        pip: list[str | Path] = [folder / "bin/pip", "-q", "--disable-pip-version-check", "install"]
        if kept[:1] != [dependencies]:
            _must(run([sys.executable, "-m", "venv", "--clear", folder], cwd=BUILD))
            what = f"{made}[{extra}]" if extra else str(made)
            _must(run([*pip, "-c", constraints, what], cwd=BUILD))
        else:
            _must(run([*pip, "--no-deps", "--force-reinstall", made], cwd=BUILD))
        ready.write_text(f"{dependencies}\n{made}\n")
        return folder / "bin"


def sdist(folder: Path) -> Path:
    """The sdist, as the build backend makes it."""
    script = f"import lambda_udf_build; lambda_udf_build.build_sdist({str(folder)!r})"
    _must(backend(script))
    (made,) = folder.glob("*.tar.gz")
    return made


def backend(script: str) -> subprocess.CompletedProcess[str]:
    """Python that can import the build backend, run as pip runs it: in the checkout."""
    path = f"import sys; sys.path.insert(0, {str(ROOT / 'packaging/wheel')!r}); "
    return run([sys.executable, "-c", path + script], cwd=ROOT)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """The test processes of pytest-xdist take turns."""
    with (BUILD / ".wheels.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def inputs() -> list[Path]:
    """The files that a wheel is made of."""
    packaging = ("wheel", "systemd", "apparmor", "grafana", "prometheus")
    names = ("sidecar", "udf/sql", *(f"packaging/{name}" for name in packaging))
    folders = [path for name in names for path in (ROOT / name).rglob("*")]
    made_by_tools = ("__pycache__", ".egg-info")
    files = [
        path for path in folders if path.is_file() and not any(mark in str(path) for mark in made_by_tools)
    ]
    return [ROOT / "pyproject.toml", ROOT / "README.md", BUILD / "lambda_udf.so", *sorted(files)]


def fingerprint(files: Sequence[Path]) -> str:
    """Another one if a file is."""
    digest = hashlib.sha256()
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file.name
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()[:20]


def _must(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout

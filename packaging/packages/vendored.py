"""What the sidecar imports of other distributions, for every Python that the packages serve, in one folder.

Knows wheels; nothing of .deb and .rpm. Extension modules carry their Python's name (`….cpython-312-…so`), so
those of several Pythons lie side by side; all else of a distribution is the same in each of its wheels."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parents[2]
# The launcher looks for these: Debian 12 and 13, Ubuntu 24.04 and 26.04, Enterprise Linux 9 and 10.
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# The library needs glibc 2.34, so wheels for an older one will do (PEP 600, and the names from before it).
_GLIBC_MINORS = range(34, 16, -1)
# Connector/Python's own wheels bring 39 MB of C that is not used here: sessions are those of its Python part.
_PURE = frozenset({"mysql-connector-python"})
# Whom the SDK asks for credentials, and Lambda itself. The data of all services are 30 MB.
SERVICES = frozenset({"lambda", "sts", "sso", "sso-oidc", "signin"})
# Of a wheel, what only compilers and pip want.
_LEFT_OUT = (".pyx", ".pxd", ".pxi", ".c", ".cc", ".cpp", ".h", ".pyi")
_OF_PIP = ("RECORD", "WHEEL", "INSTALLER", "REQUESTED", "direct_url.json")


class Conflict(Exception):
    """Two wheels have different files of one name."""


def pins() -> dict[str, str]:
    """Every distribution that the sidecar needs on one of these Pythons, by its name, with constraints.txt's
    version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    versions = {
        canonicalize_name(line.split("==")[0]): line.split("==")[1]
        for line in lines
        if "==" in line and not line.startswith("#")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, str] = {}
    waiting = [Requirement(text) for text in project["dependencies"]]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in found and _is_needed(requirement):
            found[name] = versions[name]
            waiting += [Requirement(text) for text in importlib.metadata.requires(name) or ()]
    return found


def _is_needed(requirement: Requirement) -> bool:
    if requirement.marker is None:
        return True
    environments = (
        {"python_version": python, "python_full_version": f"{python}.0", "extra": ""} for python in PYTHONS
    )
    return any(requirement.marker.evaluate(environment) for environment in environments)


def fetch(architecture: str, folder: Path) -> list[Path]:
    """The wheels of `architecture` for every Python, in `folder`; if all are there, nothing is fetched."""
    wanted = pins()
    pure = [f"{name}=={version}" for name, version in wanted.items() if name in _PURE]
    others = [f"{name}=={version}" for name, version in wanted.items() if name not in _PURE]
    glibc = [f"manylinux_2_{minor}_{MACHINES[architecture]}" for minor in _GLIBC_MINORS]
    older = [f"{name}_{MACHINES[architecture]}" for name in ("manylinux2014", "manylinux2010", "manylinux1")]
    complete = folder / "complete"
    asked = "\n".join([*PYTHONS, *pure, *others])
    if not complete.exists() or complete.read_text(encoding="utf-8") != asked:
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(len(PYTHONS)) as threads:
            tasks = [
                threads.submit(_download, others, [*glibc, *older], python, folder) for python in PYTHONS
            ]
            tasks.append(threads.submit(_download, pure, ["any"], PYTHONS[0], folder))
            for task in tasks:
                task.result()
        complete.write_text(asked, encoding="utf-8")
    return sorted(path for path in folder.glob("*.whl") if _is_pinned(path, wanted))


def _is_pinned(wheel: Path, wanted: dict[str, str]) -> bool:
    name, version, _, _ = parse_wheel_filename(wheel.name)
    return wanted.get(name) == str(version)


def _download(requirements: list[str], platforms: list[str], python: str, folder: Path) -> None:
    options = ["--only-binary=:all:", "--no-deps", "--implementation=cp", f"--python-version={python}"]
    options += [f"--platform={platform}" for platform in platforms]
    command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", *options]
    subprocess.run([*command, f"--dest={folder}", *requirements], check=True)  # noqa: S603


def unpack(wheels: Iterable[Path], folder: Path) -> None:
    """Lays the wheels' modules out in `folder`. Raises Conflict."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if (place := _place(name)) is not None:
                    _write(folder / place, archive.read(name), wheel)


def _place(name: str) -> PurePosixPath | None:
    """Where a wheel's file goes; None if it is not for here."""
    path = PurePosixPath(name)
    if name.endswith("/") or path.suffix in _LEFT_OUT:
        return None
    if path.parts[:2] == ("botocore", "data") and len(path.parts) > 3 and path.parts[2] not in SERVICES:
        return None
    if path.parts[0].endswith(".dist-info") and path.name in _OF_PIP:
        return None
    if path.parts[0].endswith(".data"):  # PEP 427
        return PurePosixPath(*path.parts[2:]) if path.parts[1] in ("purelib", "platlib") else None
    return path


def _write(path: Path, content: bytes, wheel: Path) -> None:
    if path.suffix == ".py" and content.startswith(b"#!"):  # of a module that nobody runs as a program
        content = b"# " + content[2:]
    if path.exists():
        # Of the metadata, only what lists or describes the extension modules differs.
        if path.read_bytes() != content and not path.parts[-2].endswith(".dist-info"):
            raise Conflict(f"{path} is another one in {wheel.name}")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def licences(folder: Path) -> str:
    """One line for each distribution that lies in `folder`: name, version, licence as its metadata has it."""
    lines = []
    for distribution in importlib.metadata.distributions(path=[str(folder)]):
        metadata = distribution.metadata
        classified = [text for text in metadata.get_all("Classifier", []) if text.startswith("License ::")]
        short = (metadata["License"] or "").strip()
        names = [short] if short and "\n" not in short else []
        names += [re.sub(r".*:: ", "", text) for text in classified]
        licence = metadata["License-Expression"] or "; ".join(names) or "see its files"
        lines.append(f"{metadata['Name']} {metadata['Version']}: {licence}\n")
    return "".join(sorted(lines, key=str.lower))

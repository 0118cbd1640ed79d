"""How pip and `make wheel` build lambda-udf: setuptools, with the library and install.sql in the wheel.

Knows what belongs into a distribution and on which platform; how the library is made is udf/Makefile's.
The setting library=none (`pip wheel --config-settings library=none`) leaves the library out: for every
system and the sidecar's image. library=FILE takes another one, whose architecture is then the wheel's."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import release_number
from setuptools import build_meta
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

# Looked up by pip (PEP 517, PEP 660).
from setuptools.build_meta import (  # noqa: F401  isort: skip
    build_editable,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
)

Settings = Mapping[str, Any] | None

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "build/lambda_udf.so"
SQL = ROOT / "udf/sql"
# elf(5), e_machine: at the 18th byte of a file, in the file's own order of bytes.
MACHINES = {62: "x86_64", 183: "aarch64"}
PROTOS = ROOT / "protos"
# setuptools' own default, build/, holds the library and more; what it finds there of an earlier run it packs.
BUILD_BASE = ROOT / "build/wheel"
HOW = "install a wheel of it, or make one on such a machine: `make wheel` in a checkout (README.md)"


def missing(settings: Settings) -> str | None:
    """Why no wheel can be built here, as one sentence; None if one can."""
    needed = [] if _is_pure(settings) else [(_library(settings), "library")]
    needed += [(path, "generated contract") for path in _contract()] + [(SQL, "SQL")]
    if not _is_pure(settings) and not sys.platform.startswith("linux"):
        return (
            f"lambda-udf's library is for Linux, this is {sys.platform}: install the wheel without it, "
            f"lambda_udf-…-py3-none-any.whl, which `make wheel` builds too"
        )
    for path, made in needed:
        if not path.exists():
            return f"lambda-udf cannot be built from here, its {made} is not there: {HOW}"
    # The image's build has no git; its number informs only, and upgrades nothing.
    return None if _is_pure(settings) else _unnumbered()


def _unnumbered() -> str | None:
    """Why no distribution can be made here that would upgrade an older one; None if one can."""
    try:
        release_number.known()
    except release_number.Unknown as reason:
        return (
            f"lambda-udf's release number is the number of its commits, and {reason}; "
            f"{release_number.VARIABLE}={release_number.SERIES}.<number> gives one"
        )
    return None


def _contract() -> list[Path]:
    """The files that `make build` generates from each file of protos/."""
    modules = [proto.relative_to(PROTOS).with_suffix("") for proto in PROTOS.rglob("*.proto")]
    return [ROOT / "sidecar" / module.with_name(f"{module.name}_pb2.py") for module in modules]


def _is_pure(settings: Settings) -> bool:
    return (settings or {}).get("library") == "none"


def _library(settings: Settings) -> Path:
    """The library that the wheel gets, if it gets one."""
    return Path((settings or {}).get("library", LIBRARY)).absolute()


def _prepare(settings: Settings) -> None:
    """Ends pip's build with one line where it cannot be; tells the commands below what is wanted."""
    if (reason := missing(settings)) is not None:
        sys.exit(f"error: {reason}")
    BuildPy.library = None if _is_pure(settings) else _library(settings)


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Settings = None) -> str:
    """The first that pip asks for: a machine that cannot build the wheel is told so here."""
    _prepare(config_settings)
    with _alone():
        name: str = build_meta.prepare_metadata_for_build_wheel(metadata_directory, config_settings)
    return name


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """The wheel of the library's platform, or of every one."""
    _prepare(config_settings)
    with _alone():
        shutil.rmtree(BUILD_BASE, ignore_errors=True)
        name: str = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    return name


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """The sdist, which pip finds where no wheel fits a machine. It says why, and carries its number."""
    if (reason := _unnumbered()) is not None:
        sys.exit(f"error: {reason}")
    with _alone():
        name: str = build_meta.build_sdist(sdist_directory, config_settings)
    return name


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """setuptools works in the checkout itself, so one build at a time."""
    import fcntl  # not everywhere, and where it is not there is nothing to build

    BUILD_BASE.parent.mkdir(exist_ok=True)
    with (BUILD_BASE.parent / ".wheel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Build(build):
    """Works in a folder of its own."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.build_base = str(BUILD_BASE)


class BuildPy(build_py):
    """The package's modules, and what lies elsewhere in a checkout. A checkout itself (an editable
    installation) uses those where they are, and may have none of them yet."""

    library: Path | None = LIBRARY

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib) / "lambda_sidecar"
        (package / "sql").mkdir(exist_ok=True)
        for script in SQL.glob("*.sql"):
            shutil.copyfile(script, package / "sql" / script.name)
        if self.library is not None:
            shutil.copyfile(self.library, package / LIBRARY.name)
            (package / LIBRARY.name).chmod(0o755)


class BdistWheel(bdist_wheel):
    """One wheel per platform, for every Python (the library is mysqld's); without it, one for all."""

    def finalize_options(self) -> None:
        # What setuptools asks about extension modules decides where a wheel's files belong.
        self.distribution.has_ext_modules = lambda: BuildPy.library is not None
        super().finalize_options()

    def get_tag(self) -> tuple[str, str, str]:
        if BuildPy.library is None:
            return "py3", "none", "any"
        if BuildPy.library.exists():
            return "py3", "none", _platform(BuildPy.library)
        return "py3", "none", super().get_tag()[2]  # an editable installation, before the first build


def _platform(library: Path) -> str:
    """`manylinux_2_34_x86_64` as PEP 600 has it: its machine, and the oldest glibc that loads it. pip
    then refuses the wheel on an older one, where mysqld would refuse the library."""
    content = library.read_bytes()
    machine = MACHINES.get(int.from_bytes(content[18:20], "little"))
    needed = re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)", content)
    if not content.startswith(b"\x7fELF") or machine is None or not needed:
        sys.exit(f"error: {library} is no library for glibc: nothing says where the wheel can be used")
    major, minor = max((int(major), int(minor)) for major, minor in needed)
    return f"manylinux_{major}_{minor}_{machine}"


class Sdist(sdist):
    """With the files of this folder: without them, pip could not even say why it cannot build."""

    def make_distribution(self) -> None:
        for file in (__file__, release_number.__file__):
            self.filelist.append(str(Path(file).relative_to(ROOT)))
        super().make_distribution()

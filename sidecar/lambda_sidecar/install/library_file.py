"""The file lambda_udf.so: where it comes from, and how it gets into plugin_dir and out again.

Knows the file system alone; must not know SQL."""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path

from lambda_sidecar.install import sql_script
from lambda_sidecar.install.errors import InstallError

NAME = "lambda_udf.so"
_PACKAGED = Path(__file__).parent.parent / NAME


def find(given: Path | None) -> Path:
    """The library to install: the one that is named, else the package's, else the checkout's build. Raises
    InstallError where there is none."""
    root = sql_script.checkout()
    if given is not None:
        library = given
    elif root is None or _PACKAGED.is_file():
        library = _PACKAGED
    else:
        library = root / "build" / NAME
    if not library.is_file():
        hint = "make build makes it" if root and given is None else "name it with --library FILE"
        raise InstallError(f"there is no library {library}; {hint}")
    return library.absolute()


def same(one: Path, other: Path) -> bool:
    """Whether both files are there and hold the same bytes."""
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def copy(library: Path, place: Path) -> None:
    """Puts the library at `place`, whole or not at all. Renames, because writing into a file that a running
    mysqld has mapped would crash it. Raises InstallError."""
    new = place.with_name(f".{place.name}.new")
    try:
        with library.open("rb") as source, new.open("wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fchmod(target.fileno(), 0o755)
            os.fsync(target.fileno())
        new.replace(place)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise InstallError(f"{library} could not be copied to {place}: {error.strerror}") from None
    _sync_folder(place.parent)


def remove(place: Path) -> None:
    """Removes the library if it is there. Raises InstallError."""
    try:
        place.unlink(missing_ok=True)
    except OSError as error:
        raise InstallError(f"{place} could not be removed: {error.strerror}") from None
    _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_loaded_from_replaced_file(pid_file: Path) -> bool:
    """Whether the mysqld of this machine has only a lambda_udf.so loaded that is no longer on disk: someone
    has replaced the file since. False where /proc does not show it (another user's process)."""
    try:
        pid = int(pid_file.read_text())
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except (OSError, ValueError):
        return False
    # proc(5): the path of a file that is gone ends in " (deleted)"
    mapped = [line.endswith(" (deleted)") for line in lines if f"/{NAME}" in line]
    return bool(mapped) and all(mapped)


def keep(place: Path) -> Path | None:
    """A second name for the file at `place`, so that it can come back by rename; None if there is none."""
    if not place.is_file():
        return None
    old = place.with_name(f".{place.name}.old")
    old.unlink(missing_ok=True)
    old.hardlink_to(place)
    return old


def is_same_file(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)

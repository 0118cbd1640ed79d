"""Finds an installed MySQL for the kit, and never takes MariaDB for one.

Knows where distributions and MySQL's own packages put mysqld; fetches nothing."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lambda_sidecar.testing.datadir import as_root
from lambda_sidecar.testing.process import ServerError

# The first with CREATE FUNCTION IF NOT EXISTS, which install.sql needs.
OLDEST = (8, 0, 29)
PLACES = (
    "/usr/local/mysql/bin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/usr/libexec",
)
_PROFILE = Path("/etc/apparmor.d/usr.sbin.mysqld")
_VERSION = re.compile(r" Ver (\d+)\.(\d+)\.(\d+)")
_SECONDS = 60


class NoMySqlError(ServerError):
    """There is no MySQL to run; the message says what to install."""


def mysql_home(folder: Path) -> Path:
    """A folder whose bin/ holds mysqld: the one that LAMBDA_UDF_MYSQL names, or `folder`, which gets a
    mysqld that starts the installed one. Raises NoMySqlError."""
    if named := os.environ.get("LAMBDA_UDF_MYSQL"):
        home = Path(named)
        if version(home / "bin/mysqld") is None:
            raise NoMySqlError(f"LAMBDA_UDF_MYSQL is {home}, but {home}/bin/mysqld is no MySQL that runs")
        return home
    _wrap(find(), folder)
    return folder


def find() -> Path:
    """The first mysqld of PATH and of PLACES that is new enough. Raises NoMySqlError."""
    others = []
    for program in _candidates():
        found = version(program)
        if found is not None and found >= OLDEST:
            return program
        what = "no MySQL" if found is None else f"MySQL {'.'.join(map(str, found))}"
        others.append(f"{program} is {what}")
    raise NoMySqlError(
        "lambda_sidecar.testing needs an installed MySQL server, "
        f"{'.'.join(map(str, OLDEST))} or newer (MariaDB will not do)"
        f"{': ' if others else ''}{'; '.join(others)}. Install MySQL's own package (mysql-community-server), "
        "or your distribution's mysql-server where that is MySQL; or name a folder whose bin/ holds mysqld "
        "in LAMBDA_UDF_MYSQL; or use MySqlLambdaContainer"
    )


def version(program: Path) -> tuple[int, ...] | None:
    """The version, as in (8, 4, 3); None for MariaDB, and for what does not say that it is a MySQL."""
    try:
        done = subprocess.run(
            [program, "--no-defaults", "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(done.stdout)
    if done.returncode or found is None or "mariadb" in done.stdout.lower():
        return None
    return tuple(map(int, found.groups()))


def _candidates() -> Iterator[Path]:
    folders = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    for folder in dict.fromkeys((*folders, *PLACES)):
        program = Path(folder) / "mysqld"
        if program.is_file() and os.access(program, os.X_OK):
            yield program


def _wrap(program: Path, folder: Path) -> None:
    """Makes bin/mysqld in `folder`, and a link to the server's own components where Mysqld looks for them."""
    wrapper = folder / "bin/mysqld"
    wrapper.parent.mkdir(parents=True)
    command = [*_loader(), str(program)]
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    wrapper.chmod(0o755)
    if (plugins := _plugin_dir(program)) is not None:
        link = folder / "root/usr/lib/mysql/plugin"
        link.parent.mkdir(parents=True)
        link.symlink_to(plugins)


def _loader() -> list[str]:
    """The dynamic loader, to be put before mysqld where a distribution confines mysqld to its own data
    (AppArmor): a program that the loader starts is not confined."""
    if not _PROFILE.exists():
        return []
    loaders = [*Path("/lib64").glob("ld-linux*.so.*"), *Path("/lib").glob("ld-linux*.so.*")]
    return [str(loader) for loader in loaders[:1]]


def _plugin_dir(program: Path) -> Path | None:
    done = subprocess.run(
        [program, "--no-defaults", *as_root(), "--verbose", "--help"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    found = re.search(r"^plugin-dir +(/\S+)", done.stdout, re.MULTILINE)
    return Path(found[1]) if found else None

"""Fresh data directories: initialised once per MySQL version into the cache folder, then copied.

Knows the mysqld program and its initialisation; not how a server is configured or run."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from lambda_sidecar.testing.process import ServerError, log_tail

# One set for making and running: the redo log's size and the page size belong to the files.
STORAGE_OPTIONS = (
    "--loose-innodb-redo-log-capacity=8M",  # not in MySQL before 8.0.30
    "--innodb-buffer-pool-size=64M",
    # These two give up safety against a machine that loses power; a killed mysqld loses nothing.
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=OFF",
    "--innodb-use-native-aio=OFF",  # fs.aio-max-nr is small and shared by every server of the machine
)
_INITIALIZE_SECONDS = 120


def cache_folder() -> Path:
    """The cache of data directories; a checkout's packaging/mysql/provide.sh unpacks MySQL there too."""
    if named := os.environ.get("LAMBDA_UDF_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lambda-udf"


@cache
def server_version(home: Path) -> str:
    """The version, as in `9.7.4-2 for Linux on x86_64 ((Debian))`. Raises ServerError."""
    done = subprocess.run(
        [home / "bin" / "mysqld", "--no-defaults", "--version"], capture_output=True, text=True, check=False
    )
    if done.returncode or " Ver " not in done.stdout:
        raise ServerError(f"{home}/bin/mysqld --version failed: {done.stdout}{done.stderr}".strip())
    return done.stdout.split(" Ver ", 1)[1].strip()


def as_root() -> tuple[str, ...]:
    """The option by which mysqld lets root run it."""
    return ("--user=root",) if os.geteuid() == 0 else ()


def create(home: Path, datadir: Path) -> None:
    """Make `datadir`, whole or not at all; its root@localhost has no password. Raises ServerError."""
    template = _template(home)
    datadir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".datadir.", dir=datadir.parent) as temporary:
        copy = Path(temporary) / "data"
        shutil.copytree(template, copy)
        copy.rename(datadir)


def _template(home: Path) -> Path:
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    template = folder / f"datadir-{re.sub(r'[^A-Za-z0-9.]+', '-', server_version(home)).strip('-')}"
    if template.is_dir():
        return template
    with (folder / ".datadir.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.is_dir():
            for left_over in folder.glob(".datadir.*.new"):  # of one who died: the lock is ours
                shutil.rmtree(left_over, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=".datadir.", suffix=".new", dir=folder) as temporary:
                _initialize(home, Path(temporary) / "data").rename(template)
    return template


def _initialize(home: Path, datadir: Path) -> Path:
    log = datadir.with_name("initialize.log")
    command = [str(home / "bin" / "mysqld"), "--no-defaults", "--initialize-insecure", f"--datadir={datadir}"]
    command += [*as_root(), *STORAGE_OPTIONS, "--secure-file-priv=NULL"]
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=_INITIALIZE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise ServerError(
                f"mysqld did not initialise within {late.timeout:.0f} s:\n{log_tail(log)}"
            ) from None
    if done.returncode:
        raise ServerError(f"mysqld could not initialise (status {done.returncode}):\n{log_tail(log)}")
    # Every server makes up its own server_uuid when it finds none.
    (datadir / "auto.cnf").unlink(missing_ok=True)
    return datadir

"""A disk of a few megabytes under one folder of a mysqld, which can be full for a while.

Knows mount namespaces: nobody but that mysqld sees the disk mounted. Knows nothing of what mysqld writes there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from lambda_sidecar.testing.mysqld import Mysqld

# Whoever is not root may mount where it is root: in a user namespace of its own, if the kernel gives it one.
_NAMESPACES = ("--mount",) if os.geteuid() == 0 else ("--user", "--map-root-user", "--mount")
# What is in the folder already is copied to the disk. The signal by which mysqld ends with the tests is lost on the
# way into a user namespace, and is asked for again.
_PROGRAM = """#!/bin/sh
[ -d '{folder}' ] || exec '{program}' "$@"
exec unshare {namespaces} -- sh -euc '
mkdir -p "$0.disk"
mount -t tmpfs -o size={megabytes}m,mode=0700 tmpfs "$0.disk"
cp -a "$0/." "$0.disk/"
mount --move "$0.disk" "$0"
exec setpriv --pdeathsig KILL "{program}" "$@"' '{folder}' "$@"
"""
# In this order: a page of tmpfs is what is left at last.
_PIECES = (1 << 20, 1 << 12)
_REFILL_SECONDS = 0.01
# mysys waits for a minute, by sixty sleeps of a second, each time that it finds no room for the binary log
# (mysys/errors.cc, wait_for_free_space).
_IMPATIENT = """
#include <time.h>
unsigned sleep(unsigned seconds) {
  struct timespec shorter = {0, seconds ? 20000000 : 0};
  nanosleep(&shorter, 0);
  return 0;
}
"""


def why_there_is_none() -> str:
    """Why this machine lets nobody mount one; empty if it does."""
    command = ["unshare", *_NAMESPACES, "--", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "needs util-linux"
    return "" if done.returncode == 0 else f"a file system cannot be mounted here: {done.stderr.strip()}"


class SmallDisk:
    """It is made when mysqld starts, in an existing `folder`; after mysqld's end nothing is left of it."""

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        self._folder = folder
        self._megabytes = megabytes

    def home(self, mysql_home: Path, directory: Path) -> Path:
        """That MySQL, as a folder whose mysqld has the disk; made in `directory`."""
        home = directory / "home"
        (home / "bin").mkdir(parents=True)
        if (mysql_home / "root").exists():
            (home / "root").symlink_to(mysql_home / "root")
        for program in (mysql_home / "bin").iterdir():
            (home / "bin" / program.name).symlink_to(program)
        mysqld = home / "bin" / "mysqld"
        mysqld.unlink()
        mysqld.write_text(
            _PROGRAM.format(
                program=mysql_home / "bin" / "mysqld",
                folder=self._folder,
                namespaces=" ".join(_NAMESPACES),
                megabytes=self._megabytes,
            )
        )
        mysqld.chmod(0o755)
        return home

    @contextlib.contextmanager
    def full(self, mysqld: Mysqld) -> Iterator[None]:
        """There is no room on it, nor will what mysqld frees be room for it; at the end there is as before."""
        filler = Path(f"/proc/{mysqld.pid}/root{self._folder}/filler")
        over = threading.Event()
        _fill(filler)
        refilling = threading.Thread(target=_keep_filled, args=(filler, over))
        refilling.start()
        try:
            yield
        finally:
            over.set()
            refilling.join()
            filler.unlink()


def impatient(directory: Path) -> dict[str, str]:
    """The environment of a mysqld that looks each second whether there is room for its binary log."""
    source, library = directory / "impatient.c", directory / "impatient.so"
    source.write_text(_IMPATIENT)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LAMBDA_UDF_PRELOAD": str(library)}


def _keep_filled(filler: Path, over: threading.Event) -> None:
    while not over.wait(_REFILL_SECONDS):
        _fill(filler)


def _fill(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file:
        for size in _PIECES:
            with contextlib.suppress(OSError):  # no space left on device
                while file.write(bytes(size)) == size:
                    pass

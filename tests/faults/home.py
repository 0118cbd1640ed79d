"""A MySQL whose mysqld may be refused a file, also where the tests run as root, and has a small disk.

Knows Linux' capabilities; nothing of what mysqld does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support import small_disk
from tests.support.small_disk import SmallDisk

# capabilities(7): by these two root may use files whatever their rights say.
_WITHOUT = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def may_not_be_refused() -> str:
    """Why mysqld could open any file here; empty if it can be refused one."""
    if os.geteuid() != 0:
        return ""
    try:
        done = subprocess.run([*_WITHOUT, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "needs util-linux"
    return "" if done.returncode == 0 else f"root keeps its capabilities here: {done.stderr.strip()}"


def faulty_home(mysql_home: Path, directory: Path) -> Path:
    """With a disk of 8 MB at `directory`/disk where one can be mounted."""
    home = mysql_home
    if not small_disk.why_there_is_none():
        home = SmallDisk(directory / "disk", megabytes=8).home(mysql_home, directory)
    if os.geteuid() != 0 or may_not_be_refused():
        return home
    bounded = directory / "bounded"
    (bounded / "bin").mkdir(parents=True)
    if (home / "root").exists():
        (bounded / "root").symlink_to(home / "root")
    for program in (home / "bin").iterdir():
        if program.name != "mysqld":
            (bounded / "bin" / program.name).symlink_to(program)
    mysqld = bounded / "bin" / "mysqld"
    mysqld.write_text(f'#!/bin/sh\nexec {" ".join(_WITHOUT)} "{home}/bin/mysqld" "$@"\n')
    mysqld.chmod(0o755)
    return bounded

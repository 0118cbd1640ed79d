"""A Debian 12 that has systemd and nothing else, booted as systemd_machine.py does, and a MySQL of which it knows nothing.

Knows the machine; nothing of what is installed on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.checkout import ROOT
from tests.support.systemd_machine import SystemdMachine

# What would run apt beside us.
_MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer")
MYSQL = "/opt/mysql"
_ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LC_ALL=C.UTF-8",
)


def debian_12(folder: Path) -> Path:
    """Its root file system, with this machine's mirror and network settings."""
    script = ROOT / "packaging/debian/root-file-system.sh"
    packages = "apt,ca-certificates,systemd,systemd-sysv"
    done = subprocess.run(
        [script, "bookworm", packages, folder], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in ("/etc/resolv.conf", "/etc/hosts"):
        (folder / name.strip("/")).write_bytes(Path(name).read_bytes())
    dumped = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    kept = [line for line in dumped.splitlines() if line.startswith(("Acquire::http", "Acquire::https"))]
    settings = [*kept, 'Acquire::Check-Valid-Until "false";']
    (folder / "etc/apt/apt.conf.d/99network").write_text("\n".join([*settings, ""]))
    units = folder / "etc/systemd/system"
    for name in _MASKED:
        (units / name).symlink_to("/dev/null")
    return folder


class BareDebian(SystemdMachine):
    """One machine in `directory`, a throw-away copy of `base`. `files` as there; `mounts` are read-only folders: here,
    there."""

    def __init__(self, directory: Path, base: Path, files: Mapping[str, str], mounts: Sequence[str]) -> None:
        super().__init__(directory, files)
        self._base = base
        self._mounted = tuple(mounts)

    def _write_own(self, files: Path) -> None:
        """It has units of its own."""
        files.mkdir()

    def _mounts(self) -> Sequence[str]:
        return self._mounted

    def _environment(self) -> dict[str, str]:
        return {"BASE": str(self._base)}

    def shell(self, command: str, seconds: float = 120) -> str:
        """A line as root types it there, and what it prints; the line must succeed."""
        done = self.run("env", "-i", *_ENVIRONMENT, "sh", "-ec", command, seconds=seconds)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def unpacked_mysql() -> Path:
    """MySQL with the libraries that it needs, whatever is installed here."""
    provided = subprocess.run(
        [ROOT / "packaging/mysql/provide.sh"],
        env={**os.environ, "LAMBDA_UDF_UNPACKED": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return Path(provided.stdout.strip())

"""A machine whose process 1 is a real systemd: namespaces of this one, with a throw-away root file system.

Knows how to boot it and to speak to it; nothing of what the service under test does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.checkout import ROOT
from tests.support.waiting import wait_until

from lambda_sidecar.testing.process import ServerError, ServerProcess
from lambda_sidecar.testing.server import Server

SYSTEMD = Path("/lib/systemd/systemd")
UNITS = "/etc/lambda-udf-test/units"
# What a service needs to be started by; copied, because nothing else of this machine may start.
OWN_UNITS = (
    *("basic.target", "sysinit.target", "local-fs.target", "sockets.target", "network.target"),
    *("shutdown.target", "umount.target", "final.target", "multi-user.target"),
    *("systemd-journald.service", "systemd-journald.socket"),
)
_BOOT_LOG = (
    ("systemctl", "is-system-running"),
    ("systemctl", "--no-pager", "--full", "status", "--state=failed"),
    ("systemctl", "--no-pager", "list-jobs"),
    ("journalctl", "--no-pager", "--quiet", "--boot", "--lines=300"),
)
_NAMESPACES = ("--mount", "--pid", "--cgroup", "--ipc", "--uts")
# The interpreter and the checkout may be where the unit forbids to look (/root, /home), so they are mounted here.
PYTHON, PACKAGES, SOURCE = "/opt/python", "/opt/lambda-udf/packages", "/opt/lambda-udf/source"
COMMAND = f"""#!/bin/sh
export LD_LIBRARY_PATH={PYTHON}/lib PYTHONPATH={SOURCE}:{PACKAGES} PYTHONDONTWRITEBYTECODE=1
exec {PYTHON}/bin/python{sys.version_info.major}.{sys.version_info.minor} -m lambda_sidecar.cli "$@"
"""


def why_not() -> str:
    """Why this machine cannot boot one; empty if it can."""
    if os.geteuid() != 0:
        return "needs root"
    if not SYSTEMD.exists() or shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "needs systemd and util-linux"
    tried = subprocess.run(
        ["unshare", *_NAMESPACES, "--fork", "mount", "--make-rprivate", "/"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode != 0:
        return f"no new namespaces here: {tried.stderr.strip()}"
    group = _own_control_group()
    return "" if group is not None and os.access(group, os.W_OK) else "no control group (v2) to write to"


def _own_control_group() -> Path | None:
    """This process's folder in the version 2 hierarchy, wherever that is mounted."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    mounted = next((Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"), None)
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    # A file system that is mounted read-only says so only when asked: os.access does.
    return mounted / own if mounted is not None and own is not None else None


class SystemdMachine(Server):
    """One machine in `directory`. `files` are written into its root file system: path and text. The command
    lambda-sidecar of this checkout is in /opt/lambda-udf/bin, as the unit expects it."""

    def __init__(self, directory: Path, files: Mapping[str, str]) -> None:
        super().__init__("systemd", directory, directory / "boot.log", ("boot-systemd", str(directory)))
        self._files = files
        group = _own_control_group()
        assert group is not None
        self._group = group / f"lambda-udf-test-{os.getpid()}"

    def _spawn(self) -> ServerProcess:
        root, files = self.directory / "root", self.directory / "files"
        root.mkdir(parents=True)
        self._write_own(files)
        for path, text in self._files.items():
            _write(files / path.strip("/"), text)
        self._group.mkdir()
        script = str(ROOT / "tests/support/boot-systemd.sh")
        return ServerProcess.spawn(
            [script, str(self._group), str(root), str(files), *self._mounts()],
            log=self.log,
            environment=self._environment(),
            dies_with_us=signal.SIGKILL,
        )

    def _write_own(self, files: Path) -> None:
        """The units that a service needs, and the command."""
        units = files / UNITS.strip("/")
        for name in OWN_UNITS:
            _write(units / name, (SYSTEMD.parent / "system" / name).read_text())
        wants = units / "sockets.target.wants"
        wants.mkdir()
        (wants / "systemd-journald.socket").symlink_to("../systemd-journald.socket")
        command = files / "opt/lambda-udf/bin/lambda-sidecar"
        _write(command, COMMAND)
        command.chmod(0o755)

    def _mounts(self) -> Sequence[str]:
        """Folders here, each followed by its place there."""
        return (
            sys.base_prefix,
            PYTHON,
            sysconfig.get_path("purelib"),
            PACKAGES,
            str(ROOT / "sidecar"),
            SOURCE,
        )

    def _environment(self) -> dict[str, str]:
        """Of boot-systemd.sh."""
        return {}

    @property
    def init(self) -> int:
        """Process 1 of the machine, by its number here; 0 while there is none."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def answers(self) -> bool:
        return self.init != 0 and self.systemctl("is-system-running").stdout.strip() == "running"

    def _wait_until_ready(self, deadline: float) -> None:
        """An error of a machine that does not come up has its boot log, for it is gone afterwards."""
        try:
            super()._wait_until_ready(deadline)
        except ServerError as error:
            raise ServerError(f"{error}\n{self.boot_log()}") from None

    def boot_log(self) -> str:
        """All that can be learnt of what has happened in it since it was booted: what booting it wrote here, its
        state, the units that failed, the jobs that wait, and its journal."""
        parts = {"boot.log": self.log_text()}
        if self.running and self.init != 0:
            for command in _BOOT_LOG:
                done = self.run(*command)
                parts[" ".join(command)] = done.stdout + done.stderr
        return "\n".join(f"---- {name}\n{text}" for name, text in parts.items())

    def stop(self, seconds: float = 0) -> None:
        """As if the power failed: nothing in it is worth a shutdown."""
        self.kill()
        if self._group.exists():
            events = self._group / "cgroup.events"
            wait_until(lambda: "populated 0" in events.read_text(), what="the machine's processes gone")
            for group in sorted(self._group.glob("**/"), reverse=True):
                group.rmdir()

    def path(self, path: str) -> Path:
        """A file of the machine, from here."""
        return Path(f"/proc/{self.init}/root{path}")

    def run(self, *command: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """A command in the machine, as root."""
        return subprocess.run(
            ["nsenter", f"--target={self.init}", *_NAMESPACES, "--", *command],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", *arguments)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.systemctl("show", f"--property={name}", "--value", unit).stdout.strip()

    def journal(self, unit: str, *arguments: str) -> str:
        return self.run("journalctl", "--no-pager", f"--unit={unit}", *arguments).stdout


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

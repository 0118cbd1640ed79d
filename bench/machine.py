"""The machine and the versions that a result belongs to.

Asks programs and /proc; knows nothing of what is measured."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from examples.checkout import mysql_home

from lambda_sidecar.testing.datadir import server_version

PACKAGES = ("grpcio", "aiohttp", "aiobotocore", "botocore", "boto3")


def about(arguments: Sequence[str], program: str = "bench.run") -> dict[str, str]:
    """The lines above the tables of RESULTS.md."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "command": shlex.join(["python", "-m", program, *arguments]),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores ({_processor()}), {_memory_gib()} GiB",
        "load average before": Path("/proc/loadavg").read_text().split()[0],
        "system": f"Linux {platform.release()}, {_distribution()}",
        "versions": ", ".join(
            [
                f"MySQL {server_version(mysql_home()).split()[0]}",
                f"Python {platform.python_version()}",
                *(f"{name} {version(name)}" for name in PACKAGES),
                f"nginx {_nginx_version()}",
            ]
        ),
    }


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown distribution")


def _nginx_version() -> str:
    told = subprocess.run(["/usr/sbin/nginx", "-v"], capture_output=True, text=True, check=False).stderr
    return told.strip().rpartition("/")[2]


def _commit() -> str:
    """The commit that is checked out, `+` if files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"

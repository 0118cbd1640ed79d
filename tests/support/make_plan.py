"""What make would do for a target in a clone in which nothing was made yet.

Knows the checkout's Makefile; runs none of its commands."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from tests.support.checkout import ROOT


def planned(target: str, environment: Mapping[str, str] | None = None) -> str:
    """The commands, as make would print them. `environment`: in place of this process's."""
    return subprocess.run(
        ["make", "-n", "-B", "--no-print-directory", target],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout

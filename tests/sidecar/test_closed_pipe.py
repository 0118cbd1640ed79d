"""The commands where nobody reads their output to its end, as `| head -1` does not.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lambda_sidecar.testing.sidecar import SidecarProcess


def run_unread(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """With a standard output whose reader has gone already, buffered as it is everywhere."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, "-m", "lambda_sidecar.cli", *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )
    finally:
        os.close(writing)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("check", "--help")], ids=" ".join)
def test_what_explains_a_command_leaves_no_traceback(arguments: tuple[str, ...]) -> None:
    done = run_unread(*arguments)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_check_goes_on_to_its_end_and_keeps_its_status(sidecar: SidecarProcess) -> None:
    good = run_unread("check", "--config", sidecar.config_file)
    assert (good.returncode, good.stderr) == (0, "")
    sidecar.stop()
    failed = run_unread("check", "--config", sidecar.config_file)
    assert (failed.returncode, failed.stderr) == (1, "")


def test_top_once_leaves_no_traceback(sidecar: SidecarProcess) -> None:
    done = run_unread("top", "--once", "--socket", sidecar.socket)
    assert done.stderr == ""

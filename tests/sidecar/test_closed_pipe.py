"""The commands where nobody reads their output to its end, as `| head -1` does not.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
from tests.support.unread_output import run_unread

from lambda_sidecar.testing.sidecar import SidecarProcess


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


@pytest.mark.parametrize("command", ["check", "top --once"])
def test_a_standard_output_that_is_closed_from_the_beginning_is_no_failure(
    sidecar: SidecarProcess, command: str
) -> None:
    program = shlex.join([sys.executable, "-m", "lambda_sidecar.cli"])
    line = f"exec {program} {command} --socket {shlex.quote(str(sidecar.socket))} >&-"
    done = subprocess.run(["sh", "-c", line], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")

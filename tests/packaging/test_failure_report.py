"""A failed test of a booted systemd shows what happened in it, whether it came up or not.

Each test's name is the sentence that it proves; pytest runs in pytest, on tests that are to fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.checkout import ROOT
from tests.support.systemd_machine import UNITS, why_not

REASON = why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no systemd can be booted: {REASON}")

SCRIPT = f"""
import pytest
from tests.support.systemd_machine import SystemdMachine

FILES = {{
    "{UNITS}/broken.service": "[Service]\\nType=oneshot\\nExecStart=/bin/sh -c 'echo words of the unit; exit 3'\\n",
    "{UNITS}/%s": "[Unit]\\nWants=broken.service\\n",
}}


@pytest.fixture
def machine(tmp_path):
    machine = SystemdMachine(tmp_path / "machine", FILES)
    yield machine.start(%d)
    machine.stop()


def test_that_fails(machine):
    assert machine.systemctl("start", "broken.service").returncode == 0
"""
SHOWN = ("words of the unit", "(code=exited, status=3)")


def shown(tmp_path: Path, place_of_wants: str, seconds: int) -> str:
    """What pytest prints of the test."""
    (tmp_path / "test_fails.py").write_text(SCRIPT % (place_of_wants, seconds))
    command = [
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "tests.support.failure_report",
        "-c",
        "/dev/null",
    ]
    done = subprocess.run(
        [sys.executable, *command, f"--rootdir={tmp_path}", str(tmp_path / "test_fails.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_a_test_that_fails_shows_the_journal_of_its_machine(tmp_path: Path) -> None:
    printed = shown(tmp_path, "unused.target", 60)
    assert "boot log of the systemd machine" in printed
    assert "FAILED" in printed
    assert [text for text in SHOWN if text not in printed] == []


def test_a_machine_that_does_not_come_up_has_its_boot_log_in_the_error(tmp_path: Path) -> None:
    printed = shown(tmp_path, "basic.target.d/wants.conf", 3)
    assert "ServerError: systemd is not ready in time" in printed
    assert "degraded" in printed
    assert [text for text in SHOWN if text not in printed] == []

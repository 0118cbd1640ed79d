"""The files of packaging/systemd/ as systemd's own tools read them, and as a reader does.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.checkout import ROOT

PACKAGING = ROOT / "packaging/systemd"
SERVICE = PACKAGING / "lambda-sidecar.service"
DROP_IN = PACKAGING / "drop-in.conf"
# systemd-analyze counts tenths: 2.5 of 10.
MOST_EXPOSED = 25

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian's package systemd)"
)


def unit(directory: Path, drop_in: str = "") -> Path:
    """The unit with a command that exists on this machine, and its drop-in."""
    command = Path(sys.executable).parent / "lambda-sidecar"
    path = directory / SERVICE.name
    path.write_text(SERVICE.read_text().replace("/opt/lambda-udf/bin/lambda-sidecar", str(command)))
    if drop_in:
        (directory / f"{SERVICE.name}.d").mkdir()
        (directory / f"{SERVICE.name}.d/override.conf").write_text(drop_in)
    return path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def uncommented(text: str) -> str:
    """Every example of the drop-in put to use."""
    return re.sub(r"^#(?=\w+=)", "", text, flags=re.MULTILINE)


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    verified = analyze("verify", "--recursive-errors=no", unit(tmp_path))
    assert (verified.returncode, verified.stdout) == (0, "")


@needs_systemd
def test_systemd_finds_what_is_wrong_with_a_unit(tmp_path: Path) -> None:
    path = unit(tmp_path)
    path.write_text(path.read_text().replace("NoNewPrivileges=", "NoPrivileges="))
    assert "'NoPrivileges'" in analyze("verify", "--recursive-errors=no", path).stdout


@needs_systemd
def test_every_example_of_the_drop_in_is_valid(tmp_path: Path) -> None:
    command = f"{sys.executable} -m lambda_sidecar.cli"
    examples = uncommented(DROP_IN.read_text()).replace("/srv/venv/bin/lambda-sidecar", command)
    assert examples.count("\nExecStart=") == 2
    verified = analyze("verify", "--recursive-errors=no", unit(tmp_path, examples))
    assert (verified.returncode, verified.stdout) == (0, "")


def test_the_drop_in_changes_nothing_as_it_stands() -> None:
    settings = [line for line in DROP_IN.read_text().splitlines() if line and not line.startswith("#")]
    assert settings == ["[Service]"]


@needs_systemd
def test_the_sandbox_is_as_tight_as_systemd_asks_for(tmp_path: Path) -> None:
    found = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", unit(tmp_path))
    assert found.returncode == 0, found.stdout


def test_every_line_of_the_unit_has_a_comment_above_it() -> None:
    lines = SERVICE.read_text().splitlines()
    settings = [(above, line) for above, line in itertools.pairwise(lines) if re.match(r"\w+=", line)]
    assert len(settings) > 40
    assert [line for above, line in settings if not above.startswith("# ")] == []


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="needs systemd-sysusers")
def test_the_account_is_made_once_and_cannot_log_in(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    command = ["systemd-sysusers", f"--root={tmp_path}", str(PACKAGING / "lambda-sidecar.sysusers")]
    for _ in range(2):
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
    (line,) = [
        line
        for line in (tmp_path / "etc/passwd").read_text().splitlines()
        if line.startswith("lambda-sidecar:")
    ]
    assert line.endswith(":lambda-udf sidecar:/:/usr/sbin/nologin")

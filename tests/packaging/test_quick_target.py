"""A new clone sets itself up: make test-quick on a machine that has Python and make, and others on other systems.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.checkout import ROOT
from tests.support.make_plan import planned


def test_the_quick_tests_need_neither_mysql_nor_the_library_nor_what_builds_it() -> None:
    commands = planned("test-quick")
    assert re.findall(r"install-packages\.sh ?(\w*)", commands) == ["python"]
    assert re.search("-m pytest .*tests/pure", commands.splitlines()[-1])
    assert [word for word in ("-C udf", "lambda_udf.so", "packaging/mysql") if word in commands] == []


def test_a_python3_that_is_none_or_too_old_is_passed_over(tmp_path: Path) -> None:
    """pyenv's stand-in for a version that is not installed ends so, and Enterprise Linux has an old python3."""
    for name, lines in {
        "python3": "echo 'pyenv: version `3.9` is not installed' >&2; exit 127",
        "python3.14": "exit 1",
        "python3.13": f'exec {sys.executable} "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\n")
        (tmp_path / name).chmod(0o755)
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHON3", "MAKEFLAGS")}
    commands = planned("test-quick", {**variables, "PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert re.findall(r"^(\S+) -m venv", commands, re.MULTILINE) == ["python3.13"]


def test_make_build_says_what_it_does_before_each_step_that_takes_long() -> None:
    commands = planned("build").splitlines()
    slow = [number for number, line in enumerate(commands) if " pip install " in line or "-shared" in line]
    assert len(slow) == 2
    assert [commands[number - 1].split('"')[1].split()[0] for number in slow] == ["Setting", "Compiling"]


@pytest.mark.parametrize("found", [True, False])
def test_a_system_without_dpkg_is_asked_for_what_debians_packages_bring(found: bool, tmp_path: Path) -> None:
    """Everything but dpkg-query is there; without headers the compiler takes no program."""
    for name in ("make", "cc", "grep"):
        (tmp_path / name).symlink_to("/usr/bin/true" if found or name != "cc" else "/usr/bin/false")
    (tmp_path / "gcc").symlink_to("/usr/bin/true")
    done = subprocess.run(
        ["/bin/sh", ROOT / "packaging/debian/install-packages.sh"],
        env={"PATH": str(tmp_path), "PYTHON3": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    if found:
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 1
        assert done.stderr.splitlines()[0].endswith(": libc6-dev libnghttp2-dev libnanopb-dev")

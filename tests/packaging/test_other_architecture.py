"""The library for the architecture that this machine does not have: built here, and its C tests run by qemu.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.packages import BUILD, OTHER, QEMU, make, why_no_other

REASON = why_no_other()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

FOLDER = BUILD / OTHER
PROGRAMS = ("grpc_wire_test", "contract_test", "failure_test", "explain_test", "aggregate_test")


@pytest.fixture(scope="module")
def built() -> str:
    """What making it said."""
    for path in (FOLDER / "lambda_udf.so", FOLDER / "tests"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return make("foreign-tests")


def readelf(*arguments: str | Path) -> str:
    return subprocess.run(["readelf", *arguments], check=True, capture_output=True, text=True).stdout


def test_the_library_is_built_without_a_warning_and_is_that_architectures(built: str) -> None:
    assert "warning" not in built
    machine = {"arm64": "AArch64", "amd64": "Advanced Micro Devices X86-64"}[OTHER]
    assert re.findall(r"Machine: +(.+)", readelf("--file-header", FOLDER / "lambda_udf.so")) == [machine]


def test_it_needs_what_this_machines_library_needs(built: str) -> None:
    def needed(path: Path) -> set[str]:
        return set(re.findall(r"\(NEEDED\).*\[(lib\w+)\.so", readelf("--dynamic", path)))

    assert needed(FOLDER / "lambda_udf.so") == needed(BUILD / "lambda_udf.so") == {"libc", "libnghttp2"}


@pytest.mark.skipif(shutil.which(QEMU[OTHER]) is None, reason="needs qemu-user")
@pytest.mark.parametrize("program", PROGRAMS)
def test_its_unit_tests_in_c_pass(built: str, program: str) -> None:
    path = FOLDER / "tests" / program
    done = subprocess.run(
        [QEMU[OTHER], "-L", FOLDER / "root", path], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stderr + done.stdout

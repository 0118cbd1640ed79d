"""The library's fuzz targets, briefly: each over its seeds, and over the same mutations of them every time.

`make fuzz` runs them for as long as one likes, under libFuzzer. Each test's name is the sentence that it proves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.host_program import BUILD

HERE = Path(__file__).parent
# Some two seconds each. `calls` is slow: an input is up to four calls, and hundreds of steps; `flights` has up to 200.
MUTATIONS = {
    "wire": 150_000,
    "answer": 50_000,
    "text": 40_000,
    "json": 150_000,
    "calls": 20_000,
    "flights": 6_000,
}
SEED = 20240611


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    done = subprocess.run(
        ["make", "-s", "-C", HERE, f"BUILD={BUILD}", f"PYTHON={sys.executable}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run(target: str, mutations: int, tmp_path: Path) -> str:
    """The target's own words; its finding, if it has one, is in the assertion's text."""
    found = tmp_path / "found"
    done = subprocess.run(
        [BUILD / "fuzz/driver" / target, str(mutations), str(SEED), HERE / "seeds" / target],
        env={"LAMBDA_UDF_FUZZ_FOUND": str(found)},
        capture_output=True,
        text=True,
        check=False,
    )
    what = found.read_bytes().hex() if found.exists() else ""
    assert done.returncode == 0, f"input: {what}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("target", MUTATIONS)
def test_no_input_breaks_a_reader_or_makes_a_call_break_its_promise(target: str, tmp_path: Path) -> None:
    seeds = len(list((HERE / "seeds" / target).iterdir()))
    said = run(target, MUTATIONS[target], tmp_path)
    assert said == f"{seeds} seeds, {MUTATIONS[target]} mutations\n"


def test_every_target_is_run_and_has_seeds() -> None:
    (line,) = re.findall(r"^TARGETS := (.+)$", (HERE / "Makefile").read_text(), re.MULTILINE)
    assert set(line.split()) == set(MUTATIONS) == {folder.name for folder in (HERE / "seeds").iterdir()}

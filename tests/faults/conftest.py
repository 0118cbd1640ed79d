"""The stage of the tests of the fault table, with the library under sanitizers.

Knows nothing of a single fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.row import outcome
from tests.faults.stage import Stage, stage
from tests.faults.table import ROWS, Key, documented
from tests.support.stack import CANARY, SANITIZER_REPORTS, Library

# A machine that runs other tests may be late; a fault that is there is there each time.
ATTEMPTS = 3


@pytest.fixture(scope="module")
def faults_stage(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(mysql_home, tmp_path_factory.mktemp("f"), Library.SANITIZED) as made:
        yield made
    log = made.mysqld.log_text()
    assert CANARY not in log
    assert [line for line in log.splitlines() if any(mark in line for mark in SANITIZER_REPORTS)] == []


@pytest.fixture
def judge(faults_stage: Stage) -> Callable[[Key], None]:
    """Plays a row, and compares it with the document."""
    expected = documented()

    def play(key: Key) -> None:
        if why := ROWS[key].needs():
            pytest.skip(why)
        for _ in range(ATTEMPTS):
            found = outcome(faults_stage, ROWS[key])
            if found.after == expected[key].after:
                break
        assert found == expected[key]

    return play

"""`make faults`: plays every row of the fault table several times, and writes docs/reliability.md.

Fails, and writes nothing, where a row has more than one outcome."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from examples.checkout import mysql_home
from tests.conftest import pytest_configure
from tests.faults.row import Outcome, outcome
from tests.faults.stage import stage
from tests.faults.table import FILE, ROWS, Key, document
from tests.support.checkout import ROOT
from tests.support.stack import Library


def main(times: int) -> int:
    pytest_configure()
    cannot = {key: why for key, row in ROWS.items() if (why := row.needs())}
    if cannot:
        print(f"faults: not on this machine: {cannot}", file=sys.stderr)
        return 1
    seen: dict[Key, set[Outcome]] = {key: set() for key in ROWS}
    for number in range(1, times + 1):
        for key, found in _once():
            seen[key].add(found)
            print(f"{number} {key[0]}: {key[1]}: {' | '.join(found.cells())}", flush=True)
    several = {key: outcomes for key, outcomes in seen.items() if len(outcomes) > 1}
    for (group, fault), outcomes in several.items():
        print(f"faults: {group}: {fault} has {len(outcomes)} outcomes: {outcomes}", file=sys.stderr)
    if several:
        return 1
    FILE.write_text(document({key: outcomes.pop() for key, outcomes in seen.items()}))
    print(f"faults: {len(ROWS)} rows, {times} times each with the same outcome: {FILE.relative_to(ROOT)}")
    return 0


def _once() -> Iterator[tuple[Key, Outcome]]:
    """Every row, on one stage."""
    with (
        tempfile.TemporaryDirectory(prefix="faults") as directory,
        stage(mysql_home(), Path(directory), Library.PLAIN) as made,
    ):
        for key, row in ROWS.items():
            yield key, outcome(made, row)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))

"""docs/reliability.md: written from the outcomes of a run, and read again to be compared with another.

Pure; knows the document's form, nothing of how an outcome came about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.faults import endpoint_rows, mysqld_rows, sidecar_rows, way_rows
from tests.faults.row import Outcome, Row
from tests.support.checkout import ROOT

FILE = ROOT / "docs/reliability.md"
# In two parts that take about as long: two files of tests, so that two processes can play them.
OF_THIS_SIDE: dict[str, tuple[Row, ...]] = {**sidecar_rows.GROUPS, **mysqld_rows.GROUPS, "TLS": way_rows.TLS}
OF_THE_WAY: dict[str, tuple[Row, ...]] = {
    **endpoint_rows.GROUPS,
    "A proxy": way_rows.PROXY,
    "STS": way_rows.STS,
}
GROUPS = OF_THIS_SIDE | OF_THE_WAY
Key = tuple[str, str]
"""A group and a fault."""
ROWS: dict[Key, Row] = {(group, row.fault): row for group, rows in GROUPS.items() for row in rows}

_HEAD = ("fault", "the user sees", "after", "invoked", "the next statement", "mysqld's uptime")
# The tables come where the text says so; `make faults` writes them.
_TEXT = Path(__file__).with_name("reliability.md.in")
_PLACE = "<!-- tables -->\n"


def document(outcomes: Mapping[Key, Outcome]) -> str:
    """The whole file."""
    tables = []
    for group, rows in GROUPS.items():
        lines = [_line(_HEAD), "|" + "---|" * len(_HEAD)]
        lines += [_line((row.fault, *outcomes[group, row.fault].cells())) for row in rows]
        tables.append(f"### {group}\n\n" + "\n".join(lines) + "\n")
    return _TEXT.read_text().replace(_PLACE, "\n".join(tables))


def documented() -> dict[Key, Outcome]:
    """What the file says."""
    return outcomes_in(FILE.read_text())


def outcomes_in(text: str) -> dict[Key, Outcome]:
    """What a document says."""
    outcomes, group = {}, ""
    for line in text.splitlines():
        if line.startswith("### "):
            group = line[4:]
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == len(_HEAD) and cells[0] != _HEAD[0] and not cells[0].startswith("---"):
            outcomes[group, cells[0]] = Outcome(*cells[1:])
    return outcomes


def _line(cells: tuple[str, ...]) -> str:
    assert not any("|" in cell for cell in cells), cells
    return f"| {' | '.join(cells)} |"

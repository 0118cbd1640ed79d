"""Markdown as far as the documentation uses it: fenced blocks and tables, each with where it stands.

Knows nothing of what is in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"\s*```(\w*)\s*$")
_NOT_RUN = re.compile(r"\s*<!-- not run: (.+) -->\s*$")
_HEADING = re.compile(r"#+ (.+)")
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block. `not_run` is the reason in the comment directly above it, or empty."""

    path: Path
    line: int
    language: str
    text: str
    not_run: str

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}"


@dataclass(frozen=True)
class Table:
    """The first cells of a table, as the pieces of code that they hold. `section` is the nearest heading."""

    section: str
    columns: tuple[str, ...]
    keys: list[str] = field(default_factory=list)


def blocks(path: Path) -> Iterator[Block]:
    lines = iter(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
    above = ""
    for number, line in lines:
        if opening := _FENCE.match(line):
            body = []
            for _, inner in lines:
                if _FENCE.match(inner):
                    break
                body.append(inner)
            marker = _NOT_RUN.match(above)
            yield Block(path, number, opening[1], "\n".join(body) + "\n", marker[1] if marker else "")
        above = line


def tables(path: Path) -> list[Table]:
    """Only what a reader sees as one: a row after a blank line belongs to no table."""
    found: list[Table] = []
    section, in_block, row_above = "", False, ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if _FENCE.match(line):
            in_block = not in_block
        if in_block:
            continue
        if heading := _HEADING.match(line):
            section = heading[1]
        if line.startswith("|---"):
            columns = tuple(cell.strip() for cell in row_above.strip("|").split("|"))
            found.append(Table(section, columns))
        elif line.startswith("|") and row_above.startswith("|"):
            found[-1].keys.extend(_CODE.findall(line[1:].split(" | ")[0]))
        row_above = line
    return found

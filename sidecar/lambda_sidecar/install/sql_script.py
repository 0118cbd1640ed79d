"""The files of udf/sql as single statements, as the mysql client splits them.

Finds and splits files; must not know what a statement does."""

from __future__ import annotations

import re
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_FUNCTION = re.compile(r"^CREATE (?:AGGREGATE )?FUNCTION IF NOT EXISTS (\w+) +RETURNS", re.MULTILINE)


def checkout() -> Path | None:
    """The checkout that this package runs from; None when it is installed."""
    root = _PACKAGE.parent.parent
    return root if (root / "udf/sql/install.sql").is_file() else None


def read(name: str) -> str:
    """The text of install.sql or uninstall.sql: the checkout's, else the package's own copy."""
    root = checkout()
    folder = root / "udf/sql" if root else _PACKAGE / "sql"
    return (folder / name).read_text(encoding="utf-8")


def functions(text: str) -> list[str]:
    """The names of the loadable functions that a script creates."""
    return _FUNCTION.findall(text)


def statements(text: str) -> list[str]:
    """The statements without their delimiters and without comments. Raises ValueError for one without an end.

    Our files keep to two rules: a statement ends at the end of a line, and a comment has lines of its own."""
    delimiter = ";"
    found: list[str] = []
    lines: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if words and words[0].upper() == "DELIMITER":
            delimiter = words[1]
        elif words and not words[0].startswith("--"):
            lines.append(line.rstrip())
            if lines[-1].endswith(delimiter):
                found.append("\n".join(lines).removesuffix(delimiter))
                lines = []
    if lines:
        raise ValueError(f"the script ends inside a statement: {lines[0]}")
    return found

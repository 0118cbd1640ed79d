"""Text for people: in colour where it goes to a terminal, and no line wider than 80 columns.

Knows nothing of what is shown."""

from __future__ import annotations

import os
import sys
import textwrap
import unicodedata

WIDTH = 80
# "Select Graphic Rendition", ECMA-48, 8.3.117.
BOLD, DIM, RED, GREEN, CYAN = "1", "2", "31", "32", "1;36"


def say(*lines: str) -> None:
    """Prints the lines, at once."""
    print(*lines, sep="\n", flush=True)


def heading(text: str) -> None:
    """Prints a line that begins a part."""
    say("", painted(f"== {text} ==", CYAN))


def painted(text: str, colour: str) -> str:
    """The text in a colour, if standard output is a terminal that can and shall (https://no-color.org)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"


def indented(text: str, indent: str = "    ") -> list[str]:
    """The lines of a text that is longer than one line, broken where there is a space."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return textwrap.wrap(
        text, WIDTH - wide, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )

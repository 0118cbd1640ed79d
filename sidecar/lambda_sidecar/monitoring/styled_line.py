"""A line for a terminal in pieces, each with a style: cut to a width, and written with colours or without.

Pure; knows ECMA-48's colours, nothing of what is shown."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from lambda_sidecar.monitoring.text_cells import fitted, width


class Style(enum.Enum):
    """The parameters of "select graphic rendition" (ECMA-48, 8.3.117). Only the eight colours that every
    terminal's user has chosen for himself, on his own background."""

    PLAIN = ""
    BOLD = "1"
    FAINT = "2"
    NAMES = "7"  # reverse: the names of columns
    GOOD = "32"
    LATE = "33"
    BAD = "31"


Piece = tuple[str, Style]
Line = list[Piece]


def line(text: str, style: Style = Style.PLAIN) -> Line:
    return [(text, style)]


def plain(pieces: Line) -> str:
    """The text alone."""
    return "".join(text for text, _ in pieces)


def cut(pieces: Line, columns: int) -> Line:
    """At most so wide, as text_cells.fitted does it, without blanks at the end that nobody sees."""
    text = plain(pieces)
    short = fitted(text, columns)
    kept = list(pieces)
    if short != text:
        kept, left = [], len(short) - len("…")
        for piece, style in pieces:
            if len(piece) > left:
                kept.append((short and piece[:left] + "…", style))
                break
            kept.append((piece, style))
            left -= len(piece)
    if kept and kept[-1][1] is Style.PLAIN:
        kept[-1] = (kept[-1][0].rstrip(), Style.PLAIN)
    return kept


def joined(parts: Sequence[Line], columns: int, between: str = "  ") -> Line:
    """The first of the parts, and those that follow it as long as whole ones fit."""
    whole = list(parts[0])
    for part in parts[1:]:
        if width(plain(whole)) + len(between) + width(plain(part)) > columns:
            break
        whole += [(between, Style.PLAIN), *part]
    return whole


def written(pieces: Line, *, colours: bool) -> str:
    """What a terminal gets: each style begins and ends within its piece."""
    if not colours:
        return plain(pieces)
    return "".join(f"\x1b[{style.value}m{text}\x1b[m" if style.value else text for text, style in pieces)

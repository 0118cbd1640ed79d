"""A terminal's screen as an SVG file: every character in its cell, in the colours that the sequences choose.

Draws; knows of ECMA-48 what `lambda-sidecar top` uses, nothing of what is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from lambda_sidecar.monitoring.text_cells import width

# Pixels of a cell, and around the screen.
CELL, LINE, MARGIN = 8.4, 18, 12
# A dark terminal's, as many have them.
INK, PAPER = "#d8dee9", "#10151c"
COLOURS = {"31": "#ef6b73", "32": "#8fc975", "33": "#e6c15c"}
STYLE = (
    "text { font: 14px 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace; white-space: pre }"
)
_PIECE = re.compile(r"\x1b\[(\d*)m")


def svg(lines: Sequence[str], columns: int) -> str:
    """`lines` as they were written, with their sequences."""
    across, down = columns * CELL + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across:.0f} {down}">'
    page = f'<style>{STYLE}</style><rect width="100%" height="100%" rx="6" fill="{PAPER}"/>'
    drawn = [part for number, text in enumerate(lines) for part in _line(text, number)]
    return "\n".join([head, page, *drawn, "</svg>"]) + "\n"


def _line(text: str, number: int) -> Iterator[str]:
    column, top = 0, MARGIN + number * LINE
    for style, piece in _pieces(text):
        cells = width(piece)
        x, ink = MARGIN + column * CELL, COLOURS.get(style, INK)
        column += cells
        if style == "7":
            yield f'<rect x="{x:.1f}" y="{top}" width="{cells * CELL:.1f}" height="{LINE}" fill="{INK}"/>'
            ink = PAPER
        if not piece.strip():
            continue
        # Blanks at both ends would be lost on the way through editors; the others hold their place by the length.
        blank = len(piece) - len(piece.lstrip())
        weight = ' font-weight="bold"' if style == "1" else ""
        faint = ' opacity="0.6"' if style == "2" else ""
        yield (
            f'<text x="{x + blank * CELL:.1f}" y="{top + 14}" fill="{ink}"{weight}{faint} xml:space="preserve" '
            f'textLength="{width(piece.strip()) * CELL:.1f}">{escape(piece.strip())}</text>'
        )


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    style, at = "", 0
    for found in _PIECE.finditer(text):
        if found.start() > at:
            yield style, text[at : found.start()]
        style, at = found[1], found.end()
    if at < len(text):
        yield style, text[at:]

"""The figures of a soak as lines over time, in an SVG file.

Draws; knows no more of the figures than which share a panel."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from tests.soak.figures import Figures

PANELS = {
    "Resident memory, MB": ("mysqld, MB", "sidecar, MB"),
    "Open descriptors": ("mysqld, descriptors", "sidecar, descriptors"),
    "Time of lambda_sync, ms": ("lambda_sync, p50 in ms", "lambda_sync, p99 in ms"),
}
# Pixels: the whole, the column of numbers, a panel, and what lies between panels.
WIDTH, LEFT, RIGHT, HEIGHT, HEAD, GAP = 820, 70, 20, 150, 60, 46
STYLE = """
text { font-family: system-ui, sans-serif; font-size: 12px; fill: #1f2328 }
.page { fill: #ffffff } .axis { stroke: #59636e; fill: none } .half { stroke: #aab2bb; stroke-dasharray: 4 }
.line0 { stroke: #1f77b4; fill: none } .line1 { stroke: #d1742f; fill: none }
.name0 { fill: #1f77b4 } .name1 { fill: #d1742f } .title { font-weight: bold }
"""


def svg(figures: Figures, title: str) -> str:
    parts = [f'<text class="title" x="16" y="28">{escape(title)}</text>']
    for number, (name, lines) in enumerate(PANELS.items()):
        parts += _panel(name, lines, figures, HEAD + number * (HEIGHT + GAP))
    height = HEAD + len(PANELS) * (HEIGHT + GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">'
    page = f'<style>{STYLE}</style><rect class="page" width="100%" height="100%"/>'
    return "\n".join([head, page, *parts, "</svg>"]) + "\n"


def _panel(title: str, names: Sequence[str], figures: Figures, top: int) -> list[str]:
    """Both lines on one scale from 0."""
    rows = {name: figures.rows[name] for name in names}
    most = max(value for line in rows.values() for _, value in line) or 1.0
    last = max(seconds for line in rows.values() for seconds, _ in line) or 1.0
    width, bottom = WIDTH - LEFT - RIGHT, top + HEIGHT
    half = LEFT + width / 2
    parts = [
        f'<text class="title" x="16" y="{top - 8}">{escape(title)}</text>',
        f'<path class="axis" d="M{LEFT} {top}V{bottom}H{LEFT + width}"/>',
        f'<path class="half" d="M{half} {top}V{bottom}"/>',
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:.4g}</text>',
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{LEFT + width}" y="{bottom + 16}" text-anchor="end">{last / 60:.3g} min</text>',
    ]
    for number, (name, line) in enumerate(rows.items()):
        points = " ".join(
            f"{LEFT + seconds / last * width:.1f},{bottom - value / most * HEIGHT:.1f}"
            for seconds, value in line
        )
        parts.append(f'<polyline class="line{number}" points="{points}"/>')
        parts.append(
            f'<text class="name{number}" x="{260 + 250 * number}" y="{top - 8}">{escape(name)}</text>'
        )
    return parts

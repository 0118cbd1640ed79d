"""The Grafana dashboard's panels as an SVG file: where its JSON places them, with the lines that Prometheus gave.

Draws; knows as much of Grafana's format as the dashboard uses, nothing of where the data comes from. What it draws is
not what Grafana draws: the same panels, queries, units, thresholds and names, in a plainer hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

# Pixels: one of the 24 columns, one unit of height, and what is between panels (Grafana's are 30 and 8).
COLUMN, UNIT, GAP = 50, 32, 8
LEFT, RIGHT, TITLE, BOTTOM, LEGEND = 58, 12, 30, 20, 18
COLOURS = (
    "#1f77b4", "#d1742f", "#2a9d4a", "#c23b3b", "#7b5cb8", "#8c6d46", "#c85ba6", "#6f7780", "#a3a51f", "#1fa3b5"
)  # fmt: skip
# Grafana's names for its colours.
NAMED = {"green": "#2a9d4a", "orange": "#d1742f", "red": "#c23b3b", "blue": "#1f77b4"}
STYLE = """
text { font-family: system-ui, sans-serif; font-size: 12px; fill: #1f2328 }
.page { fill: #f4f5f7 } .panel { fill: #ffffff; stroke: #d8dce2 } .grid { stroke: #e4e7eb }
.muted { fill: #59636e; font-size: 11px } .title { font-weight: bold } .row { font-weight: bold; font-size: 14px }
.value { font-size: 30px; font-weight: bold; text-anchor: middle } .line { fill: none; stroke-width: 1.5 }
"""
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """A line of one query: seconds since the picture's beginning, and values."""

    labels: dict[str, str]
    points: Points


# Gives an expression's lines.
Ask = Callable[[str], list[Series]]


def svg(dashboard: dict[str, Any], ask: Ask, seconds: float) -> str:
    """The whole dashboard over so many seconds."""
    panels = dashboard["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * UNIT + GAP
    width = 24 * COLUMN + GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
    page = f'<style>{STYLE}</style><rect class="page" width="100%" height="100%"/>'
    drawn = [part for panel in panels for part in _panel(panel, ask, seconds)]
    return "\n".join([head, page, *drawn, "</svg>"]) + "\n"


def expressions(panel: dict[str, Any]) -> list[tuple[str, str]]:
    """Each query of a panel, with the name of its lines."""
    return [(target["expr"], target["legendFormat"]) for target in panel.get("targets", [])]


def _panel(panel: dict[str, Any], ask: Ask, seconds: float) -> list[str]:
    place = panel["gridPos"]
    x, y = place["x"] * COLUMN + GAP, place["y"] * UNIT + GAP
    width, height = place["w"] * COLUMN - GAP, place["h"] * UNIT - GAP
    if panel["type"] == "row":
        return [_text(x, y + 16, f"▾ {panel['title']}", "row")]
    lines = [
        (_named(name, series), series)
        for expression, name in expressions(panel)
        for series in ask(expression)
    ]
    parts = [
        f'<rect class="panel" x="{x}" y="{y}" width="{width}" height="{height}" rx="3"/>',
        _text(x + 10, y + 19, panel["title"], "title"),
    ]
    draw = _stat if panel["type"] == "stat" else _timeseries
    return parts + draw(panel, lines, (x, y, width, height), seconds)


def _named(pattern: str, series: Series) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: series.labels.get(found[1], ""), pattern)


Box = tuple[float, float, float, float]


def _stat(panel: dict[str, Any], lines: Sequence[tuple[str, Series]], box: Box, _seconds: float) -> list[str]:
    x, y, width, height = box
    defaults = panel["fieldConfig"]["defaults"]
    shown = []
    for name, series in lines:
        value = series.points[-1][1]
        text = _value(value, defaults["unit"])
        shown.append(f"{name}: {text}" if panel["options"]["textMode"] == "value_and_name" else text)
    colour = NAMED["green"]
    if lines:
        for step in defaults["thresholds"]["steps"]:
            if step["value"] is None or lines[0][1].points[-1][1] >= step["value"]:
                colour = NAMED[step["color"]]
    text = escape(", ".join(shown) or "no data")
    size = min(30.0, (width - 16) / (0.6 * max(len(text), 1)))
    return [
        f'<text class="value" x="{x + width / 2:.0f}" y="{y + height / 2 + 20:.0f}" '
        f'style="fill:{colour};font-size:{size:.0f}px">{text}</text>'
    ]


def _timeseries(
    panel: dict[str, Any], lines: Sequence[tuple[str, Series]], box: Box, seconds: float
) -> list[str]:
    x, y, width, height = box
    defaults = panel["fieldConfig"]["defaults"]
    rows = _legend_rows([name for name, _ in lines], width - 20)
    left, right, top = x + LEFT, x + width - RIGHT, y + TITLE
    bottom = y + height - BOTTOM - LEGEND * max(len(rows), 1)
    if not lines:
        return [_text(x + width / 2, y + height / 2, "no data", "muted", "middle")]
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    drawn = _stacked(lines) if stacked else [series.points for _, series in lines]
    most = _nice(max(value for points in drawn for _, value in points))
    across, up = (right - left) / seconds, (bottom - top) / most
    parts = []
    for share in (0, 0.5, 1):
        level = bottom - share * (bottom - top)
        parts.append(f'<path class="grid" d="M{left:.0f} {level:.1f}H{right:.0f}"/>')
        parts.append(_text(left - 6, level + 4, _value(share * most, defaults["unit"]), "muted", "end"))
        minutes = f"{share * seconds / 60:.3g} min"
        anchor = {0: "start", 0.5: "middle", 1: "end"}[share]
        parts.append(_text(left + share * (right - left), bottom + 15, minutes, "muted", anchor))
    for number in reversed(range(len(drawn))):
        colour = COLOURS[number % len(COLOURS)]
        path = [f"{left + at * across:.1f},{bottom - value * up:.1f}" for at, value in drawn[number]]
        if stacked:
            ends = (f"{left + drawn[number][at][0] * across:.1f},{bottom:.1f}" for at in (-1, 0))
            parts.append(
                f'<polygon points="{" ".join([*path, *ends])}" fill="{colour}" fill-opacity="0.25"/>'
            )
        parts.append(f'<polyline class="line" stroke="{colour}" points="{" ".join(path)}"/>')
    for row, names in enumerate(rows):
        for number, offset in names:
            at = bottom + BOTTOM + LEGEND * row + 9
            parts.append(
                f'<rect x="{x + 10 + offset:.0f}" y="{at - 6:.0f}" width="12" height="4" '
                f'fill="{COLOURS[number % len(COLOURS)]}"/>'
            )
            parts.append(_text(x + 26 + offset, at, lines[number][0], "muted"))
    return parts


def _legend_rows(names: Sequence[str], width: float) -> list[list[tuple[int, float]]]:
    """Numbers of the names and where each begins, broken into rows."""
    rows: list[list[tuple[int, float]]] = [[]]
    offset = 0.0
    for number, name in enumerate(names):
        needs = 30 + 6.2 * len(name)
        if offset + needs > width and rows[-1]:
            rows.append([])
            offset = 0.0
        rows[-1].append((number, offset))
        offset += needs
    return rows


def _stacked(lines: Sequence[tuple[str, Series]]) -> list[Points]:
    sums: dict[float, float] = {}
    drawn = []
    for _, series in lines:
        for at, value in series.points:
            sums[at] = sums.get(at, 0.0) + value
        drawn.append([(at, sums[at]) for at, _ in series.points])
    return drawn


def _nice(most: float) -> float:
    """The next of 1, 2, 4, 5 and 10 times a power of ten."""
    if most <= 0:
        return 1.0
    power = 10.0 ** (len(f"{most:.0f}") - 1) if most >= 1 else 10.0 ** -_zeros(most)
    return next(step * power for step in (1, 2, 4, 5, 10, 20) if step * power >= most)


def _zeros(value: float) -> int:
    """How often a value below 1 is multiplied by ten until it is one."""
    count = 0
    while value < 1:
        value, count = value * 10, count + 1
    return count


def _value(value: float, unit: str) -> str:
    """As Grafana writes its units of these names."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 or not value else f"{1000 * value:.3g} ms"
    if unit in ("Bps", "bytes"):
        rate = "/s" if unit == "Bps" else ""
        for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
            if value >= size:
                return f"{value / size:.3g} {name}{rate}"
        return f"{value:.3g} B{rate}"
    text = f"{value / 1000:.3g} k" if value >= 10_000 else f"{value:.4g}"
    return f"{text} c/s" if unit == "cps" else text


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'

"""The main figures as bars, in an SVG file: medians, with a line from the lowest to the highest round.

Draws; knows no more of the results than which to show. (A plotting library would be a hundred times this.)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.results import Results, Spread

TITLE = "lambda-udf beside the AWS SDKs for Python"
SUBTITLE = "Bars are medians of the rounds; thin lines reach from the lowest round to the highest."
# Pixels: the whole, the column of names, and what a value takes behind the longest bar.
WIDTH, LABEL, VALUE = 820, 190, 130
HEAD, PANEL_HEAD, ROW, GAP = 92, 32, 22, 22
# A character of the font is narrower than this part of the font's size, bold ones included.
CHARACTER = 0.65
SIZES = {"title": 18, "subtitle": 12, "panel": 14, "better": 12, "label": 13, "value": 12, "legend": 12}
# Classes by the beginning of a case's name; whatever is called otherwise is an SDK.
OURS = ("sync", "async", "hop")
SERVER_ALONE = ("select1",)
LEGEND = {"ours": "lambda-udf, from SQL", "theirs": "AWS SDK, from Python", "alone": "MySQL alone"}
# Own background: an image that the page's colours shone through would be unreadable on some of them.
STYLE = """
text { font-family: system-ui, sans-serif; fill: #1f2328 }
.muted { fill: #59636e } .bold { font-weight: bold }
.page { fill: #ffffff } .line { stroke: #1f2328; fill: none } .axis { stroke: #59636e }
.ours { fill: #1f77b4 } .theirs { fill: #aab2bb } .alone { fill: #dfe3e8 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .muted { fill: #9aa4af }
.page { fill: #0d1117 } .line { stroke: #e6edf3 } .axis { stroke: #9aa4af }
.ours { fill: #3d94d0 } .theirs { fill: #6b747e } .alone { fill: #3a424b }
}
"""


@dataclass(frozen=True)
class Panel:
    """One scale from 0; rows are label, case and figure. `better` is lower or higher; a figure divided by
    `divisor` is in `unit`."""

    title: str
    better: str
    unit: str
    rows: Sequence[tuple[str, str, str]]
    divisor: float = 1


@dataclass(frozen=True)
class Bar:
    label: str
    spread: Spread
    kind: str
    """A class of STYLE."""


def _throughput(sessions: int) -> Panel:
    contestants = {
        "lambda_sync": "sync",
        "lambda_async": "async",
        "aiobotocore": "aiobotocore",
        "boto3": "boto3",
    }
    rows = [(label, f"{name}/{sessions}", "per_second") for label, name in contestants.items()]
    return Panel(f"{sessions} sessions: throughput", "higher", "calls/s", rows)


PANELS = (
    Panel(
        "One session: time of a call (p50)",
        "lower",
        "µs",
        [
            (label, f"{name}/1", "p50_us")
            for label, name in (
                ("SELECT 1", "select1"),
                ("gRPC hop alone", "hop"),
                ("lambda_sync", "sync"),
                ("lambda_async", "async"),
                ("aiobotocore", "aiobotocore"),
                ("boto3", "boto3"),
            )
        ],
    ),
    _throughput(8),
    _throughput(32),
    Panel(
        "32 sessions: CPU time of a call",
        "lower",
        "µs",
        [
            ("lambda_sync, sidecar", "sync/32", "cpu_us.sidecar"),
            ("lambda_sync, mysqld", "sync/32", "cpu_us.mysqld"),
            ("aiobotocore's process", "aiobotocore/32", "cpu_us.client"),
            ("boto3's process", "boto3/32", "cpu_us.client"),
        ],
    ),
    Panel(
        "Large payloads, there and back: time of a call (p50)",
        "lower",
        "ms",
        [
            (f"{label}, {size}", f"{name}/{size}", "p50_us")
            for size in ("1 MB", "5 MB")
            for label, name in (("lambda_sync", "sync"), ("boto3", "boto3"))
        ],
        divisor=1000,
    ),
)


def svg(results: Results) -> str:
    """The drawing; empty if nothing that it shows was measured."""
    parts: list[str] = []
    top = HEAD
    for panel in PANELS:
        bars = [
            Bar(label, found, _kind(name))
            for label, name, figure in panel.rows
            if (found := results.case(name, figure)) is not None
        ]
        if bars:
            parts += _panel(panel, bars, top)
            top += PANEL_HEAD + ROW * len(bars) + GAP
    if not parts:
        return ""
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img" '
        f'aria-label="{escape(TITLE)}">',
        f"<style>{STYLE}</style>",
        '<rect class="page" width="100%" height="100%"/>',
        _text(16, 30, TITLE, "title", "bold"),
        _text(16, 50, SUBTITLE, "subtitle", "muted"),
        *_legend(),
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def _kind(name: str) -> str:
    if name.startswith(OURS):
        return "ours"
    return "alone" if name.startswith(SERVER_ALONE) else "theirs"


def _legend() -> list[str]:
    parts: list[str] = []
    left = 16.0
    for kind, text in LEGEND.items():
        parts.append(f'<rect class="{kind}" x="{left:.0f}" y="64" width="12" height="12"/>')
        parts.append(_text(left + 18, 74, text, "legend"))
        left += 18 + width(text, "legend") + 20
    return parts


def _panel(panel: Panel, bars: Sequence[Bar], top: int) -> list[str]:
    scale = (WIDTH - LABEL - VALUE) / max(bar.spread.high for bar in bars)
    arrow = {"lower": "←", "higher": "→"}[panel.better]
    parts = [
        _text(16, top + 20, panel.title, "panel", "bold"),
        _text(WIDTH - 16, top + 20, f"{arrow} {panel.better} is better", "better", "muted", "end"),
    ]
    for index, bar in enumerate(bars):
        parts += _bar(panel, bar, top + PANEL_HEAD + ROW * index + ROW // 2, scale)
    bottom = top + PANEL_HEAD + ROW * len(bars)
    parts.append(f'<path class="axis" d="M{LABEL} {top + PANEL_HEAD}V{bottom}"/>')
    return parts


def _bar(panel: Panel, bar: Bar, middle: int, scale: float) -> list[str]:
    low, high = (LABEL + value * scale for value in (bar.spread.low, bar.spread.high))
    value = bar.spread.median / panel.divisor
    shown = f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
    return [
        _text(LABEL - 8, middle + 4, bar.label, "label", anchor="end"),
        f'<rect class="{bar.kind}" x="{LABEL}" y="{middle - 7}" width="{bar.spread.median * scale:.1f}" '
        'height="14"/>',
        f'<path class="line" d="M{low:.1f} {middle - 3}v6m0 -3H{high:.1f}m0 -3v6"/>',
        _text(high + 6, middle + 4, f"{shown} {panel.unit}", "value"),
    ]


def width(text: str, role: str) -> float:
    """Pixels that it takes at most."""
    return len(text) * SIZES[role] * CHARACTER


def _text(x: float, y: float, text: str, role: str, style: str = "", anchor: str = "start") -> str:
    styled = f' class="{style}"' if style else ""
    return (
        f'<text{styled} x="{x:.1f}" y="{y:.1f}" font-size="{SIZES[role]}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )

"""The main figures as bars, in an SVG file: medians, with a line from the lowest to the highest round.

Draws; knows no more of the results than which to show. (A plotting library would be a hundred times this.)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.results import Results, Spread

WIDTH, LABEL, VALUE = 760, 150, 90
ROW, GAP, HEAD = 22, 26, 28
OURS, OTHERS = "#2a6f97", "#b0b7be"
INK = "#222"


@dataclass(frozen=True)
class Panel:
    """One scale from 0; rows are label, case and figure."""

    title: str
    rows: Sequence[tuple[str, str, str]]
    divisor: float = 1


PANELS = (
    Panel(
        "One session: microseconds per call (p50)",
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
    Panel(
        "Calls per second",
        [
            (f"{label}, {sessions}", f"{name}/{sessions}", "per_second")
            for sessions in (8, 32)
            for label, name in (
                ("lambda_sync", "sync"),
                ("lambda_async", "async"),
                ("aiobotocore", "aiobotocore"),
                ("boto3", "boto3"),
            )
        ],
    ),
    Panel(
        "32 sessions: microseconds of CPU per call",
        [
            ("sidecar", "sync/32", "cpu_us.sidecar"),
            ("mysqld", "sync/32", "cpu_us.mysqld"),
            ("boto3's process", "boto3/32", "cpu_us.client"),
            ("aiobotocore's", "aiobotocore/32", "cpu_us.client"),
        ],
    ),
    Panel(
        "Payload there and back: milliseconds (p50)",
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
    top = 0
    for panel in PANELS:
        rows = [
            (label, found, name.startswith(("sync", "async", "hop")))
            for label, name, figure in panel.rows
            if (found := results.case(name, figure)) is not None
        ]
        if rows:
            parts += _panel(panel, rows, top)
            top += HEAD + ROW * len(rows) + GAP
    if not parts:
        return ""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" font-family="sans-serif" '
        f'font-size="13" fill="{INK}">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>"]) + "\n"


def _panel(panel: Panel, rows: Sequence[tuple[str, Spread, bool]], top: int) -> list[str]:
    scale = (WIDTH - LABEL - VALUE) / max(spread.high for _, spread, _ in rows)
    parts = [_text(8, top + 20, panel.title, "start", bold=True)]
    for index, (label, spread, ours) in enumerate(rows):
        middle = top + HEAD + ROW * index + ROW // 2
        low, high = (LABEL + value * scale for value in (spread.low, spread.high))
        color = OURS if ours else OTHERS
        value = spread.median / panel.divisor
        parts += [
            _text(LABEL - 8, middle + 4, label, "end"),
            f'<rect x="{LABEL}" y="{middle - 7}" width="{spread.median * scale:.1f}" height="14" '
            f'fill="{color}"/>',
            f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="{INK}"/>',
            _text(high + 6, middle + 4, f"{value:,.0f}" if value >= 10 else f"{value:.1f}", "start"),
        ]
    return parts


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'

"""The results for people: tables on the terminal and in RESULTS.md, which is the same text.

Knows the results' names; measures and judges nothing (goals.py judges)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.results import Results, Spread

_HEADER = ["case", "p50", "p99", "calls/s", "CPU sidecar", "mysqld", "client", "nginx"]


def text(results: Results) -> str:
    """All of it, as Markdown that also reads well on a terminal."""
    parts = [_about(results), _cases(results)]
    return "\n\n".join(part for part in parts if part)


def write(results: Results, folder: Path) -> None:
    """RESULTS.md and results.json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "RESULTS.md").write_text(f"# Results of `make bench`\n\n{text(results)}\n", encoding="utf-8")
    results.write(folder / "results.json")


def _about(results: Results) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in results.about.items())


def _cases(results: Results) -> str:
    rows = [_case_row(results, name) for name in results.cases]
    return table(_HEADER, rows) if rows else ""


def _case_row(results: Results, name: str) -> list[str]:
    figures = [spread(results.case(name, figure)) for figure in ("p50_us", "p99_us", "per_second")]
    processes = ("sidecar", "mysqld", "client", "nginx")
    return [name, *figures, *(short(results.case(name, f"cpu_us.{process}")) for process in processes)]


def spread(value: Spread | None) -> str:
    """Median and, in parentheses, lowest–highest round."""
    return "" if value is None else f"{number(value.median)} ({number(value.low)}–{number(value.high)})"


def short(value: Spread | None) -> str:
    return "" if value is None else number(value.median)


def number(value: float) -> str:
    """Three digits that count, thousands separated."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, padded; the first column is left, the others right aligned."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "| " + " | ".join([first, *others]) + " |"

    rule = (
        "|"
        + "|".join([":" + "-" * (widths[0] + 1)] + ["-" * (width + 1) + ":" for width in widths[1:]])
        + "|"
    )
    return "\n".join([line(header), rule, *map(line, rows)])

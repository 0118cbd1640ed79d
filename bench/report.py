"""The results for people: tables on the terminal and in RESULTS.md, which is the same text.

python -m bench.report results.json DIR
writes RESULTS.md and results.svg anew from the figures of a run. Knows their names and what they are called;
measures nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.goals import GOALS, percentile
from bench.plot import svg
from bench.results import Results, Spread

_CASE_HEADER = ["case", "p50 µs", "p99 µs", "calls/s", "sidecar", "mysqld", "client", "nginx"]
_PROCESSES = ("sidecar", "mysqld", "client", "nginx")
_OTHERS = {
    "crowd_connect_s": ("1,000 sessions: connecting", "s"),
    "crowd_done_s": ("1,000 sessions × a 1 s function: all done", "s"),
    "crowd_idle_mysqld_percent": ("1,000 idle sessions: mysqld", "% of a core"),
    "crowd_idle_sidecar_percent": ("1,000 idle sessions: sidecar", "% of a core"),
    "crowd_waiting_mysqld_percent": ("1,000 waiting sessions: mysqld", "% of a core"),
    "crowd_waiting_sidecar_percent": ("1,000 waiting sessions: sidecar", "% of a core"),
    "sidecar_idle_mb": ("sidecar after its start, RSS", "MB"),
    "sidecar_after_mb": ("sidecar after everything here, RSS", "MB"),
    "mysqld_idle_mb": ("mysqld after its start, RSS", "MB"),
    "mysqld_after_mb": ("mysqld after everything here, RSS", "MB"),
    "session_plain_kb": ("mysqld per session that ran SELECT 1, RSS", "kB"),
    "session_called_kb": ("mysqld per session that then ran lambda_sync, more RSS", "kB"),
}
_OUTBOX = {
    "outbox_enqueue_plain_ms": ("INSERT of 1,000 rows, whose trigger writes into a plain table", "ms"),
    "outbox_enqueue_event_ms": ("the same, whose trigger writes into the outbox", "ms"),
    "outbox_enqueue_function_ms": ("the same, whose trigger calls lambda_udf.lambda_async", "ms"),
    "outbox_per_second": ("20,000 events of one transaction: accepted and gone", "events/s"),
    "outbox_sidecar_us": ("CPU of the sidecar for each", "µs"),
    "outbox_mysqld_us": ("CPU of mysqld for each", "µs"),
    "outbox_idle_queries_per_second": ("nothing to deliver: statements", "per second"),
    "outbox_idle_sidecar_percent": ("nothing to deliver: sidecar", "% of a core"),
    "outbox_idle_mysqld_percent": ("nothing to deliver: mysqld", "% of a core"),
    "outbox_idle_percent": ("nothing to deliver: both, without mysqld's own", "% of a core"),
}
_ROWS = {
    "sync_1000_s": ("1,000 rows of lambda_sync, a function of 50 ms", "s"),
    "map_1000_10_s": ("the same rows by lambda_map, 10 at once", "s"),
    "map_1000_100_s": ("100 at once", "s"),
    "map_1000_500_s": ("500 at once", "s"),
    "map_10000_s": ("10,000 rows, 100 at once", "s"),
    "map_rows_per_second": ("an endpoint that answers at once: lambda_map, one session", "rows/s"),
    "map_sidecar_us": ("CPU of the sidecar for each row", "µs"),
    "map_mysqld_us": ("CPU of mysqld for each row", "µs"),
    "batch_1_s": ("100,000 rows of three columns by lambda_batch, one batch at once", "s"),
    "batch_4_s": ("4 at once", "s"),
    "batch_16_s": ("16 at once", "s"),
    "batch_sidecar_s": ("CPU of the sidecar for all of them", "s"),
    "batch_mysqld_s": ("CPU of mysqld for all of them", "s"),
    "map_growth_mb": ("10 statements of lambda_map in a row: mysqld's RSS grows by", "MB"),
    "batch_growth_mb": ("10 statements of lambda_batch in a row: mysqld's RSS grows by", "MB"),
}
_OUTBOX_SAMPLES = {
    "outbox_function_latency_ms": "COMMIT → accepted, written by lambda_udf.lambda_async",
    "outbox_insert_latency_ms": "COMMIT → accepted, written by INSERT after others",
}
_SAMPLES = {
    "kill_query_ms": "KILL QUERY → the statement has ended",
    "kill_connection_ms": "KILL CONNECTION → the statement has ended",
    "max_execution_time_ms": "max_execution_time has passed → the statement has ended",
}


def text(results: Results) -> str:
    """All of it, as Markdown that also reads well on a terminal."""
    sections = (_about, _cases, _cpu, _samples, _others, _many_rows, _outbox, _goals)
    return "\n\n".join(part for section in sections if (part := section(results)))


def write(results: Results, folder: Path) -> None:
    """RESULTS.md and results.svg into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    heading = (
        "# Results of `make bench`\n\nMedian of the rounds (lowest–highest). README.md says what each is."
    )
    if drawing := svg(results):
        (folder / "results.svg").write_text(drawing, encoding="utf-8")
        heading += "\n\n![the main figures as bars](results.svg)"
    (folder / "RESULTS.md").write_text(f"{heading}\n\n{text(results)}\n", encoding="utf-8")


def _about(results: Results) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in results.about.items())


def _cases(results: Results) -> str:
    figures = ("p50_us", "p99_us", "per_second")
    rows = [[name, *(spread(results.case(name, figure)) for figure in figures)] for name in results.cases]
    return section("Calls", table(["contestant/sessions or size", "p50 µs", "p99 µs", "calls/s"], rows))


def _cpu(results: Results) -> str:
    """CPU time; mysqld's also without what the same sessions spend on SELECT 1."""
    rows = []
    for name in results.cases:
        cells = [spread(results.case(name, f"cpu_us.{process}")) for process in _PROCESSES]
        rows.append([name, *cells, _beyond_select(results, name)])
    header = ["contestant/sessions or size", *_PROCESSES, "mysqld − SELECT 1"]
    return section("CPU per call, µs", table(header, rows))


def _beyond_select(results: Results, name: str) -> str:
    contestant, _, sessions = name.partition("/")
    mine = results.case(name, "cpu_us.mysqld")
    plain = results.case(f"select1/{sessions if sessions.isdigit() else 1}", "cpu_us.mysqld")
    return number(mine.median - plain.median) if mine and plain and contestant != "select1" else ""


def _samples(results: Results) -> str:
    rows = []
    for name, label in _SAMPLES.items():
        if samples := results.extra.get(name):
            cells = [number(percentile(samples, share)) for share in (0.5, 0.99, 1)]
            rows.append([label, *cells, str(len(samples))])
    return section("Interrupted calls, ms", table(["", "p50", "p99", "max", "samples"], rows))


def _others(results: Results) -> str:
    return section("Waiting and memory", table(["", "measured", "unit"], _figures(results, _OTHERS)))


def _many_rows(results: Results) -> str:
    return section("Many rows", table(["", "measured", "unit"], _figures(results, _ROWS)))


def _figures(results: Results, labels: Mapping[str, tuple[str, str]]) -> list[list[str]]:
    return [
        [label, spread(found), unit]
        for name, (label, unit) in labels.items()
        if (found := results.figure(name))
    ]


def _outbox(results: Results) -> str:
    rows = _figures(results, _OUTBOX)
    for name, label in _OUTBOX_SAMPLES.items():
        if samples := results.extra.get(name):
            rows += [
                [f"{label}, p{share * 100:g}", number(percentile(samples, share)), "ms"]
                for share in (0.5, 0.95)
            ]
    return section("Outbox", table(["", "measured", "unit"], rows))


def _goals(results: Results) -> str:
    rows = []
    for goal in GOALS:
        if (measured := goal.measured(results)) is not None:
            limit = f"{'≥' if goal.at_least else '≤'} {goal.limit:g} {goal.unit}"
            verdict = "holds" if goal.holds(measured.median) else "MISSED"
            rows.append([goal.text, limit, spread(measured), verdict])
    return section("Goals", table(["goal", "limit", "measured", ""], rows))


def section(title: str, content: str) -> str:
    return f"## {title}\n\n{content}" if content else ""


def spread(value: Spread | None) -> str:
    """Median and, where there is more than one value, lowest–highest in parentheses."""
    if value is None:
        return ""
    if value.low == value.high:
        return number(value.median)
    return f"{number(value.median)} ({number(value.low)}–{number(value.high)})"


def number(value: float) -> str:
    """Three digits that count, thousands separated."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, padded, the first column left and the others right aligned; empty without rows."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(cells)} |"

    rule = f"|:{'-' * (widths[0] + 1)}|{'|'.join('-' * (width + 1) + ':' for width in widths[1:])}|"
    return "\n".join([line(header), rule, *map(line, rows)])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description="Writes a report anew.")
    parser.add_argument("results", type=Path, help="results.json of a run")
    parser.add_argument("folder", type=Path, help="where RESULTS.md and results.svg go")
    options = parser.parse_args(arguments)
    write(Results.read(options.results), options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

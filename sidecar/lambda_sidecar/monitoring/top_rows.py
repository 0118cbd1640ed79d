"""What `lambda-sidecar top` says in its rows: columns of running calls, of functions and of slow calls.

Pure; knows the contract's messages, nothing of how many rows fit."""

from __future__ import annotations

from collections.abc import Sequence

from lambda_sidecar.monitoring.function_figures import FunctionFigures
from lambda_sidecar.monitoring.styled_line import Line, Style, line
from lambda_sidecar.monitoring.text_cells import fitted, harmless, padded, width
from lambda_udf.v1 import monitor_pb2

_TYPES = {"RequestResponse": "sync", "Event": "async", "DryRun": "dry"}
_PHASE_STYLES = {
    monitor_pb2.PHASE_CREDENTIALS: Style.LATE,
    monitor_pb2.PHASE_WAITING: Style.LATE,
    monitor_pb2.PHASE_SENT: Style.GOOD,
}
# Below so many columns those that matter least are left out, so that the others can be read.
_NARROW = 76
_ACCOUNT_MIN = 12
# Seconds: a session that waits for so long has a user who asks why; and one that holds others up.
_LATE, _VERY_LATE = 1.0, 10.0


def running_rows(calls: Sequence[monitor_pb2.CallInFlight], columns: int) -> list[Line]:
    """The names of the columns, and a row for each."""
    numbers = max([4, *(len(str(call.subject.connection_id)) for call in calls)])
    kind = "" if columns < _NARROW else f"{'TYPE':<5} "
    names = f"{'AGE':>7} {'PHASE':<11} {kind}{'CONN':>{numbers}} "
    rows = [_names(names, columns)]
    for call in calls:
        subject = call.subject
        phase = monitor_pb2.Phase.Name(call.phase).removeprefix("PHASE_").lower()
        shown = f"{_TYPES.get(subject.invocation_type, '-'):<5} " if kind else ""
        rows.append(
            [
                _took(call.age_us / 1e6),
                (f" {phase:<11} ", _PHASE_STYLES.get(call.phase, Style.PLAIN)),
                (f"{shown}{subject.connection_id:>{numbers}} ", Style.PLAIN),
                (_who_and_what(subject, columns - len(names)), Style.PLAIN),
            ]
        )
    return rows


def function_rows(functions: Sequence[FunctionFigures], columns: int) -> list[Line]:
    names = f"{'CALLS/S':>8} {'P50':>7} {'P99':>7} {'ERRORS':>7} {'%':>5} "
    rows = [_names(names, columns, account=False)]
    for each in functions:
        share = f"{100 * each.failed / each.calls:.1f}" if each.failed else "-"
        rows.append(
            [
                (f"{each.per_second:>8.1f} ", Style.PLAIN),
                _took(each.median),
                (" ", Style.PLAIN),
                _took(each.percentile_99),
                (f" {each.failed or '-':>7} {share:>5} ", Style.BAD if each.failed else Style.PLAIN),
                *_name_and_pace(each, columns - len(names)),
            ]
        )
    return rows


def _name_and_pace(figures: FunctionFigures, columns: int) -> Line:
    """Of a function that throttles the pace is the news: rather the name is cut."""
    name = harmless(figures.function)
    if not figures.held_to:
        return line(name)
    held = f" held to {figures.held_to:.{1 if figures.held_to < 10 else 0}f}/s"
    return [(fitted(name, max(1, columns - len(held))), Style.PLAIN), (held, Style.LATE)]


def slow_rows(calls: Sequence[monitor_pb2.EndedCall], columns: int) -> list[Line]:
    wide = columns >= _NARROW
    names = f"{'TOOK':>7} {' WAITED ' if wide else ''}{'AGO':>7} {'OUTCOME':<14} "
    rows = [_names(names, columns)]
    for call in calls:
        waited = f"{duration(call.queued_us / 1e6) if call.queued_us else '-':>7} " if wide else ""
        good = call.outcome == "success"
        rows.append(
            [
                _took(call.duration_us / 1e6),
                (f" {waited}{duration(call.ago_ms / 1e3):>7} ", Style.PLAIN),
                (padded(harmless(call.outcome), 14) + " ", Style.PLAIN if good else Style.BAD),
                (_who_and_what(call.subject, columns - len(names)), Style.PLAIN),
            ]
        )
    return rows


def duration(seconds: float) -> str:
    """At most 7 characters below 100 days."""
    if seconds < 1:
        return f"{seconds * 1000:.1f}ms"
    if seconds < 100:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def _took(seconds: float | None) -> tuple[str, Style]:
    if seconds is None:
        return f"{'-':>7}", Style.PLAIN
    style = Style.BAD if seconds >= _VERY_LATE else Style.LATE if seconds >= _LATE else Style.PLAIN
    return f"{duration(seconds):>7}", style


def _names(first: str, columns: int, *, account: bool = True) -> Line:
    who = padded("ACCOUNT", _account_columns(columns - len(first))) + " " if account else ""
    return line(padded(f"{first}{who}FUNCTION", columns), Style.NAMES)


def _who_and_what(subject: monitor_pb2.CallSubject, columns: int) -> str:
    account = harmless(f"'{subject.user}'@'{subject.host}'")
    for_account = _account_columns(columns)
    return f"{padded(account, for_account)} {_named(subject.function, columns - for_account - 1)}"


def _account_columns(columns: int) -> int:
    """Two fifths of what is left, and the function has the others."""
    return max(_ACCOUNT_MIN, columns * 2 // 5)


def _named(function: str, columns: int) -> str:
    """An ARN's name tells functions apart; its region and account come behind it where there is room."""
    parts = harmless(function).split(":")
    if len(parts) < 7 or parts[0] != "arn":
        return harmless(function) or "-"
    name = ":".join(parts[6:])
    longer = (f"{name} {parts[3]} {parts[4]}", f"{name} {parts[3]}")
    return next((text for text in longer if width(text) <= columns), name)

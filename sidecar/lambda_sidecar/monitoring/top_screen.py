"""The screen of `lambda-sidecar top`: one snapshot as lines, no wider and no more than fit.

Pure; knows the contract's messages, nothing of sockets or terminals."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from lambda_sidecar.monitoring.function_figures import function_figures
from lambda_sidecar.monitoring.moments import Moment, Past
from lambda_sidecar.monitoring.styled_line import Line, Style, cut, joined, line
from lambda_sidecar.monitoring.text_cells import harmless
from lambda_sidecar.monitoring.top_rows import duration, function_rows, running_rows, slow_rows
from lambda_sidecar.outbox.numbers import WAITING_MAX
from lambda_udf.v1 import monitor_pb2

_NOT_FAILED = ("success",)
# Of the rows that there is room for, one in so many is kept for functions, and for slow calls.
_SHARE = 4
# A section of fewer rows is left out where others need the lines.
_ROWS_MIN = 2
# From so many lines on an empty one sets sections apart.
_ROOMY = 30
# Slots: so many of them used are worth a look.
_NEARLY_ALL = 0.9


class Section(enum.Enum):
    """A part of the screen, by the key that shows it alone."""

    RUNNING = "r"
    FUNCTIONS = "f"
    SLOWEST = "s"


@dataclass(frozen=True, slots=True)
class View:
    """The terminal, and what its user wants to see in it. `lines` None: all, without a line of keys."""

    columns: int
    lines: int | None
    only: Section | None = None
    paused: bool = False


def screen(now: Moment, past: Past | None, socket: str, view: View) -> list[Line]:
    """Lines of at most `view.columns`; at most `view.lines` of them. Rates are since the last moment, the
    figures of functions since the first one of the past."""
    head = _head(now, past, socket, view.columns)
    keys = [] if view.lines is None else [_keys(view)]
    room = None if view.lines is None else view.lines - len(head) - len(keys)
    body = _body(now, past, view, room)
    if room is not None:
        body = body[: max(room, 0)]
        body += [[] for _ in range(room - len(body))]
    # The line of keys is always the last one that there is.
    text = [*head, *body][: None if view.lines is None else view.lines - len(keys)] + keys
    return [cut(each, view.columns) for each in text]


def _body(now: Moment, past: Past | None, view: View, room: int | None) -> list[Line]:
    """The sections, what runs first; without those for which there is no room."""
    snapshot = now.snapshot
    since = None if past is None else past.first
    seconds = snapshot.uptime_ms / 1000 if since is None else now.seconds - since.seconds
    functions = function_figures(snapshot, None if since is None else since.snapshot, seconds)
    sections = [view.only] if view.only else list(Section)
    wanted = {
        Section.RUNNING: len(snapshot.calls),
        Section.FUNCTIONS: len(functions),
        Section.SLOWEST: len(snapshot.slow),
    }
    space = 1 if room is None or view.lines is None or view.lines >= _ROOMY else 0
    rows = _shared_out({section: wanted[section] for section in sections}, room, 2 + space)
    text: list[Line] = []
    for section, count in rows.items():
        text += [line("")] * space
        if section is Section.RUNNING:
            more = snapshot.in_flight - count
            hidden = f" ({more} more not shown)" if more else ""
            text.append(line(f"IN FLIGHT {snapshot.in_flight}{hidden}", Style.BOLD))
            text += running_rows(snapshot.calls[:count], view.columns)
        elif section is Section.FUNCTIONS:
            when = "since the start" if since is None else f"of the last {max(1, round(seconds))} s"
            text.append(line(f"FUNCTIONS {when}", Style.BOLD))
            text += function_rows(functions[:count], view.columns)
        else:
            minutes = max(1, snapshot.slow_seconds // 60)
            text.append(line(f"SLOWEST of the last {minutes} minutes", Style.BOLD))
            text += slow_rows(snapshot.slow[:count], view.columns)
    return text


def _shared_out(wanted: dict[Section, int], room: int | None, head: int) -> dict[Section, int]:
    """How many rows each section gets, with `head` lines on top. The first has what the others leave, and
    they what it does not need; the last ones are left out where there is little room."""
    if room is None:
        return dict(wanted)
    while len(wanted) > 1 and room < len(wanted) * (head + _ROWS_MIN):
        wanted = dict(list(wanted.items())[:-1])
    free = max(0, room - head * len(wanted))
    first, *others = wanted
    rows = {section: min(wanted[section], max(_ROWS_MIN, free // _SHARE)) for section in others}
    rows = {first: min(wanted[first], free - sum(rows.values())), **rows}
    for section in wanted:  # what the first left
        rows[section] += min(wanted[section] - rows[section], free - sum(rows.values()))
    return rows


def _keys(view: View) -> Line:
    keys = (
        ("q quit", False),
        ("p pause", view.paused),
        ("a all", view.only is None),
        ("r running", view.only is Section.RUNNING),
        ("f functions", view.only is Section.FUNCTIONS),
        ("s slowest", view.only is Section.SLOWEST),
    )
    parts = [line(text, Style.NAMES if chosen else Style.FAINT) for text, chosen in keys]
    return joined([line("PAUSED", Style.LATE), *parts] if view.paused else parts, view.columns)


def _head(now: Moment, past: Past | None, socket: str, columns: int) -> list[Line]:
    snapshot = now.snapshot
    calls, failed = _ended(snapshot.outcomes), _failed(snapshot.outcomes)
    rates = ["", "", ""]
    if past is not None:
        seconds = max(now.seconds - past.last.seconds, 0.001)
        earlier = past.last.snapshot
        grown = (
            calls - _ended(earlier.outcomes),
            failed - _failed(earlier.outcomes),
            snapshot.outbox.accepted - earlier.outbox.accepted,
        )
        rates = [f" ({count / seconds:.1f}/s)" for count in grown]
    kinds = [
        line(f"{harmless(count.outcome)} {count.calls}", Style.PLAIN if _is_good(count) else Style.BAD)
        for count in snapshot.outcomes
        if count.calls
    ]
    slots = f"slots {snapshot.running} of {snapshot.max_concurrency}, waiting {snapshot.waiting}"
    slots += f", throttled {snapshot.held_back}" if snapshot.held_back else ""
    full = (
        snapshot.waiting
        or snapshot.held_back
        or snapshot.running >= _NEARLY_ALL * max(1, snapshot.max_concurrency)
    )
    return [
        [
            (f"lambda-sidecar {harmless(snapshot.version)}", Style.BOLD),
            (f", up {duration(snapshot.uptime_ms / 1000)}, {harmless(socket)}", Style.PLAIN),
        ],
        joined(
            [
                line(f"calls {calls}{rates[0]}, failed {failed}{rates[1]}"),
                line(f"sent {_bytes(snapshot.sent_bytes)}, received {_bytes(snapshot.received_bytes)}"),
            ],
            columns,
            "; ",
        ),
        [(slots, Style.LATE if full else Style.PLAIN), (f"; connections {snapshot.streams}", Style.PLAIN)],
        joined(kinds, columns, ", ") if kinds else line("no call yet"),
        *(_outbox(snapshot.outbox, rates[2]) if snapshot.HasField("outbox") else ()),
    ]


def _outbox(queue: monitor_pb2.Outbox, rate: str) -> list[Line]:
    """Two lines: one would not fit into 80 columns."""
    state = line(f"outbox does not deliver: {harmless(queue.state)}", Style.LATE)
    if queue.delivering:
        waiting = oldest = "-"
        if queue.HasField("waiting"):
            waiting = f"{queue.waiting}{'+' if queue.waiting >= WAITING_MAX else ''}"
        if queue.HasField("oldest_ms"):
            oldest = duration(queue.oldest_ms / 1000)
        state = line(
            f"outbox delivers; waiting {waiting}, oldest due for {oldest}, under way {queue.under_way}"
        )
    return [
        state,
        [
            (f"  accepted {queue.accepted}{rate}, retried {queue.retried}, ", Style.PLAIN),
            (f"dead {queue.dead}", Style.BAD if queue.dead else Style.PLAIN),
            (f", duplicates {queue.duplicates}", Style.PLAIN),
        ],
    ]


def _is_good(count: monitor_pb2.OutcomeCount) -> bool:
    return count.outcome in _NOT_FAILED


def _ended(outcomes: Iterable[monitor_pb2.OutcomeCount]) -> int:
    return sum(count.calls for count in outcomes)


def _failed(outcomes: Iterable[monitor_pb2.OutcomeCount]) -> int:
    return sum(count.calls for count in outcomes if not _is_good(count))


def _bytes(count: int) -> str:
    """In powers of 1000."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"

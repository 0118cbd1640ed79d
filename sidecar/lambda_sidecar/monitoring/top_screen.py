"""The screen of `lambda-sidecar top`: one snapshot as lines of text, no wider and no more than fit.

Pure; knows the contract's messages, nothing of sockets or terminals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lambda_sidecar.monitoring.text_cells import fitted, harmless, padded, width
from lambda_sidecar.outbox.numbers import WAITING_MAX
from lambda_udf.v1 import monitor_pb2

_TYPES = {"RequestResponse": "sync", "Event": "async", "DryRun": "dry"}
_NOT_FAILED = ("success",)
# Before the account: AGE, PHASE, TYPE and CONN; TOOK, WAITED, AGO and OUTCOME.
_RUNNING_HEAD = f"{'AGE':>7} {'PHASE':<11} {'TYPE':<5} {'CONN':>10} "
_SLOW_HEAD = f"{'TOOK':>7} {'WAITED':>7} {'AGO':>7} {'OUTCOME':<14} "
_ACCOUNT_MIN = 18
# The slowest calls keep some lines, however many calls run.
_SLOW_LINES_MIN = 6


@dataclass(frozen=True, slots=True)
class Moment:
    """A snapshot, and when it was taken (seconds, on any clock that only grows)."""

    snapshot: monitor_pb2.SnapshotResponse
    seconds: float


def screen(now: Moment, before: Moment | None, socket: str, *, columns: int, lines: int | None) -> list[str]:
    """Lines of at most `columns`; at most `lines` of them, None: all. Rates are since `before`."""
    snapshot = now.snapshot
    head = _head(now, before, socket)
    running = [_running(call, columns) for call in snapshot.calls]
    slow = [_slow(call, columns) for call in snapshot.slow]
    more = snapshot.in_flight - len(running)
    if lines is not None:
        room = max(0, lines - len(head) - 6)  # titles, columns' names, the empty lines before
        for_slow = min(len(slow), max(_SLOW_LINES_MIN, room - len(running)), room)
        shown = running[: room - for_slow]
        more += len(running) - len(shown)
        running, slow = shown, slow[:for_slow]
    text = [
        *head,
        "",
        f"IN FLIGHT {snapshot.in_flight}" + (f" ({more} more not shown)" if more else ""),
        _titles(_RUNNING_HEAD, columns),
        *running,
        "",
        f"SLOWEST of the last {max(1, snapshot.slow_seconds // 60)} minutes",
        _titles(_SLOW_HEAD, columns),
        *slow,
    ]
    return [fitted(line, columns).rstrip() for line in text[:lines]]


def _head(now: Moment, before: Moment | None, socket: str) -> list[str]:
    snapshot = now.snapshot
    calls, failed = _ended(snapshot.outcomes), _failed(snapshot.outcomes)
    rates = ["", "", ""]
    if before is not None and snapshot.uptime_ms >= before.snapshot.uptime_ms:
        seconds = max(now.seconds - before.seconds, 0.001)
        earlier = before.snapshot
        grown = (
            calls - _ended(earlier.outcomes),
            failed - _failed(earlier.outcomes),
            snapshot.outbox.accepted - earlier.outbox.accepted,
        )
        rates = [f" ({count / seconds:.1f}/s)" for count in grown]
    kinds = [f"{count.outcome} {count.calls}" for count in snapshot.outcomes if count.calls]
    return [
        f"lambda-sidecar {harmless(snapshot.version)}, up {_duration(snapshot.uptime_ms / 1000)}, "
        f"{harmless(socket)}",
        f"calls {calls}{rates[0]}, failed {failed}{rates[1]}; "
        f"sent {_bytes(snapshot.sent_bytes)}, received {_bytes(snapshot.received_bytes)}",
        f"slots {snapshot.running} of {snapshot.max_concurrency}, waiting {snapshot.waiting}; "
        f"connections {snapshot.streams}",
        harmless(", ".join(kinds)) or "no call yet",
        *(_outbox(snapshot.outbox, rates[2]) if snapshot.HasField("outbox") else ()),
    ]


def _outbox(queue: monitor_pb2.Outbox, rate: str) -> list[str]:
    """Two lines: one would not fit into 80 columns."""
    state = f"does not deliver: {harmless(queue.state)}"
    if queue.delivering:
        waiting = oldest = "-"
        if queue.HasField("waiting"):
            waiting = f"{queue.waiting}{'+' if queue.waiting >= WAITING_MAX else ''}"
        if queue.HasField("oldest_ms"):
            oldest = _duration(queue.oldest_ms / 1000)
        state = f"delivers; waiting {waiting}, oldest due for {oldest}, under way {queue.under_way}"
    return [
        f"outbox {state}",
        f"  accepted {queue.accepted}{rate}, retried {queue.retried}, dead {queue.dead}, "
        f"duplicates {queue.duplicates}",
    ]


def _ended(outcomes: Iterable[monitor_pb2.OutcomeCount]) -> int:
    return sum(count.calls for count in outcomes)


def _failed(outcomes: Iterable[monitor_pb2.OutcomeCount]) -> int:
    return sum(count.calls for count in outcomes if count.outcome not in _NOT_FAILED)


def _titles(head: str, columns: int) -> str:
    return head + padded("ACCOUNT", _account_columns(head, columns)) + " FUNCTION"


def _running(call: monitor_pb2.CallInFlight, columns: int) -> str:
    subject = call.subject
    phase = monitor_pb2.Phase.Name(call.phase).removeprefix("PHASE_").lower()
    kind = _TYPES.get(subject.invocation_type, "-")
    first = f"{_duration(call.age_us / 1e6):>7} {phase:<11} {kind:<5} {subject.connection_id:>10} "
    return first + _who_and_what(subject, _RUNNING_HEAD, columns)


def _slow(call: monitor_pb2.EndedCall, columns: int) -> str:
    waited = _duration(call.queued_us / 1e6) if call.queued_us else "-"
    first = f"{_duration(call.duration_us / 1e6):>7} {waited:>7} {_duration(call.ago_ms / 1e3):>7} "
    return first + padded(harmless(call.outcome), 14) + " " + _who_and_what(call.subject, _SLOW_HEAD, columns)


def _who_and_what(subject: monitor_pb2.CallSubject, head: str, columns: int) -> str:
    account = harmless(f"'{subject.user}'@'{subject.host}'")
    for_account = _account_columns(head, columns)
    return f"{padded(account, for_account)} {_named(subject.function, columns - len(head) - for_account - 1)}"


def _account_columns(head: str, columns: int) -> int:
    """Half of what is left, and the function has the other half."""
    return max(_ACCOUNT_MIN, (columns - len(head)) // 2)


def _named(function: str, columns: int) -> str:
    """An ARN's name tells functions apart; its region and account come behind it where there is room."""
    parts = harmless(function).split(":")
    if len(parts) < 7 or parts[0] != "arn":
        return harmless(function) or "-"
    name = ":".join(parts[6:])
    longer = (f"{name} {parts[3]} {parts[4]}", f"{name} {parts[3]}")
    return next((text for text in longer if width(text) <= columns), name)


def _duration(seconds: float) -> str:
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


def _bytes(count: int) -> str:
    """In powers of 1000."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"

"""A row of the fault table, and how it comes about: a fault is played, and looked at from a session.

Knows the stage; nothing of single faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.sessions import TIMEOUT_MS, Seen
from tests.faults.stage import Stage

AT_ONCE, TIMEOUT = "at once", "`timeout_ms`"
# Seconds. What is over before the first waits for nothing; no limit but timeout_ms lies beyond the second.
_AT_ONCE, _TIMEOUT = 0.55, TIMEOUT_MS / 1000 - 0.05
# KILL and a limit are seen within 100 ms; the rest is for a machine that does other things too.
_LATE = 2.0
# What each limit of the middle is, in the table.
CONNECT, SIDECAR_CONNECT, ATTEMPTS = "`connect_timeout_ms`", "3 × `connect_timeout_seconds`", "three attempts"
# Their pauses are random, from nothing on: they may be over at once.
SDK_ATTEMPTS = "the AWS SDK's attempts"


@dataclass(frozen=True)
class Row:
    """`play` brings the fault about, and takes it back; it gives what one statement has seen of it. `limit` is what
    the statement waits for if it ends neither at once nor by timeout_ms."""

    fault: str
    play: Callable[[Stage], Seen]
    sidecar: str = "plain"
    limit: str = ""
    lasts: str = ""
    """Instead: what the statement has waited for, however long that took."""
    afterwards: str = ""
    """The kind of sidecar that the next statement finds in this one's place, if only another one can do it."""
    needs: Callable[[], str] = lambda: ""
    """Why the fault cannot be brought about on this machine; empty if it can."""


@dataclass(frozen=True)
class Outcome:
    """As the table has it."""

    seen: str
    after: str
    invoked: str
    next_statement: str
    uptime: str

    def cells(self) -> tuple[str, ...]:
        return (self.seen, self.after, self.invoked, self.next_statement, self.uptime)


def outcome(stage: Stage, row: Row) -> Outcome:
    """Plays it once."""
    stage.begin(row.sidecar)
    process, ran = stage.uptime()
    seen = row.play(stage)
    invoked = str(stage.invoked)
    if row.afterwards:
        stage.lead_to(row.afterwards)
    with stage.all_well():
        following = stage.next_statement()
    after, runs = stage.uptime()
    goes_on = (after, True) == (process, runs >= ran) and Path(f"/proc/{process}").exists()
    return Outcome(
        seen=f"`{seen.error}`" if seen.error else "the answer",
        after=row.lasts or _class(seen.seconds, row.limit),
        invoked=seen.invoked or invoked,
        next_statement=following,
        uptime="unbroken" if goes_on else "begins anew",
    )


def _class(seconds: float, limit: str) -> str:
    """Which limit has ended it."""
    if seconds < _AT_ONCE:
        return SDK_ATTEMPTS if limit == SDK_ATTEMPTS else AT_ONCE
    if seconds < _TIMEOUT:
        return limit or f"{seconds:.1f} s"
    return TIMEOUT if seconds < _TIMEOUT + _LATE else f"{seconds:.1f} s"

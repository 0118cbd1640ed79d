"""What was written, how it ended, and whether the endpoint's book says the same.

Pure; knows neither MySQL nor HTTP."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.endpoint import Accepted, Endpoint


@dataclass
class Book:
    """Of all clients. An event is `committed`, `undone`, or nobody knows, as of a COMMIT that was not
    answered; `resolve` asks the database then."""

    payloads: dict[str, bytes] = field(default_factory=dict)
    committed: set[str] = field(default_factory=set)
    undone: set[str] = field(default_factory=set)
    durable: set[str] = field(default_factory=set)
    """Those that are to be started once."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, event: str, payload: str) -> None:
        with self.lock:
            assert event not in self.payloads
            self.payloads[event] = payload.encode()

    def commit(self, events: set[str]) -> None:
        with self.lock:
            self.committed |= events

    def undo(self, events: set[str]) -> None:
        with self.lock:
            self.undone |= events

    @property
    def unknown(self) -> set[str]:
        return set(self.payloads) - self.committed - self.undone

    def resolve(self, marks: set[str]) -> None:
        """`marks` were committed with their events. Whoever was answered must have been answered truly."""
        assert self.committed <= marks
        assert not self.undone & marks
        self.committed |= self.unknown & marks
        self.undone |= self.unknown


@dataclass(frozen=True)
class Comparison:
    """Of a resolved book with an endpoint's. `doubled` are events, `doubles` acceptances too many."""

    lost: set[str]
    invented: set[str]
    altered: set[str]
    doubled: set[str]
    doubles: int
    started_twice: set[str]


def compare(book: Book, endpoint: Endpoint) -> Comparison:
    times = endpoint.times_accepted()
    return Comparison(
        lost=book.committed - set(times),
        invented=set(times) - book.committed,
        altered={event for event, bodies in endpoint.bodies.items() if bodies != {book.payloads[event]}},
        doubled={event for event, number in times.items() if number > 1},
        doubles=times.total() - len(times),
        started_twice={event for event, number in endpoint.starts.items() if number > 1},
    )


def doubled_by_one_sidecar(accepted: list[Accepted]) -> list[str]:
    """Events that one process delivered again although it had heard that they were accepted."""
    heard = Counter((each.event, each.sidecar) for each in accepted if each.was_heard)
    return [event for (event, _), number in heard.items() if number > 1]

"""The outbox's numbers at one moment, for those who watch it: metrics and `lambda-sidecar top`.

Plain values; knows neither how they come about nor how they are shown."""

from __future__ import annotations

from dataclasses import dataclass

# Rows are counted so far: 100,000 small ones in some 20 ms.
WAITING_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Numbers:
    """Counters are since the sidecar's start, and count what is committed."""

    state: str
    """In words: "delivers", or why this sidecar does not."""
    is_delivering: bool
    under_way: int
    """Rows at Lambda, or on their way."""
    accepted: int
    retried: int
    """Attempts that failed, and were put off."""
    dead: int
    duplicates: int
    """Rows dropped because of their deduplication_key."""
    waiting: int | None
    """Rows in `outbox` and `outbox_waiting`, counted up to WAITING_MAX. None, as oldest_seconds: not
    known, because this sidecar does not deliver or has not asked yet."""
    oldest_seconds: float | None
    """How long the oldest row has been due; 0 if none is."""

"""The memory of slow calls: what it keeps, for how long, and that it is bounded.

Each test's name is the sentence that it proves."""

from __future__ import annotations

from lambda_sidecar.access.account import Account
from lambda_sidecar.calls.call import Call, Outcome
from lambda_sidecar.calls.lambda_invoke import Options
from lambda_sidecar.calls.slow_calls import SLOW_MAX, WINDOW_SECONDS, SlowCalls
from lambda_sidecar.concurrency.slots import Share


class Memory:
    """Calls noted as traffic.py does it, on a clock that a test sets."""

    def __init__(self) -> None:
        self.slow = SlowCalls()
        self.slow.window_ends = WINDOW_SECONDS

    def note(self, milliseconds: int, at: float) -> None:
        """The connection's number says how long the call took."""
        call = Call(
            Account("app", "%"),
            "f",
            b"",
            options=Options(),
            timeout_ms=1000,
            share=Share(),
            connection_id=milliseconds,
        )
        seconds = milliseconds / 1000
        if seconds > self.slow.floor or at >= self.slow.window_ends:
            self.slow.note(call, Outcome.SUCCESS, seconds, at)

    def kept(self, at: float) -> list[int]:
        return [call.connection_id for call in self.slow.slowest(at)]


def test_the_slowest_are_kept_and_told_slowest_first() -> None:
    memory = Memory()
    for milliseconds in (*range(1, 200), *range(200, 0, -1)):
        memory.note(milliseconds, at=1)
    assert memory.kept(2) == sorted([*range(1, 200), *range(200, 0, -1)], reverse=True)[:SLOW_MAX]
    assert memory.slow.floor == memory.kept(2)[-1] / 1000


def test_a_slow_call_is_told_for_at_least_one_window_and_at_most_two() -> None:
    memory = Memory()
    memory.note(9000, at=WINDOW_SECONDS - 1)
    memory.note(5, at=WINDOW_SECONDS + 1)
    assert memory.kept(WINDOW_SECONDS + 2) == [9000, 5]
    memory.note(7, at=2 * WINDOW_SECONDS + 2)
    assert memory.kept(2 * WINDOW_SECONDS + 3) == [7, 5]


def test_after_a_pause_nothing_old_is_told() -> None:
    memory = Memory()
    memory.note(9000, at=1)
    assert memory.kept(10 * WINDOW_SECONDS) == []


def test_a_window_full_of_slow_calls_does_not_hide_the_next_windows() -> None:
    memory = Memory()
    for _ in range(100):
        memory.note(9000, at=1)
    memory.note(5, at=WINDOW_SECONDS + 1)
    memory.note(6, at=2 * WINDOW_SECONDS + 2)
    assert memory.kept(2 * WINDOW_SECONDS + 3) == [6, 5]

"""Rows that the server refuses to settle, or that are locked: how often they are tried, and whom that holds up.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import pytest
from tests.support.waiting import until

from lambda_sidecar.outbox import refusals as room
from lambda_sidecar.outbox.lane import LOCKED_SECONDS
from lambda_sidecar.outbox.lanes import Lanes
from lambda_sidecar.outbox.refusals import Refusals
from lambda_sidecar.outbox.row import Row, Stored, make_row
from lambda_sidecar.outbox.verdict import Dead, Parked, Verdict

DEAD = Dead("gone")


def row(number: int, function: str = "f", key: str | None = None) -> Row:
    options = None if key is None else {"group_key": key}
    return make_row(Stored(number, function, "1", options, "app@%", 1.0, 1), is_waiting=False)


def unused(_row: Row, _verdict: Verdict) -> None:
    raise AssertionError


async def test_rows_that_are_locked_count_for_nobody_until_they_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "APART_ROWS", 2)
    refusals = Refusals(unused)
    counted = []
    for number in range(1, 5):
        refusals.set_apart_locked(row(number), DEAD)
        counted.append(refusals.counted)
    assert counted == [0, 0, 1, 2]
    refusals.is_settled(row(1))
    refusals.is_settled(row(2))
    assert (refusals.counted, refusals.passing, refusals.are_some_locked) == (0, 2, True)


async def test_a_locked_row_is_tried_again_soon_and_then_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LOCKED_SECONDS", 0.001)
    monkeypatch.setattr(room, "LOCKED_SECONDS_MAX", 0.004)
    again: list[Row] = []
    refusals = Refusals(lambda each, _verdict: again.append(each))
    locked = row(1)
    waits = []
    for tries in range(1, 5):
        refusals.set_apart_locked(locked, DEAD)
        waits.append(refusals._apart[1])
        await until(lambda tries=tries: len(again) == tries, what="it is tried again")  # type: ignore[misc]
        assert refusals.was_locked(locked)
    assert waits == [0.001, 0.002, 0.004, 0.004]


async def test_rows_behind_a_locked_one_of_their_key_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = Refusals(unused)
    refusals.set_apart_locked(row(2, key="k"), Parked())
    assert refusals.is_behind_one(row(3, key="k"), Parked())
    assert not refusals.is_behind_one(row(1, key="k"), Parked())
    assert not refusals.is_behind_one(row(3, key="other"), Parked())
    refusals.is_settled(row(2, key="k"))
    assert not refusals.is_behind_one(row(3, key="k"), Parked())


async def test_a_function_of_which_many_rows_are_locked_sends_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "LOCKED_MANY", 2)
    refusals = Refusals(unused)
    lanes = Lanes(10)
    for number in range(1, 5):
        for name in ("f", "g"):
            assert lanes.offer(row(10 * number, name))
    for number, name in enumerate(("f", "f", "g", "f", "f"), start=1):
        if refusals.set_apart_locked(row(number, name), DEAD):
            lanes.is_locked(name, 1.0)
    assert not refusals.set_apart_locked(row(5, "f"), DEAD)  # again
    now = 1.0 + LOCKED_SECONDS
    assert [each.function_name for each in iter(lambda: lanes.next(1.0), None)] == ["g"] * 4
    assert [each.function_name for each in iter(lambda: lanes.next(now), None)] == ["f"]

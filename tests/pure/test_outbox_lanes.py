"""Lanes: how many rows of each function are under way, and which one is next.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from lambda_sidecar.access.account import Account
from lambda_sidecar.calls.lambda_invoke import Options
from lambda_sidecar.outbox import lanes as room
from lambda_sidecar.outbox.lane import ANSWER_BYTES, PAUSE_MAX, PAUSE_MIN
from lambda_sidecar.outbox.lanes import ANSWERS_MAX, LANE_ROWS, Lanes
from lambda_sidecar.outbox.row import Row

APP = Account("app", "%")


def row(number: int, function: str = "f", *, is_waiting: bool = False) -> Row:
    return Row(number, function, b"{}", APP, 0.0, 2, is_waiting=is_waiting)


def filled(lanes: Lanes, rows: int, *functions: str) -> None:
    number = 0
    for _ in range(rows):
        for function in functions:
            number += 1
            assert lanes.offer(row(number, function))


def waiting(lanes: Lanes, function: str) -> list[Row]:
    return list(lanes._lanes[function].rows)


def begun(lanes: Lanes, now: float = 0.0) -> list[Row]:
    """All that may begin."""
    rows = []
    while (each := lanes.next(now)) is not None:
        rows.append(each)
    return rows


def test_one_function_takes_half_of_the_capacity_at_most() -> None:
    lanes = Lanes(100)
    filled(lanes, 200, "slow")
    assert len(begun(lanes)) == 50
    assert lanes.under_way == 50


def test_there_is_always_room_for_one_more_function() -> None:
    lanes = Lanes(100)
    for number in range(6):
        filled(lanes, 100, f"slow{number}")
        assert begun(lanes)
    filled(lanes, 1, "newcomer")
    assert [each.function_name for each in begun(lanes)] == ["newcomer"]


def test_functions_that_begin_together_get_equal_shares() -> None:
    lanes = Lanes(100)
    filled(lanes, 60, "a", "b", "c")
    shares = Counter(each.function_name for each in begun(lanes))
    assert max(shares.values()) - min(shares.values()) <= 1
    assert 70 <= sum(shares.values()) < 100


def test_a_single_place_is_used() -> None:
    lanes = Lanes(1)
    filled(lanes, 3, "a", "b")
    assert len(begun(lanes)) == 1


def test_a_lane_pauses_twice_as_long_each_time_that_it_fails() -> None:
    lanes = Lanes(10)
    filled(lanes, 20, "f")
    now, pauses = 0.0, []
    for _ in range(12):
        failing = lanes.next(now)
        assert failing is not None
        lanes.failed(failing, now, row_alone=False)
        assert lanes.offer(failing)
        assert lanes.next(now) is None
        resumes = lanes.resumes(now)
        assert resumes is not None
        pauses.append(resumes - now)
        now = resumes
    assert pauses[:3] == pytest.approx([PAUSE_MIN, 2 * PAUSE_MIN, 4 * PAUSE_MIN])
    assert pauses[-1] == pytest.approx(PAUSE_MAX)


def test_failures_of_one_burst_halve_the_limit_once() -> None:
    lanes = Lanes(100)
    filled(lanes, 60, "f")
    for each in begun(lanes):
        lanes.failed(each, 0.0, row_alone=False)
    filled(lanes, 60, "f")
    assert len(begun(lanes, PAUSE_MIN)) == 50  # the limit of 100 is 50 now
    lanes = Lanes(100)
    filled(lanes, 60, "f")
    for pause in (0.0, 1.0, 2.0, 4.0):
        (first, *others) = begun(lanes, pause)
        lanes.failed(first, pause, row_alone=False)
        for each in others:
            lanes.failed(each, pause, row_alone=True)
        filled(lanes, 60, "f")
    assert len(begun(lanes, 10.0)) == 7  # 100 / 2 / 2 / 2 / 2, and one that is not whole


def test_each_success_lets_one_more_row_of_its_function_go() -> None:
    lanes = Lanes(100)
    filled(lanes, 400, "f")
    for now in (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0):
        for each in begun(lanes, now):
            lanes.failed(each, now, row_alone=False)
    now = 100.0
    sizes = []
    for _ in range(4):
        rows = begun(lanes, now)
        sizes.append(len(rows))
        for each in rows:
            lanes.succeeded(each)
    assert sizes == [1, 2, 4, 8]


def test_a_row_that_fails_for_itself_does_not_slow_down_its_function() -> None:
    lanes = Lanes(100)
    filled(lanes, 60, "f")
    for each in begun(lanes):
        lanes.failed(each, 0.0, row_alone=True)
    assert lanes.resumes(0.0) is None
    assert begun(lanes)


def test_a_function_that_pauses_holds_up_no_other() -> None:
    lanes = Lanes(10)
    filled(lanes, 5, "bad", "good")
    bad = next(each for each in begun(lanes) if each.function_name == "bad")
    lanes.failed(bad, 0.0, row_alone=False)
    good = [each for each in begun(lanes) if each.function_name == "good"]
    filled(lanes, 1, "good")
    assert {each.function_name for each in [*good, *begun(lanes)]} == {"good"}


def test_lanes_with_rows_to_be_read_again_take_turns() -> None:
    lanes = Lanes(100_000)
    for function in ("a", "b", "c"):
        number = 0
        while lanes.offer(row(number, function)):
            number += 1
    assert begun(lanes)
    assert lanes.has_to_read_again()
    names = [lane.name for _ in range(6) if (lane := lanes.to_read_again()) is not None]
    assert sorted(names[:3]) == ["a", "b", "c"]
    assert names[:3] == names[3:]


def test_a_lane_that_nobody_needs_is_forgotten() -> None:
    lanes = Lanes(10)
    filled(lanes, 1, "f")
    lanes.forget_idle(0.0)
    (only,) = begun(lanes)
    lanes.forget_idle(0.0)
    lanes.succeeded(only)  # it was there still
    lanes.forget_idle(0.0)
    assert lanes.next(0.0) is None
    assert lanes.skipping() == {}


@pytest.mark.parametrize("seed", range(20))
def test_no_row_that_had_no_room_is_lost(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Against a model: a table of ids, of which a reader offers what it sees, late ones too."""
    monkeypatch.setattr(room, "BUFFERED_ROWS", 40)
    chosen = random.Random(seed)  # noqa: S311
    lanes, capacity, functions = Lanes(8), 8, "abcd"
    table: dict[int, str] = {}
    held: dict[int, Row] = {}
    under_way: list[Row] = []
    late: list[tuple[int, str]] = []
    next_id, position, now = 1, 0, 0.0

    def take(number: int) -> None:
        if number not in held and lanes.offer(each := row(number, table[number])):
            held[number] = each

    steps = 0
    while steps < 3000 or table:
        steps += 1
        assert steps < 20_000, f"rows are stuck (seed {seed}): {sorted(table)[:5]} of {len(table)}"
        now += chosen.random()
        action = chosen.random()
        if steps < 3000 and action < 0.3 and len(table) < 200:
            for _ in range(chosen.choice((1, 1, 1, 5))):
                what = (next_id, "a" if chosen.random() < 0.6 else chosen.choice(functions))
                if chosen.random() < 0.1:
                    late.append(what)
                else:
                    table.setdefault(*what)
                next_id += 1
        elif action < 0.45 and late:
            table.setdefault(*late.pop(chosen.randrange(len(late))))
        elif action < 0.7:
            without = lanes.skipping()
            for number in sorted(table):
                if number > position and number < without.get(table[number], number + 1):
                    take(number)
            position = max([position, *table])
            if chosen.random() < 0.3:
                without = lanes.skipping()
                for number in [each for each in sorted(table) if each < without.get(table[each], each + 1)]:
                    take(number)
        elif action < 0.8 and (lane := lanes.to_read_again()) is not None:
            since, lane.skipped_from = lane.skipped_from, None
            assert since is not None
            found = [number for number in sorted(table) if number >= since and table[number] == lane.name][
                :10
            ]
            for number in found:
                take(number)
            if len(found) == 10 and lane.skipped_from is None:
                lane.skipped_from = found[-1] + 1
        elif action < 0.9:
            under_way += begun(lanes, now)
            assert len(under_way) == lanes.under_way <= capacity
        elif under_way:
            chosen.shuffle(under_way)
            for ended in under_way[:4]:
                if chosen.random() < 0.2:
                    lanes.failed(ended, now, row_alone=chosen.random() < 0.5)
                else:
                    lanes.succeeded(ended)
                del held[ended.id], table[ended.id]
            del under_way[:4]
            lanes.forget_idle(now)
        if steps >= 3000:
            table.update(late)
            late.clear()
    assert not held
    assert lanes.buffered == 0


def test_a_lane_always_has_room_for_some_rows() -> None:
    lanes = Lanes(10)
    number = 0
    for function in range(400):
        for _ in range(LANE_ROWS):
            number += 1
            assert lanes.offer(row(number, str(function)))
        assert lanes.room_for(str(function)) <= lanes.room_for("another")


def test_rows_are_read_again_from_the_lowest_one_that_had_no_room() -> None:
    lanes = Lanes(10)
    number = 100
    while lanes.offer(row(number)):
        number += 1
    assert not lanes.offer(row(7))  # its transaction ended late
    assert list(lanes.skipping()) == ["f"]
    while rows := begun(lanes):
        for each in rows:
            lanes.succeeded(each)
    lane = lanes.to_read_again()
    assert lane is not None
    assert lane.skipped_from == 7


def test_rows_that_wait_for_their_function_get_half_of_the_capacity_of_however_many_functions() -> None:
    lanes = Lanes(20)
    for number in range(30):
        slow = row(number, f"slow{number}")
        slow.call = Options(invocation_type="RequestResponse")
        assert lanes.offer(slow)
    slow_ones = begun(lanes)
    assert len(slow_ones) == 10
    assert lanes.offer(row(100, "event"))
    assert [each.function_name for each in begun(lanes)] == ["event"]
    lanes.succeeded(slow_ones[0])
    assert len(begun(lanes)) == 1


def test_answers_that_are_kept_are_begun_only_as_far_as_there_is_room_for_them() -> None:
    lanes = Lanes(1000)
    filled(lanes, 400, "kept", "event")
    for each in waiting(lanes, "kept"):
        each.keep_result = True
    kept = [each for each in begun(lanes) if each.keep_result]
    assert len(kept) == ANSWERS_MAX // ANSWER_BYTES // 2
    largest = 6 * 1024 * 1024
    for each in kept:  # now it is known how large they are
        lanes.answered(each, largest)
        lanes.succeeded(each)
    filled(lanes, 10, "event")
    again = begun(lanes)
    kept = [each for each in again if each.keep_result]
    assert len(kept) == ANSWERS_MAX // largest // 2
    assert len(again) > len(kept), "others do not wait for that room"
    for each in kept:
        for _ in range(30):
            lanes.answered(each, 10)
        lanes.succeeded(each)
    kept = [each for each in begun(lanes) if each.keep_result]
    assert len(kept) > ANSWERS_MAX // ANSWER_BYTES // 2


def test_an_answer_that_is_larger_than_all_the_room_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ANSWERS_MAX", 10)
    lanes = Lanes(10)
    filled(lanes, 3, "kept")
    for each in waiting(lanes, "kept"):
        each.keep_result = True
    (only,) = begun(lanes)
    lanes.succeeded(only)
    assert len(begun(lanes)) == 1


def test_where_only_small_rows_may_go_a_large_one_holds_up_its_own_function_alone() -> None:
    lanes = Lanes(10)
    large = row(1, "large")
    large.payload = None
    assert lanes.offer(large)
    assert lanes.offer(row(2, "large"))
    assert lanes.offer(row(3, "small"))
    small = lanes.next(0.0, small=True)
    assert small is not None
    assert small.id == 3
    assert lanes.next(0.0, small=True) is None
    assert lanes.next(0.0) is large


@pytest.mark.parametrize("capacity", [4, 20, 100])
def test_one_function_that_is_waited_for_leaves_room_for_another_that_is(capacity: int) -> None:
    lanes = Lanes(capacity)
    for number in range(2 * capacity):
        slow = row(number, "slow")
        slow.call = Options(invocation_type="RequestResponse")
        assert lanes.offer(slow)
    assert len(begun(lanes)) == capacity // 4
    quick = row(1000, "quick")
    quick.call = Options(invocation_type="RequestResponse")
    assert lanes.offer(quick)
    assert begun(lanes) == [quick]


def test_a_lane_that_has_failed_is_forgotten_once_it_has_been_idle_for_long() -> None:
    lanes = Lanes(10)
    filled(lanes, 1, "f")
    (only,) = begun(lanes)
    lanes.failed(only, 0.0, row_alone=False)
    lanes.forget_idle(PAUSE_MAX)
    assert len(lanes._lanes) == 1
    lanes.forget_idle(PAUSE_MIN + PAUSE_MAX)
    assert not lanes._lanes
    assert not lanes._turns


def test_functions_that_fail_keep_one_row_each_where_there_is_no_room_for_others() -> None:
    lanes = Lanes(10)
    filled(lanes, 10, "f", "works")
    for each in begun(lanes):
        if each.function_name == "f":
            lanes.failed(each, 0.0, row_alone=False)
    before = lanes.buffered
    gone = lanes.thin()
    assert {each.function_name for each in gone} == {"f"}
    assert lanes.buffered == before - len(gone)
    assert lanes.skipping() == {"f": min(each.id for each in gone)}
    assert [each.function_name for each in begun(lanes, PAUSE_MAX)].count("f") == 1


def test_while_there_are_many_rows_a_function_that_fails_has_room_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lanes = Lanes(10)
    filled(lanes, 1, "f")
    (only,) = begun(lanes)
    lanes.failed(only, 0.0, row_alone=False)
    assert lanes.room_for("f") > 1
    monkeypatch.setattr(room, "BUFFERED_ROWS", 0)
    assert lanes.room_for("f") == 1
    assert lanes.offer(row(100, "f"))
    assert not lanes.offer(row(101, "f"))
    assert lanes.full() == ["f"]
    assert lanes.offer(row(102, "works"))
    assert not lanes.has_to_read_again()
    begun(lanes, PAUSE_MAX)
    assert lanes.has_to_read_again()


def test_a_function_has_enough_rows_when_half_of_its_room_is_full() -> None:
    lanes = Lanes(10)
    few = lanes.room_for("f") // 3
    filled(lanes, few, "f")
    assert lanes.full() == []
    filled(lanes, few, "f")
    assert lanes.full() == ["f"]
    assert lanes.room_for("f") > 0

"""Groups: of each group_key one row is under way, the first one, and no key is ever stuck.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from lambda_sidecar.outbox.groups import Groups


def test_a_key_is_read_when_its_first_row_waits() -> None:
    groups = Groups[str]()
    groups.know("k")
    assert groups.to_read(10) == ["k"]


def test_a_key_with_a_row_under_way_is_not_read_until_that_has_ended() -> None:
    groups = Groups[str]()
    groups.know("k")
    groups.reading("k")
    groups.begin("k", 1)
    groups.know("k")
    assert groups.to_read(10) == []
    groups.end("k")
    assert groups.to_read(10) == ["k"]


def test_only_keys_that_are_not_known_become_known_from_a_list() -> None:
    groups = Groups[str]()
    for key in ("under way", "waits"):
        groups.know(key)
        groups.reading(key)
    groups.begin("under way", 1)
    groups.know_new(["under way", "waits", "new"])
    assert groups.to_read(10) == ["new"]


def test_a_row_that_becomes_known_while_its_key_is_read_is_not_forgotten() -> None:
    groups = Groups[str]()
    groups.know("k")
    groups.reading("k")
    groups.know("k", 2)  # its transaction ends
    groups.forget("k")  # what was read is older
    assert groups.to_read(10) == ["k"]


def test_a_row_that_was_seen_before_it_was_let_go_is_not_under_way() -> None:
    groups = Groups[str]()
    groups.know("k")
    groups.reading("k")
    groups.begin("k", 2)  # seen in the table, and held as the one that it was before
    groups.know("k", 2)
    assert groups.to_read(10) == ["k"]


def test_a_lower_row_that_comes_late_is_read_though_the_first_one_waits_for_its_time() -> None:
    groups = Groups[str]()
    groups.know("k")
    groups.reading("k")  # its time has not come
    groups.know("k", 1)
    assert groups.to_read(10) == ["k"]


def test_keys_whose_function_is_full_are_not_read_until_it_has_room() -> None:
    groups = Groups[str]()
    for key in ("a", "b", "c"):
        groups.know(key)
        groups.reading(key)
        groups.full(key, "f")
    assert groups.to_read(10) == []
    assert groups.full_functions() == ["f"]
    groups.has_room("f", 2)
    assert groups.to_read(10) == ["a", "b"]
    groups.has_room("f", 5)
    assert groups.to_read(10) == ["a", "b", "c"]
    assert groups.full_functions() == []


@pytest.mark.parametrize("rows", [0, 3])
def test_however_many_keys_wait_for_room_only_those_are_looked_at_that_have_it(rows: int) -> None:
    """Each look asks for every function that is full: a copy of all its keys takes eight bytes for each."""
    groups = Groups[str]()
    keys = [f"customer-{each}" for each in range(20_000)]
    for key in keys:
        groups.know(key)
        groups.reading(key)
        groups.full(key, "f")
    tracemalloc.start()
    try:
        groups.has_room("f", rows)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert groups.to_read(10) == keys[:rows]
    assert most < len(keys)


def test_a_full_key_that_has_moved_on_is_not_read_for_nothing() -> None:
    groups = Groups[str]()
    for key in ("gone", "under way"):
        groups.know(key)
        groups.reading(key)
        groups.full(key, "f")
    groups.forget("gone")
    groups.begin("under way", 7)
    groups.has_room("f", 5)
    assert groups.to_read(10) == []


def test_after_a_reconnect_only_rows_under_way_are_known() -> None:
    groups = Groups[str]()
    for key in ("waits", "goes"):
        groups.know(key)
        groups.reading(key)
    groups.begin("goes", 1)
    groups.clear()
    assert groups.to_read(10) == []
    groups.know("goes")
    groups.know("waits")
    assert groups.to_read(10) == ["waits"]


@pytest.mark.parametrize("seed", range(20))
def test_every_row_of_every_key_goes_in_order_whatever_comes_between(seed: int) -> None:
    """Against a model of the table: parking, reading in two steps, ends, waits, full functions and reconnects."""
    chosen = random.Random(seed)  # noqa: S311
    groups = Groups[str]()
    keys = "abcde"
    table: dict[str, list[int]] = {key: [] for key in keys}
    parked: list[tuple[str, int]] = []
    """In the table, and not let go yet."""
    waits_until: dict[int, int] = {}
    under_way: dict[str, int] = {}
    reading: tuple[str, int | None] | None = None
    sent: dict[str, list[int]] = {key: [] for key in keys}
    last = 0

    def finish_reading(step: int) -> None:
        nonlocal reading
        assert reading is not None
        (key, head), reading = reading, None
        if head is None:
            groups.forget(key)
        elif (key, head) in parked:
            groups.begin(key, head)
        elif waits_until.get(head, 0) > step:
            return
        elif chosen.random() < 0.2:
            groups.full(key, key)
        else:
            assert key not in under_way, f"two of one key (seed {seed})"
            groups.begin(key, head)
            under_way[key] = head

    step = 0
    while step < 4000 or any(table.values()):
        step += 1
        assert step < 20_000, f"a key is stuck (seed {seed}): {table}"
        action = chosen.random()
        if step < 4000 and action < 0.2:
            last += 1
            key = chosen.choice(keys)
            table[key].append(last)
            parked.append((key, last))
        elif action < 0.35 and parked:
            groups.know(*parked.pop(0))
        elif action < 0.65:
            if reading is not None:
                finish_reading(step)
            elif to_read := groups.to_read(3):
                key = to_read[-1]
                groups.reading(key)
                reading = (key, table[key][0] if table[key] else None)
        elif action < 0.85 and under_way:
            key = chosen.choice(list(under_way))
            number = under_way.pop(key)
            if chosen.random() < 0.3:
                waits_until[number] = step + chosen.randrange(20)
            else:
                sent[key].append(number)
                table[key].remove(number)
            groups.end(key)
        elif action < 0.95:
            for name in groups.full_functions():
                groups.has_room(name, chosen.randrange(1, 3))
        elif action > 0.998 and reading is None:
            for key in list(under_way) if chosen.random() < 0.5 else []:
                groups.forget(key)  # it has not begun
                del under_way[key]
            groups.clear()
            for key in keys:
                if table[key]:
                    groups.know(key)
        for key in keys:  # the time of the first row has come
            if table[key] and waits_until.get(table[key][0]) == step:
                groups.know(key)
    assert all(numbers == sorted(numbers) for numbers in sent.values())
    assert sum(map(len, sent.values())) == last


def test_keys_with_no_row_under_way_are_read_again_in_turn() -> None:
    """Somebody may have deleted their first row, and nothing says so."""
    groups = Groups[str]()
    for key in ("a", "b", "c"):
        groups.know(key)
        groups.reading(key)
    groups.begin("b", 7)
    groups.read_again(2)
    assert groups.to_read(9) == ["a"]
    groups.reading("a")
    groups.read_again(2)
    assert groups.to_read(9) == ["c", "a"]


def test_a_key_that_waits_takes_some_300_bytes() -> None:
    """docs/outbox.md says so: it is all of a backlog that is in memory however long that is."""
    groups = Groups[tuple[str, str]]()
    keys = 20_000
    tracemalloc.start()
    try:
        for since in range(0, keys, 200):  # each row has its texts, as the connector makes them
            groups.know_new(
                [("@".join(("app", "%")), f"customer-{each}") for each in range(since, since + 200)]
            )
        for key in groups.to_read(keys):
            groups.reading(key)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 150 < size / keys < 300

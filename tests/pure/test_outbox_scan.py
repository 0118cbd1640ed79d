"""The scan: every committed row is offered within few looks, however late its transaction ends.

Each test's name is the sentence that it proves. Its clock is the test's own."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lambda_sidecar.access.account import Account
from lambda_sidecar.outbox import new_rows
from lambda_sidecar.outbox import scan as room
from lambda_sidecar.outbox.row import Row
from lambda_sidecar.outbox.scan import GAP_LOOK_SECONDS, GAP_SECONDS, SWEEP_SECONDS, Scan
from lambda_sidecar.outbox.session import Session

APP = Account("app", "%")
SESSION = cast(Session, None)


class Table:
    """`outbox`, with a clock that goes on when a test says so. Each row is (function, group_key)."""

    STATEMENT_SECONDS = 0.0001

    def __init__(self) -> None:
        self.now = 1000.0
        self.rows: dict[int, tuple[str, str | None]] = {}
        self.created: dict[int, float] = {}
        self.uncommitted: set[int] = set()
        self.statements = 0

    def commit(self, *ids: int, function: str = "f", group_key: str | None = None) -> None:
        self.rows.update(dict.fromkeys(ids, (function, group_key)))
        self.now += self.STATEMENT_SECONDS
        self.created.update(dict.fromkeys(ids, self.now))

    def truncate(self) -> None:
        self.rows.clear()

    async def scan(
        self,
        _session: object,
        after: int,
        until: int | None = None,
        *,
        without: Mapping[str, int] | None = None,
    ) -> new_rows.Scanned:
        self.statements += 1
        self.now += self.STATEMENT_SECONDS
        wanted = [
            Row(number, function, b"", APP, 0.0, 0, group_key=key)
            for number, (function, key) in sorted(self.rows.items())
            if number > after
            and (until is None or number <= until)
            and (number < (without or {}).get(function, number + 1) or key is not None)
        ]
        behind = [number for number in self.rows if number > after]
        window = min(behind) + new_rows.SCAN_IDS if without and behind else None
        rows = [row for row in wanted if window is None or row.id <= window][: new_rows.SCAN_ROWS]
        is_full = len(rows) == new_rows.SCAN_ROWS
        highest = max(self.rows, default=0)
        found = new_rows.scanned(rows, highest, until, window, is_full=is_full)
        return dataclasses.replace(found, highest_created=self.created.get(highest, 0.0), now=self.now)

    async def settled_up_to(self, _session: object, after: int, until: int) -> int | None:
        self.statements += 1
        self.now += self.STATEMENT_SECONDS
        locked = sorted(number for number in self.rows.keys() | self.uncommitted if after < number <= until)
        locked = locked[: new_rows.LOCKED_ROWS]
        if self.uncommitted & set(locked):
            return None
        return locked[-1] if len(locked) == new_rows.LOCKED_ROWS else until


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table()
    monkeypatch.setattr(new_rows, "scan", made.scan)
    monkeypatch.setattr(new_rows, "settled_up_to", made.settled_up_to)
    monkeypatch.setattr(new_rows, "SCAN_ROWS", 10)
    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


async def look(scan: Scan, **options: Any) -> list[int]:
    rows = await scan.look(SESSION, **{"without": {}, "is_recent": True, **options})
    return [row.id for row in rows]


async def scan_with_2_open(table: Table) -> Scan:
    """It has looked at 1 and 3, while the transaction of 2 has not ended."""
    scan = Scan()
    table.commit(1, 3)
    table.uncommitted = {2}
    await look(scan)
    return scan


async def expect_in_order(table: Table, scan: Scan, late: int, behind: int) -> None:
    """Both are committed now, with one group_key."""
    table.uncommitted = set()
    table.commit(late, group_key="k")
    table.commit(behind, group_key="k")
    found = await look(scan)
    assert found.index(late) < found.index(behind)


async def test_rows_are_offered_once_they_are_committed(table: Table) -> None:
    scan = Scan()
    assert await look(scan) == []
    table.commit(1, 2)
    assert set(await look(scan)) == {1, 2}
    table.commit(3)
    assert set(await look(scan)) == {3}


@pytest.mark.parametrize("is_seen_empty", [True, False])
async def test_after_a_truncate_rows_are_found_at_the_next_look_and_in_their_keys_order(
    table: Table, is_seen_empty: bool
) -> None:
    scan = Scan()
    table.commit(*range(1, 36))
    for _ in range(5):
        await look(scan)
    table.now += 0.2 * SWEEP_SECONDS
    await look(scan)
    table.truncate()
    if is_seen_empty:
        assert await look(scan) == []
    table.commit(*range(1, 13), group_key="k")
    first = await look(scan)
    assert first[:10] == list(range(1, 11))
    assert set(await look(scan)) >= {11, 12}


async def test_rows_that_are_left_when_those_behind_them_are_delivered_are_not_read_again_and_again(
    table: Table,
) -> None:
    scan = Scan()
    table.commit(*range(1, 36))
    for _ in range(5):
        await look(scan)
    for number in range(6, 36):
        del table.rows[number]
    found = [await look(scan) for _ in range(20)]
    assert sum(map(len, found)) <= 10  # by the sweep


async def test_many_rows_are_read_in_pieces_without_a_pause(table: Table) -> None:
    scan = Scan()
    table.commit(*range(1, 36))
    seen = set()
    for _ in range(3):
        seen |= set(await look(scan))
        assert scan.has_more
    seen |= set(await look(scan))
    assert not scan.has_more
    assert seen == set(range(1, 36))


async def test_a_transaction_that_ends_a_little_later_is_seen_soon(table: Table) -> None:
    scan = Scan()
    table.commit(1, 3)
    await look(scan)
    table.commit(2)
    table.now += GAP_LOOK_SECONDS
    assert 2 in await look(scan)


async def test_a_transaction_that_ends_after_minutes_is_seen_within_a_sweep(table: Table) -> None:
    scan = Scan()
    table.commit(1, 3)
    await look(scan)
    table.now += GAP_SECONDS + 60
    await look(scan)
    table.commit(2)
    table.now += SWEEP_SECONDS
    assert 2 in await look(scan)


async def test_however_long_a_transaction_took_its_row_comes_before_later_ones_of_its_group(
    table: Table,
) -> None:
    scan = await scan_with_2_open(table)
    for _ in range(600):
        table.now += 0.2
        await look(scan)
    await expect_in_order(table, scan, 2, 4)


async def test_a_row_that_is_committed_just_when_it_is_looked_for_no_more_comes_before_later_ones_of_its_group(
    table: Table,
) -> None:
    scan = await scan_with_2_open(table)
    table.now += GAP_SECONDS - 0.01
    await look(scan)
    table.uncommitted = set()
    table.commit(2, group_key="k")
    table.now += 0.01
    table.commit(4, group_key="k")
    assert await look(scan) == [2, 3, 4]


async def test_a_gap_with_many_rows_in_it_is_closed_a_bounded_number_of_rows_at_a_time(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a transaction of many rows was committed a little after a later one."""
    monkeypatch.setattr(new_rows, "LOCKED_ROWS", 20)
    monkeypatch.setattr(room, "GAP_SCAN_SECONDS", 2 * table.STATEMENT_SECONDS)
    scan = Scan()
    table.commit(200)
    await look(scan)
    table.uncommitted = {150}
    table.commit(*range(1, 150))
    table.now += GAP_SECONDS
    for _ in range(40):
        before = table.statements
        await look(scan)
        assert table.statements - before < 12
    await expect_in_order(table, scan, 150, 201)


async def test_a_late_row_of_a_key_comes_first_however_many_rows_are_between_it_and_another_gap(
    table: Table,
) -> None:
    scan = Scan()
    table.commit(*range(2, 1000), 1001)
    while 1001 not in await look(scan):
        pass
    await expect_in_order(table, scan, 1000, 1002)


async def test_rows_of_keys_wait_until_all_that_may_have_come_late_before_them_has_been_read(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many rows are there that one look does not get to the late one."""
    monkeypatch.setattr(room, "GAP_ROWS", 100)
    scan = Scan()
    table.commit(*range(2, 500), 501)
    while 501 not in await look(scan):
        pass
    table.commit(500, group_key="k")
    table.commit(502, group_key="k")
    found: list[int] = []
    for _ in range(20):
        rows = await look(scan)
        found += sorted({500, 502} & set(rows))
        for number in rows:  # they are delivered
            table.rows.pop(number, None)
    assert found == [500, 502]


async def test_others_that_are_missing_all_the_time_do_not_hide_a_row_that_comes_late(table: Table) -> None:
    """As with auto_increment_increment above one, or with one transaction in ten rolled back."""
    scan = Scan()
    next_id = 3
    for _ in range(300):  # a minute
        table.now += 0.2
        table.rows = {number: each for number, each in table.rows.items() if number > next_id - 7}
        table.commit(next_id)
        next_id += 7
        await look(scan)
    table.commit(1)
    for _ in range(int(SWEEP_SECONDS / 0.2) + 1):
        table.now += 0.2
        table.commit(next_id)
        next_id += 7
        if 1 in await look(scan):
            return
    pytest.fail("the late row was not offered")


async def test_ids_that_begin_again_are_read_quickly(table: Table) -> None:
    """As after a TRUNCATE: all ids are below what has been looked at."""
    scan = Scan()
    table.commit(1_000_000)
    await look(scan)
    table.rows.clear()
    table.now += SWEEP_SECONDS
    await look(scan)
    table.commit(*range(1, 1001))
    seen: set[int] = set()
    table.now += SWEEP_SECONDS
    for _ in range(120):
        seen |= set(await look(scan))
        assert len(seen) == 1000 or scan.has_more or scan.sweeps_on <= table.now
    assert seen == set(range(1, 1001))


async def test_plain_rows_of_a_function_that_has_no_room_are_passed_by(table: Table) -> None:
    scan = Scan()
    table.commit(1, 2, function="full")
    table.commit(3, function="other")
    assert set(await look(scan, without={"full": 0})) == {3}


async def test_where_rows_are_passed_by_no_statement_looks_at_more_than_so_many_ids(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a million rows of a function that has no room, one statement would take seconds."""
    monkeypatch.setattr(new_rows, "SCAN_IDS", 100)
    scan = Scan()
    table.commit(*range(1, 1001))
    table.commit(1001, function="other")
    await look(scan)  # ten rows
    seen: list[int] = []
    looks = 0
    while not seen:
        seen = [number for number in await look(scan, without={"f": 11}) if number > 10]
        looks += 1
        assert seen or scan.has_more
    assert seen == [1001]
    assert looks == 10
    table.commit(500, function="late")  # as if it had been committed only now
    for _ in range(30):
        table.now += SWEEP_SECONDS
        if 500 in await look(scan, without={"f": 11}):
            return
    pytest.fail("the late row was not seen")


async def test_rows_with_a_group_key_are_passed_by_for_no_function(table: Table) -> None:
    scan = Scan()
    table.commit(1, function="full", group_key="k")
    table.commit(2, function="other", group_key="k")
    assert list(dict.fromkeys(await look(scan, without={"full": 0}))) == [1, 2]


@pytest.mark.parametrize("without", [{}, {"full": 0}], ids=["", "with a full function"])
async def test_a_row_of_a_key_that_came_late_is_offered_with_those_behind_it_and_before_them(
    table: Table, without: dict[str, int]
) -> None:
    """Both transactions were serialized by their user: 2 ended before 4 was inserted."""
    scan = Scan()
    table.commit(1, 3)
    await look(scan, without=without)
    table.commit(2, group_key="k")
    table.commit(4, group_key="k")
    offered = list(dict.fromkeys(await look(scan, without=without)))
    assert offered.index(2) < offered.index(4)


async def test_looking_costs_one_statement_where_nothing_is_missing(table: Table) -> None:
    scan = Scan()
    table.commit(1)
    await look(scan)
    before = table.statements
    for number in range(2, 12):
        table.commit(number)
        await look(scan)
    assert table.statements - before == 10


@pytest.mark.parametrize("seed", range(30))
async def test_every_committed_row_is_offered_within_bounded_looks(table: Table, seed: int) -> None:
    chosen = random.Random(seed)  # noqa: S311
    scan = Scan()
    next_id, open_ids = 1, list[int]()
    committed_at: dict[int, float] = {}
    for step in range(1500):
        table.now += 0.01
        if chosen.random() < 0.5:
            open_ids.append(next_id)
            next_id += chosen.choice((1, 1, 1, 7))
        if open_ids and chosen.random() < 0.5:
            number = open_ids.pop(chosen.choice((0, -1)))
            if chosen.random() < 0.9:
                table.commit(number)
                committed_at[number] = table.now
        if step == 700:
            for number in open_ids:
                table.commit(number)
                committed_at[number] = table.now
            open_ids.clear()
        for number in await look(scan):
            if number in committed_at:
                del committed_at[number]  # it is delivered
                del table.rows[number]
        late = [number for number, at in committed_at.items() if table.now - at > SWEEP_SECONDS + 0.1]
        assert not late, f"seed {seed}: {late}"


async def test_where_each_look_takes_long_those_for_late_rows_take_a_tenth_of_the_time(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind many deleted rows that are not purged, and with a transaction that stays open."""
    scan = await scan_with_2_open(table)
    monkeypatch.setattr(table, "STATEMENT_SECONDS", 0.2)
    late = 0

    async def counted(session: Session, after: int, until: int | None = None, **options: Any) -> Any:
        nonlocal late
        late += until is not None
        return await table.scan(session, after, until, **options)

    monkeypatch.setattr(new_rows, "scan", counted)
    began = table.now
    for _ in range(600):
        await look(scan)
        table.now += 0.2
    share = late * table.STATEMENT_SECONDS / (table.now - began)
    assert 0.05 < share < 0.1

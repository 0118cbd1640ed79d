"""The deliverer on tables in memory: whatever happens between two of its steps, no row is lost, doubled or overtaken.

Each test's name is the sentence that it proves. Real servers never show most of these interleavings."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from mysql.connector import errorcode
from tests.support.memory_outbox import Event, MemoryOutbox, MemorySession
from tests.support.permuting_loop import in_any_order
from tests.support.waiting import until

from lambda_sidecar.access.function_name import Defaults
from lambda_sidecar.access.rules import AccessRules
from lambda_sidecar.access.settings import AccessSettings
from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.aws.credentials import PlaceholderCredentials
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.calls.call import SENT, Call
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.concurrency.slots import Concurrency
from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.errors import ApiError, InvalidRequest, InvokeFailure
from lambda_sidecar.outbox import (
    backlog,
    candidacy,
    election,
    group_heads,
    intake,
    lane,
    lanes,
    new_rows,
    reading,
    scan,
    sending,
    settlement,
    verdict,
    waiting_rows,
    wakeup,
    writer,
)
from lambda_sidecar.outbox import deliverer as deliverer_room
from lambda_sidecar.outbox.deliverer import Deliverer
from lambda_sidecar.outbox.session import Session
from lambda_sidecar.outbox.session_errors import SessionLost, StatementFailed
from lambda_sidecar.outbox.wakeup import Wakeup

ANSWER = InvocationResult(202, b"", "request", "", "", b"")
DEFAULTS = Defaults({"us-east-1": "aws"}, "us-east-1", "123456789012")
FUNCTIONS = ("quick", "slow", "throttled", "refused", "rare")


class Lambda:
    """Takes a call for as many turns of the event loop as its function is slow; fails as the seed has it."""

    def __init__(self, tables: MemoryOutbox, seed: int) -> None:
        self.tables = tables
        self.random = random.Random(seed)  # noqa: S311
        self.accepted: Counter[int] = Counter()
        self.overtaken: list[str] = []
        self.under_way: Counter[str] = Counter()
        self.events: dict[int, Event] = {}
        self.heals = False

    async def run(self, call: Call, _shape: object) -> InvocationResult | InvokeFailure:
        number, name = int(call.payload), call.function_text
        self._note_order(self.events[number])
        self.under_way[name] += 1
        for _ in range(self.random.randrange(40 if name == "slow" else 4)):
            await asyncio.sleep(0)
        self.under_way[name] -= 1
        if not self.heals and self.random.random() < {"throttled": 0.7, "refused": 0.2}.get(name, 0.05):
            return (
                InvalidRequest("wrong") if name == "refused" else ApiError("TooManyRequestsException", "busy")
            )
        self.accepted[number] += 1
        return ANSWER

    def _note_order(self, event: Event) -> None:
        """Rows of a key that were committed before this one was inserted, and are there still, go before it."""
        if event.group is None:
            return
        for table in (self.tables.outbox, self.tables.waiting):
            for other in table.values():
                is_before = other.id < event.id and 0 < other.committed_at < event.inserted_at
                if is_before and other.id not in self.tables.redriven and other.group == event.group:
                    self.overtaken.append(f"{event.id} has overtaken {other.id} of {event.group}")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that are met all the time, and waits that are over soon."""
    bounds: dict[ModuleType, dict[str, float]] = {
        new_rows: {"SCAN_ROWS": 7, "SCAN_IDS": 20, "LOCKED_ROWS": 10},
        waiting_rows: {"GROUP_KEYS": 2, "DUE_FUNCTIONS": 2, "DUE_ROWS": 7},
        lane: {"PAUSE_MIN": 0.0005, "PAUSE_MAX": 0.004},
        lanes: {"BUFFERED_ROWS": 24, "LANE_ROWS": 4},
        scan: {"GAP_LOOK_SECONDS": 0.001, "GAP_SECONDS": 0.01, "SWEEP_SECONDS": 0.003, "SWEEP_SHARE": 1.0},
        verdict: {"BACKOFF_MIN": 0.0005, "BACKOFF_MAX": 0.004},
        wakeup: {"LOOK_MIN": 0.0002, "LOOK_RECENT": 0.001, "LOOK_IDLE": 0.002},
        settlement: {"BATCH_ROWS": 9, "UNSETTLED_ROWS": 30},
        writer: {"RETRY_MIN": 0.0002, "RETRY_MAX": 0.001},
        group_heads: {"GROUPS_AT_ONCE": 5},
        intake: {"DUE_SECONDS": 0.003, "FULL_SECONDS": 0.001, "BUFFERED_MAX": 48},
        sending: {"BEGIN_AT_ONCE": 3},
        candidacy: {"RETRY_MIN": 0.0002, "RETRY_MAX": 0.001},
        election: {"ELECTION_SECONDS": 0.05, "LOOK_SECONDS": 0.001},
    }
    for module, values in bounds.items():
        for name, value in values.items():
            assert hasattr(module, name), (module, name)
            monkeypatch.setattr(module, name, value)


def deliverer_of(
    tables: MemoryOutbox,
    endpoint: object,
    monkeypatch: pytest.MonkeyPatch,
    sidecar_socket: Path,
    *,
    concurrency: int = 8,
) -> Deliverer:
    tables.stand_in(monkeypatch)

    async def connect(_settings: object) -> MemorySession:
        await tables._turns()
        return MemorySession(tables)

    async def not_asked(_settings: object) -> MemorySession:
        raise SessionLost("nobody watches")

    monkeypatch.setattr(candidacy, "connect", connect)
    monkeypatch.setattr(writer, "connect", connect)
    monkeypatch.setattr(backlog, "connect", not_asked)
    settings = OutboxSettings(mysql_socket=Path("/unused"), concurrency=concurrency, max_attempts=1000)
    made = Deliverer(settings, cast(Pipeline, endpoint), sidecar_socket)
    made.start()
    return made


def healthy() -> tuple[MemoryOutbox, Lambda]:
    """Tables, and a Lambda that takes whatever comes."""
    tables = MemoryOutbox(0)
    endpoint = Lambda(tables, 0)
    endpoint.heals = True
    return tables, endpoint


class Gated:
    """Calls that are at Lambda, which takes none of them until the gate is open."""

    def __init__(self, endpoint: Lambda) -> None:
        self._endpoint = endpoint
        self.gate = asyncio.Event()
        self.begun: list[int] = []

    async def run(self, call: Call, shape: object) -> InvocationResult | InvokeFailure:
        self.begun.append(int(call.payload))
        call.phase = SENT
        await self.gate.wait()
        return await self._endpoint.run(call, shape)


def committed(tables: MemoryOutbox, endpoint: Lambda) -> Event:
    """One of the function `quick`."""
    event = tables.begin("quick")
    endpoint.events[event.id] = event
    tables.commit(event)
    return event


def write_backlog(tables: MemoryOutbox, endpoint: Lambda, rows: int, *, functions: int) -> None:
    """Committed rows, of so many functions in turn."""
    for number in range(rows):
        event = tables.begin(f"f{number % functions}")
        endpoint.events[event.id] = event
        tables.commit(event)


def given_obstacles(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Its only entry keeps the server from being delivered, as long as it is not None."""
    obstacles: list[str | None] = [None]

    async def obstacle(_session: object) -> str | None:
        await asyncio.sleep(0)
        return obstacles[0]

    monkeypatch.setattr(election, "obstacle", obstacle)
    return obstacles


def given_elections(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When there was one, on time.monotonic()'s clock."""
    elections: list[float] = []
    take_lock = election.take_lock

    async def note(session: Session) -> bool:
        elections.append(time.monotonic())
        return await take_lock(session)

    monkeypatch.setattr(election, "take_lock", note)
    return elections


def given_refusals(monkeypatch: pytest.MonkeyPatch, tables: MemoryOutbox) -> list[str]:
    """As long as it is not empty, outbox_waiting may not be read."""
    refusals: list[str] = []
    look = tables.due_functions

    async def due_functions(*arguments: Any, **options: Any) -> Any:
        if refusals:
            raise StatementFailed(errorcode.ER_TABLEACCESS_DENIED_ERROR, refusals[0])
        return await look(*arguments, **options)

    monkeypatch.setattr(tables, "due_functions", due_functions)
    return refusals


def random_options(chosen: random.Random) -> dict[str, Any] | None:
    options: dict[str, Any] = {}
    if chosen.random() < 0.4:
        options["group_key"] = chosen.choice("abcdef")
    if chosen.random() < 0.1:
        options["delay_seconds"] = chosen.random() / 50
    return options or None


async def write(tables: MemoryOutbox, endpoint: Lambda, chosen: random.Random, rows: int) -> None:
    """Transactions of one to four rows, some of them open for long, some rolled back."""
    open_ones: list[list[Event]] = []
    while rows > 0 or open_ones:
        if rows > 0 and chosen.random() < 0.7:
            events = [
                tables.begin(
                    chosen.choice(FUNCTIONS), random_options(chosen), chosen.choice(("app@%", "b@%"))
                )
                for _ in range(chosen.randint(1, 4))
            ]
            rows -= len(events)
            open_ones.append(events)
        elif open_ones:
            events = open_ones.pop(chosen.randrange(len(open_ones)) if chosen.random() < 0.3 else -1)
            is_kept = chosen.random() < 0.9
            for event in events:
                if is_kept:
                    endpoint.events[event.id] = event
                    tables.commit(event)
                else:
                    tables.roll_back(event)
        for _ in range(chosen.choice((0, 0, 0, 1, 10))):
            await asyncio.sleep(0)


@pytest.mark.parametrize("loses_connections", [False, True], ids=["", "connections are lost"])
@pytest.mark.parametrize("seed", range(3))
async def test_every_committed_row_arrives_once_and_in_its_groups_order(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int, loses_connections: bool
) -> None:
    tables = MemoryOutbox(seed, loses_connections=loses_connections)
    endpoint = Lambda(tables, seed)
    delivering = deliverer_of(tables, endpoint, monkeypatch, tmp_path / "s")
    chosen = random.Random(seed)  # noqa: S311
    try:
        await write(tables, endpoint, chosen, 600)
        endpoint.heals = True
        tables.redrive()

        def all_done() -> bool:
            if tables.dead:
                tables.redrive()
            return not (tables.outbox or tables.waiting)

        await until(all_done, seconds=20, what=f"all rows leave (seed {seed})")
    finally:
        await delivering.stop(1)
    lost = set(endpoint.events) - set(endpoint.accepted)
    doubled = [number for number, times in endpoint.accepted.items() if times > 1]
    assert not lost
    assert not doubled
    assert not endpoint.overtaken


async def test_a_hint_is_followed_at_once_however_long_there_was_none(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without hints it would look again after LOOK_IDLE, which is longer than the test waits."""
    monkeypatch.setattr(wakeup, "LOOK_IDLE", 1000.0)
    monkeypatch.setattr(wakeup, "RECENT_SECONDS", 0.01)
    tables, endpoint = healthy()
    path = tmp_path / "s"
    delivering = deliverer_of(tables, endpoint, monkeypatch, path)
    try:
        for _ in range(3):
            await until(lambda: delivering._intake._next_look > time.monotonic() + 900, what="a long wait")
            event = tables.begin("quick")
            endpoint.events[event.id] = event
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as library:
                library.sendto(b"\0", str(path) + wakeup.SUFFIX)
            tables.commit(event)
            await until(partial(endpoint.accepted.__getitem__, event.id), what="the event at the endpoint")
    finally:
        await delivering.stop(1)


async def test_rows_without_a_time_are_found_though_the_one_before_was_deleted_before_it_was_seen(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As when outbox_redrive has put both there, and somebody deletes the first."""
    monkeypatch.setattr(group_heads, "UNKNOWN_SECONDS", 0.01)
    tables, endpoint = healthy()
    delivering = deliverer_of(tables, endpoint, monkeypatch, tmp_path / "s")
    try:
        await until(lambda: delivering.is_delivering, what="it delivers")
        event = tables.begin("quick", {"group_key": "k"})
        endpoint.events[event.id] = tables.waiting[event.id] = event
        await until(partial(endpoint.accepted.__getitem__, event.id), what="the event at the endpoint")
    finally:
        await delivering.stop(1)


async def test_however_many_functions_fail_another_one_is_delivered(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Their rows would fill all the room that there is: 40 times LANE_ROWS is more than BUFFERED_MAX."""
    monkeypatch.setattr(lane, "PAUSE_MIN", 60.0)
    monkeypatch.setattr(lane, "PAUSE_MAX", 60.0)
    tables = MemoryOutbox(0)

    class Failing(Lambda):
        async def run(self, call: Call, shape: object) -> InvocationResult | InvokeFailure:
            if call.function_text != "quick":
                return ApiError("TooManyRequestsException", "busy")
            return await super().run(call, shape)

    endpoint = Failing(tables, 0)
    endpoint.heals = True
    events = [
        tables.begin(f"failing{number}", chosen)
        for _ in range(6)
        for number in range(40)
        for chosen in (None, {"group_key": f"k{number}"})
    ]
    events += [tables.begin("quick") for _ in range(20)]
    for event in events:
        endpoint.events[event.id] = event
        tables.commit(event)
    delivering = deliverer_of(tables, endpoint, monkeypatch, tmp_path / "s")
    try:
        await until(lambda: sum(endpoint.accepted.values()) == 20, what="all of the other function's events")
    finally:
        await delivering.stop(1)


async def test_a_stop_while_payloads_are_fetched_ends_at_once(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tables = MemoryOutbox(0)
    endpoint = Lambda(tables, 0)
    delivering = deliverer_of(tables, endpoint, monkeypatch, tmp_path / "s")
    fetching = asyncio.Event()

    async def never(_session: object, _rows: object) -> dict[int, bytes]:
        fetching.set()
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(reading, "payloads", never)
    for _ in range(3):
        committed(tables, endpoint)
    async with asyncio.timeout(10):
        await fetching.wait()
        await delivering.stop(0.1)
    assert delivering.state == "stopped"
    assert 3 in tables.outbox
    assert 3 not in delivering._held


async def test_what_is_not_on_its_way_when_the_lock_is_lost_is_not_sent_until_it_is_back(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tables, endpoint = healthy()
    gate = asyncio.Event()
    begun: list[int] = []

    class Waiting:
        """Its calls wait for a slot until the gate is open."""

        async def run(self, call: Call, shape: object) -> InvocationResult | InvokeFailure:
            begun.append(int(call.payload))
            await gate.wait()
            return await endpoint.run(call, shape)

    obstacles = given_obstacles(monkeypatch)
    delivering = deliverer_of(tables, Waiting(), monkeypatch, tmp_path / "s")
    try:
        await until(lambda: delivering.is_delivering, what="it delivers")
        event = committed(tables, endpoint)
        await until(lambda: bool(begun), what="the call waits")
        obstacles[0] = "the server is read-only"
        await until(lambda: not delivering.under_way, what="it is taken back")
        gate.set()
        assert not endpoint.accepted
        obstacles[0] = None
        await until(lambda: endpoint.accepted[event.id] == 1, what="it is sent")
        assert len(begun) == 2
    finally:
        await delivering.stop(1)


async def test_what_was_sent_when_the_lock_is_lost_is_not_sent_again_though_its_slot_is_free(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A function's long error document is read in steps, when its slot is somebody else's already."""
    tables, endpoint = healthy()
    gate = asyncio.Event()
    answered: list[int] = []

    class Reading:
        async def run(self, call: Call, shape: object) -> InvocationResult | InvokeFailure:
            call.phase = SENT
            result = await endpoint.run(call, shape)
            answered.append(int(call.payload))
            await gate.wait()
            return result

    obstacles = given_obstacles(monkeypatch)
    delivering = deliverer_of(tables, Reading(), monkeypatch, tmp_path / "s")
    try:
        await until(lambda: delivering.is_delivering, what="it delivers")
        event = committed(tables, endpoint)
        await until(lambda: bool(answered), what="the answer has come")
        obstacles[0] = "the server is read-only"
        await until(lambda: not delivering.is_delivering, what="it delivers no more")
        gate.set()
        obstacles[0] = None
        await until(lambda: not tables.outbox, what="it is settled")
        assert endpoint.accepted[event.id] == 1
    finally:
        await delivering.stop(1)


@pytest.mark.parametrize("is_seen", [True, False], ids=["killed", "the network is gone"])
async def test_once_another_sidecar_can_have_the_lock_nothing_more_is_begun(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_seen: bool
) -> None:
    """Not even between two questions to the server, and however many rows are in hand."""
    monkeypatch.setattr(election, "ELECTION_SECONDS", 1000.0 if is_seen else 0.01)
    monkeypatch.setattr(election, "LEASE_SECONDS", 1000.0 if is_seen else 0.1)
    tables = MemoryOutbox(0)
    events = [tables.begin("quick") for _ in range(200)]
    first, second = Lambda(tables, 0), Lambda(tables, 1)
    first.events = second.events = {event.id: event for event in events}
    first.heals = second.heals = True
    gated = Gated(first)
    old = deliverer_of(tables, gated, monkeypatch, tmp_path / "a", concurrency=1)
    try:
        await until(lambda: old.is_delivering, what="the first one delivers")
        new = deliverer_of(tables, second, monkeypatch, tmp_path / "b")
        try:
            for event in events:
                tables.commit(event)
            await until(lambda: old._lanes.buffered > 4, what="rows are in hand")
            assert len(gated.begun) == 1
            tables.take_lock_away(is_seen=is_seen)
            if not is_seen:
                await until(lambda: not old._may_begin(), what="the server ends the connection")
            gated.gate.set()
            await until(lambda: not tables.outbox, what="all rows leave")
        finally:
            await new.stop(1)
    finally:
        await old.stop(1)
    assert len(gated.begun) == 1
    assert set(first.accepted) | set(second.accepted) == set(first.events)
    doubled = [number for number in first.events if first.accepted[number] + second.accepted[number] > 1]
    assert set(doubled) <= set(gated.begun)


class Door:
    """The sidecar's own pipeline, before a Lambda that accepts whatever comes. It has one slot, which is
    somebody else's until `frees` is called."""

    def __init__(self) -> None:
        policy = Policy(DEFAULTS, AccessRules(AccessSettings(), DEFAULTS))
        self.pipeline = Pipeline(self._invoke, PlaceholderCredentials(), policy, Concurrency(1, None))
        self.sent: Counter[int] = Counter()
        slot = self.pipeline.concurrency.take("other")
        assert slot is not None
        self.frees = partial(self.pipeline.concurrency.give_back, slot)

    async def _invoke(self, invocation: Invocation, _: object) -> InvocationResult:
        self.sent[int(invocation.payload)] += 1
        await asyncio.sleep(0)
        return ANSWER


@pytest.mark.parametrize("is_seen", [True, False], ids=["killed", "the network is gone"])
async def test_what_waits_for_a_slot_until_another_sidecar_can_have_the_lock_is_sent_by_that_one_alone(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_seen: bool
) -> None:
    monkeypatch.setattr(election, "ELECTION_SECONDS", 1000.0 if is_seen else 0.01)
    monkeypatch.setattr(election, "LOOK_SECONDS", 1000.0 if is_seen else 0.001)  # it hears of it late
    monkeypatch.setattr(election, "LEASE_SECONDS", 1000.0 if is_seen else 0.2)
    tables = MemoryOutbox(0)
    first, second = Door(), Door()
    second.frees()
    old = deliverer_of(tables, first.pipeline, monkeypatch, tmp_path / "a")
    try:
        await until(lambda: old.is_delivering, what="the first one delivers")
        events = [tables.begin("quick", {"group_key": "k"} if each else None) for each in range(2)]
        for event in events:
            tables.commit(event)
        await until(lambda: first.pipeline.concurrency.waiting == 2, what="calls wait for a slot")
        tables.take_lock_away(is_seen=is_seen)
        await until(lambda: not old._may_begin(), what="the lease is over")
        first.frees()
        await until(lambda: first.sent or not old.under_way, what="they are given back")
        assert not first.sent
        new = deliverer_of(tables, second.pipeline, monkeypatch, tmp_path / "b")
        try:
            await until(lambda: not (tables.outbox or tables.waiting), what="all rows leave")
        finally:
            await new.stop(1)
    finally:
        await old.stop(1)
    assert not first.sent
    assert second.sent == {event.id: 1 for event in events}
    assert first.pipeline.concurrency.running == 0
    assert first.pipeline.defect() is None


async def test_what_was_given_back_because_the_server_was_silent_is_sent_once_when_it_answers_again(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The lock was there all the time, and nobody else was elected."""
    monkeypatch.setattr(election, "ELECTION_SECONDS", 0.01)
    monkeypatch.setattr(election, "LEASE_SECONDS", 0.2)
    tables, door = MemoryOutbox(0), Door()
    answers = asyncio.Event()
    answers.set()

    async def obstacle(_session: object) -> None:
        await asyncio.sleep(0)
        await answers.wait()

    monkeypatch.setattr(election, "obstacle", obstacle)
    delivering = deliverer_of(tables, door.pipeline, monkeypatch, tmp_path / "s")
    try:
        await until(lambda: delivering.is_delivering, what="it delivers")
        event = tables.begin("quick")
        tables.commit(event)
        await until(lambda: door.pipeline.concurrency.waiting == 1, what="the call waits for a slot")
        answers.clear()
        await until(lambda: not delivering._may_begin(), what="the lease is over")
        door.frees()
        await until(lambda: door.sent or not delivering.under_way, what="it is given back")
        assert not door.sent
        assert event.id in tables.outbox
        answers.set()
        await until(lambda: not tables.outbox, what="it has left")
        assert door.sent == {event.id: 1}
        assert event.attempts == 0
    finally:
        await delivering.stop(1)


async def test_after_a_switchover_behind_one_name_all_goes_on_at_the_new_server(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The old one lives on as a replica, and its connections with it."""
    tables, endpoint = healthy()
    gated = Gated(endpoint)
    delivering = deliverer_of(tables, gated, monkeypatch, tmp_path / "s")
    try:
        await until(lambda: delivering.is_delivering, what="it delivers")
        before, after = tables.begin("quick"), tables.begin("quick")
        endpoint.events = {before.id: before, after.id: after}
        tables.commit(before)
        await until(lambda: bool(gated.begun), what="an event is at Lambda")
        tables.servers += 1
        gated.gate.set()
        tables.commit(after)
        await until(lambda: not tables.outbox, what="both are settled")
        assert endpoint.accepted == {before.id: 1, after.id: 1}
    finally:
        await delivering.stop(1)


async def test_a_row_that_dies_unsent_lets_no_other_of_its_key_begin_beside_the_one_under_way(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While one with a lower id waits, which came late."""
    monkeypatch.setattr(group_heads, "KNOWN_SECONDS", 1000.0)
    tables, endpoint = healthy()
    gated = Gated(endpoint)
    late, first = (tables.begin("quick", {"group_key": "k"}) for _ in range(2))
    wrong = tables.begin("quick", {"group_key": "k", "expires_at": "2026-13-01T00:00:00Z"})
    endpoint.events = {late.id: late, first.id: first}
    delivering = deliverer_of(tables, gated, monkeypatch, tmp_path / "s")
    try:
        await until(lambda: delivering.is_delivering, what="it delivers")
        tables.commit(first)
        await until(lambda: gated.begun == [first.id], what="the first one is at Lambda")
        tables.commit(late)
        await until(lambda: late.id in tables.waiting, what="the late one waits")
        tables.commit(wrong)
        await until(lambda: not tables.outbox and not delivering._settlement.unsettled, what="one is dead")
        looks = delivering._wakeup._looked
        await until(lambda: delivering._wakeup._looked > looks + 0.01, what="some looks")
        assert gated.begun == [first.id]
        gated.gate.set()
        await until(lambda: not tables.waiting, what="both have arrived")
        assert gated.begun == [first.id, late.id]
    finally:
        gated.gate.set()
        await delivering.stop(1)


async def test_a_sidecar_that_has_lost_the_lock_gives_back_the_rows_that_it_has_not_begun(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tables, endpoint = healthy()
    gated = Gated(endpoint)
    obstacles = given_obstacles(monkeypatch)
    delivering = deliverer_of(tables, gated, monkeypatch, tmp_path / "s", concurrency=1)
    try:
        for event in [tables.begin("quick", {"group_key": "k"} if each % 2 else None) for each in range(20)]:
            endpoint.events[event.id] = event
            tables.commit(event)
        await until(lambda: bool(gated.begun) and delivering._lanes.buffered > 3, what="rows are in hand")
        obstacles[0] = "the server is read-only"
        await until(lambda: delivering.state == obstacles[0], what="it has lost the lock")
        assert delivering._lanes.buffered == 0
        await until(
            lambda: [row.id for row in delivering._held] == gated.begun, what="the others are given back"
        )
    finally:
        await delivering.stop(0.1)


async def test_what_is_old_and_locked_is_forgotten_later_and_delivery_goes_on(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tables, endpoint = healthy()
    forgotten: list[str] = []

    async def run(_session: MemorySession, statement: Any) -> int:
        if isinstance(statement, str) and "outbox_results" in statement:
            raise StatementFailed(errorcode.ER_LOCK_WAIT_TIMEOUT, "Lock wait timeout exceeded")
        if isinstance(statement, str) and statement.startswith("DELETE"):
            forgotten.append(statement)
        elif not isinstance(statement, str):
            await tables.settle([statement])
        return 0

    monkeypatch.setattr(MemorySession, "run", run)
    monkeypatch.setattr(deliverer_room, "FORGET_SECONDS", 0.001)
    states: list[str] = []

    def note(self: candidacy.Candidacy, state: str) -> None:
        states.append(state)
        self.state = state

    monkeypatch.setattr(candidacy.Candidacy, "becomes", note)
    delivering = deliverer_of(tables, endpoint, monkeypatch, tmp_path / "s")
    try:
        await until(lambda: len(forgotten) >= 3, what="keys are forgotten")
        assert states == ["delivers"]
    finally:
        await delivering.stop(0.1)


async def test_a_connector_that_fails_where_locks_are_looked_for_does_not_end_the_settlement(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tables, endpoint = healthy()
    refusals = [StatementFailed(errorcode.ER_LOCK_WAIT_TIMEOUT, "Lock wait timeout exceeded")]
    settle = tables.settle

    async def settle_later(batch: Any) -> None:
        if refusals:
            raise refusals.pop()
        await settle(batch)

    async def fail(_session: object, _rows: object) -> set[int]:
        raise IndexError("a packet of another kind")

    monkeypatch.setattr(tables, "settle", settle_later)
    monkeypatch.setattr(reading, "locked", fail)
    delivering = deliverer_of(tables, endpoint, monkeypatch, tmp_path / "s")
    try:
        event = committed(tables, endpoint)
        await until(lambda: not (tables.outbox or delivering._settlement.unsettled), what="it is settled")
        assert not refusals
        assert endpoint.accepted[event.id] == 1
    finally:
        await delivering.stop(1)


async def test_while_many_rows_are_accepted_and_not_settled_no_others_are_sent(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those that were under way by then are the only ones beyond the bound, however many are in hand."""
    tables, endpoint = healthy()
    gated = Gated(endpoint)
    settle, room = tables.settle, asyncio.Event()

    async def settle_where_there_is_room(batch: Any) -> None:
        if not room.is_set():
            raise SessionLost("no room on the disk")
        await settle(batch)

    monkeypatch.setattr(tables, "settle", settle_where_there_is_room)
    monkeypatch.setattr(writer, "LOSSES_MAX", 1_000_000)
    write_backlog(tables, endpoint, 200, functions=20)
    delivering = deliverer_of(tables, gated, monkeypatch, tmp_path / "s")
    try:
        await until(lambda: delivering._lanes.buffered > 24, what="rows are in hand")
        gated.gate.set()
        await until(lambda: delivering._settlement.is_full and not delivering.under_way, what="it is full")
        most = delivering._settlement._most
        assert most <= len(endpoint.accepted) < most + 8
        room.set()
        await until(lambda: not tables.outbox, what="all are settled")
        assert set(endpoint.accepted.values()) == {1}
    finally:
        await delivering.stop(1)


async def test_however_long_the_backlog_is_only_so_many_rows_are_in_hand(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tables, endpoint = healthy()
    gated = Gated(endpoint)
    write_backlog(tables, endpoint, 1000, functions=100)
    delivering = deliverer_of(tables, gated, monkeypatch, tmp_path / "s")
    try:
        await until(lambda: delivering._lanes.buffered >= intake.BUFFERED_MAX, what="its room is full")
        in_hand = []
        for _ in range(500):
            await asyncio.sleep(0)
            in_hand.append(len(list(delivering._held)))
        assert max(in_hand) <= intake.BUFFERED_MAX + new_rows.SCAN_ROWS + 8
        gated.gate.set()
        await until(lambda: not tables.outbox, what="all rows leave")
    finally:
        await delivering.stop(1)


@dataclass
class Refused:
    """A server whose looks fail while there are `refusals`, of which there is one."""

    tables: MemoryOutbox
    endpoint: Lambda
    elections: list[float]
    refusals: list[str]
    delivering: Deliverer


@contextlib.asynccontextmanager
async def refused(monkeypatch: pytest.MonkeyPatch, directory: Path) -> AsyncIterator[Refused]:
    """For a minute already."""
    monkeypatch.setattr(Wakeup, "open", lambda _: None)
    tables, endpoint = healthy()
    elections = given_elections(monkeypatch)
    refusals = given_refusals(monkeypatch, tables)
    refusals.append("SELECT command denied")
    delivering = deliverer_of(tables, endpoint, monkeypatch, directory / "s")
    try:
        await asyncio.sleep(60)
        yield Refused(tables, endpoint, elections, refusals, delivering)
    finally:
        await delivering.stop(1)


@in_any_order
async def test_while_each_look_is_refused_elections_become_rare_and_after_that_delivery_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with refused(monkeypatch, tmp_path) as server:
        assert 10 < len(server.elections) < 20, "after 0.1, 0.2, 0.4 s and so on, and then every 5 s"
        assert not server.delivering.is_delivering
        assert [record.getMessage() for record in caplog.records] == [
            "outbox: /unused: SELECT command denied"
        ]
        server.refusals.clear()
        event = committed(server.tables, server.endpoint)
        await asyncio.sleep(candidacy.RETRY_MAX + 1)
        assert server.endpoint.accepted[event.id] == 1
        assert server.delivering.is_delivering


@in_any_order
async def test_a_sidecar_that_has_delivered_however_shortly_stands_for_election_again_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As after a failover: how long there was none to deliver from before does not count."""
    async with refused(monkeypatch, tmp_path) as server:
        server.refusals.clear()
        await until(lambda: server.delivering.is_delivering, what="it delivers")
        worked = len(server.elections)
        server.tables.take_lock_away(is_seen=True)
        event = committed(server.tables, server.endpoint)
        await asyncio.sleep(1)
        assert len(server.elections) == worked + 1
        assert server.endpoint.accepted[event.id] == 1


@in_any_order
async def test_nothing_is_sent_while_a_right_is_missing_that_settles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Wakeup, "open", lambda _: None)
    tables, endpoint = healthy()
    elections = given_elections(monkeypatch)
    tables.rights_lacking = {"outbox": ["DELETE"]}
    event = committed(tables, endpoint)
    delivering = deliverer_of(tables, endpoint, monkeypatch, tmp_path / "s")
    try:
        await asyncio.sleep(60)
        assert 10 < len(elections) < 20
        assert "the account lacks rights: GRANT DELETE ON lambda_udf.outbox TO" in delivering.state
        assert not endpoint.accepted
        tables.rights_lacking = {}
        await asyncio.sleep(candidacy.RETRY_MAX + 1)
        assert endpoint.accepted[event.id] == 1
    finally:
        await delivering.stop(1)

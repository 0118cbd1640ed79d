"""The claims of two deliverers on one outbox: connections lost, takeovers, restarts, in any order: a machine and its books.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import precondition, rule
from tests.support.machine import LoopMachine, lead_through_lives, numbers, one_of
from tests.support.memory_outbox import Event, MemoryOutbox, MemorySession

from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.calls.call import SENT, Call
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.errors import ApiError, InvokeFailure
from lambda_sidecar.outbox import backlog, candidacy, election, lane, verdict, writer
from lambda_sidecar.outbox.deliverer import Deliverer
from lambda_sidecar.outbox.session_errors import SessionLost
from lambda_sidecar.outbox.wakeup import Wakeup

ANSWER = InvocationResult(202, b"", "request", "", "", b"")
FUNCTIONS, KEYS = ("f", "g"), (None, "k", "l")
# Failed rows and functions wait no longer, so that a life comes to its end soon.
BOUNDS: dict[ModuleType, dict[str, float]] = {
    lane: {"PAUSE_MIN": 0.1, "PAUSE_MAX": 1.0},
    verdict: {"BACKOFF_MIN": 0.1, "BACKOFF_MAX": 1.0},
}


class Server:
    """The outbox's server, as far as more than one deliverer meets there."""

    def __init__(self) -> None:
        self.tables = MemoryOutbox(0)
        self.holder: ServerSession | None = None
        self.is_read_only = False


class ServerSession(MemorySession):
    """A connection that can be lost, and with it the lock."""

    def __init__(self, server: Server, sidecar: Sidecar) -> None:
        super().__init__(server.tables)
        self._meets_at = server
        self._sidecar = sidecar
        self.is_lost = False
        sidecar.sessions.append(self)

    def check(self) -> None:
        if self.is_lost:
            if self._sidecar.lock is self:
                self._sidecar.lock = None
            raise SessionLost("lost")

    def lose(self) -> None:
        self.is_lost = self.is_over = True
        if self._meets_at.holder is self:
            self._meets_at.holder = None

    async def value(self, statement: str) -> Any:
        self.check()
        value = await super().value(statement)
        self.check()
        if "read_only" in statement:
            value = self._meets_at.is_read_only
            if value and self._sidecar.lock is self:
                self._sidecar.lock = None
        elif "GET_LOCK" in statement:
            return await self._take_lock()
        elif self._meets_at.holder is self and self._sidecar.lock is None:
            self._sidecar.lock = self  # it is primary again, and has kept the lock
        return value

    async def _take_lock(self) -> bool:
        if self._meets_at.holder not in (None, self):
            await asyncio.sleep(election.LOCK_SECONDS)
            self.check()
        if self._meets_at.holder in (None, self):
            self._meets_at.holder = self._sidecar.lock = self
            return True
        return False

    async def run(self, statement: Any) -> int:
        self.check()
        changed = await super().run(statement)
        self.check()
        return changed

    async def transaction(self, statements: list[Any]) -> list[int]:
        self.check()
        changed = await super().transaction(statements)
        self.check()  # committed, and nobody hears of it
        return changed

    async def close(self) -> None:
        self.lose()
        await super().close()


@dataclass(eq=False)
class Attempt:
    """A call on its way: it waits for a slot until it is sent, and is answered then."""

    sidecar: Sidecar
    event: Event
    call: Call
    sent: asyncio.Future[None]
    answered: asyncio.Future[InvocationResult | InvokeFailure]


@dataclass(eq=False)
class Sidecar:
    """A deliverer, and what it must know."""

    settings: OutboxSettings
    sessions: list[ServerSession] = field(default_factory=list)
    lock: ServerSession | None = None
    """The session with which it has taken the lock, unless it has heard that this is over."""
    has_lost: bool = False
    """A connection, at some time: another one may have delivered what it has under way."""
    deliverer: Deliverer = field(init=False)
    stopping: asyncio.Task[None] | None = None
    accepted: Counter[int] = field(default_factory=Counter)


class OutboxMachine(LoopMachine):
    def begin(self) -> None:
        patch = self.exits.enter_context(pytest.MonkeyPatch.context())
        self.server = Server()
        self.sidecars: list[Sidecar] = []
        self.attempts: list[Attempt] = []
        self.events: dict[int, Event] = {}
        self.wrong: list[str] = []
        self.is_ending = False
        self._patch(patch)
        self.starts()

    def _patch(self, patch: pytest.MonkeyPatch) -> None:
        for module, values in BOUNDS.items():
            for name, value in values.items():
                assert hasattr(module, name), (module, name)
                patch.setattr(module, name, value)
        self.server.tables.stand_in(patch, _checked)
        patch.setattr(Wakeup, "open", lambda _: None)
        patch.setattr(candidacy, "connect", self._connect)
        patch.setattr(writer, "connect", self._connect)
        patch.setattr(backlog, "connect", _refuse)

    async def _connect(self, settings: OutboxSettings) -> ServerSession:
        await asyncio.sleep(0)
        (sidecar,) = [one for one in self.sidecars if one.settings is settings]
        return ServerSession(self.server, sidecar)

    # ---- what sessions and operators do ----

    @rule(function=st.sampled_from(FUNCTIONS), key=st.sampled_from(KEYS))
    def commits(self, function: str, key: str | None) -> None:
        event = self.server.tables.begin(function, None if key is None else {"group_key": key})
        self.events[event.id] = event
        self.server.tables.commit(event)

    @property
    def alive(self) -> list[Sidecar]:
        return [one for one in self.sidecars if one.stopping is None]

    @precondition(lambda self: len(self.alive) < 2)
    @rule()
    def starts(self) -> None:
        settings = OutboxSettings(mysql_socket=Path("/unused"), concurrency=4, max_attempts=1000)
        sidecar = Sidecar(settings)
        self.sidecars.append(sidecar)
        with self.inside():
            sidecar.deliverer = Deliverer(settings, cast(Pipeline, _Door(self, sidecar)), Path("/unused"))
            sidecar.deliverer.start()

    @precondition(lambda self: self.alive)
    @rule(number=numbers)
    def stops(self, number: int) -> None:
        """With time for what is under way, but not for ever."""
        if number % 3 == 0:
            sidecar = one_of(self.alive, number // 3)
            sidecar.stopping = self.start(sidecar.deliverer.stop(10))

    @precondition(lambda self: self.alive)
    @rule(number=numbers, everything=st.booleans())
    def loses_connections(self, number: int, everything: bool) -> None:
        sidecar = one_of(self.alive, number)
        for session in sidecar.sessions:
            if everything or session is self.server.holder:
                session.lose()
                sidecar.has_lost = True

    @precondition(lambda self: self.at_lambda and self.alive)
    @rule(number=numbers)
    def loses_the_lock_and_hears_of_it(self, number: int) -> None:
        """With rows at Lambda."""
        self.loses_connections(
            self.alive.index(holder) if (holder := self.holder) in self.alive else number, False
        )
        self.loop.pass_time(election.ELECTION_SECONDS + 1)

    @property
    def holder(self) -> Sidecar | None:
        return next((one for one in self.sidecars if one.lock is not None), None)

    @rule(number=numbers)
    def is_read_only(self, number: int) -> None:
        self.server.is_read_only = number % 3 == 0

    # ---- what Lambda does ----

    async def run(self, sidecar: Sidecar, call: Call) -> InvocationResult | InvokeFailure:
        event = self.events[int(call.payload)]
        attempt = Attempt(sidecar, event, call, self.loop.create_future(), self.loop.create_future())
        self.attempts.append(attempt)
        try:
            if not self.is_ending:
                await attempt.sent
            call.phase = SENT
            self._look_at_sent(attempt)
            return ANSWER if self.is_ending else await attempt.answered
        finally:
            self.attempts.remove(attempt)
            if call.phase is SENT and not self._is_refused(attempt):
                sidecar.accepted[event.id] += 1

    @staticmethod
    def _is_refused(attempt: Attempt) -> bool:
        answered = attempt.answered
        return answered.done() and not answered.cancelled() and isinstance(answered.result(), InvokeFailure)

    def _look_at_sent(self, attempt: Attempt) -> None:
        sidecar, event = attempt.sidecar, attempt.event
        if sidecar.lock is None:
            self.wrong.append(f"row {event.id} is sent by a sidecar that knows that it has no lock")
        others = [one for one in self.sidecars if one is not sidecar]
        under_way = [one.sidecar for one in self.attempts if one is not attempt and one.event is event]
        # docs/outbox.md: twice, if a sidecar loses the lock's connection with the row under way. For up to
        # ELECTION_SECONDS it does not hear of that, and it settles its rows whenever they are answered.
        if any(one.has_lost for one in others):
            return
        if sidecar.accepted[event.id] or sidecar in under_way:
            self.wrong.append(f"row {event.id} is sent again by the sidecar that has sent it")
        before = [one for one in others if one.accepted[event.id] or one in under_way]
        if not sidecar.has_lost and any(one.stopping is None for one in before):
            self.wrong.append(f"row {event.id} is sent again though the one that has sent it has the lock")
        if not any(one.has_lost or one.stopping for one in self.sidecars):
            self._look_at_order(event)

    def _look_at_order(self, event: Event) -> None:
        for other in (*self.server.tables.outbox.values(), *self.server.tables.waiting.values()):
            is_before = other.id < event.id and 0 < other.committed_at < event.inserted_at
            if event.group is not None and is_before and other.group == event.group:
                self.wrong.append(f"row {event.id} has overtaken {other.id}")

    @property
    def waiting(self) -> list[Attempt]:
        return [one for one in self.attempts if not one.sent.done()]

    @precondition(lambda self: self.waiting)
    @rule(number=numbers)
    def is_sent(self, number: int) -> None:
        one_of(self.waiting, number).sent.set_result(None)

    @property
    def at_lambda(self) -> list[Attempt]:
        return [one for one in self.attempts if one.call.phase is SENT and not one.answered.done()]

    @precondition(lambda self: self.at_lambda)
    @rule(number=numbers, is_accepted=st.booleans())
    def is_answered(self, number: int, is_accepted: bool) -> None:
        answer = ANSWER if is_accepted else ApiError("TooManyRequestsException", "busy")
        one_of(self.at_lambda, number).answered.set_result(answer)

    @rule()
    def all_is_sent(self) -> None:
        self.loop.pass_time(0.6)
        for attempt in self.waiting:
            attempt.sent.set_result(None)
        self.loop.settle()

    @precondition(lambda self: self.at_lambda)
    @rule(turns=st.integers(0, 3))
    def all_is_accepted(self, turns: int) -> None:
        for attempt in self.at_lambda:
            attempt.answered.set_result(ANSWER)
        for _ in range(turns):
            self.loop.turn()

    # ---- how it must be ----

    def look(self) -> None:
        assert self.wrong == []

    def end(self) -> None:
        self.server.is_read_only = False
        self.is_ending = True
        for attempt in self.attempts:
            for future, result in ((attempt.sent, None), (attempt.answered, ANSWER)):
                if not future.done():
                    cast("asyncio.Future[Any]", future).set_result(result)
        if not self.alive:
            self.starts()
        tables = self.server.tables
        for _ in range(100):
            if not (tables.outbox or tables.waiting):
                break
            self.loop.pass_time(1.0)
        self.look()
        assert not (tables.outbox or tables.waiting), "rows stay"
        assert not tables.dead
        accepted: Counter[int] = sum((one.accepted for one in self.sidecars), Counter())
        assert set(accepted) == set(self.events)
        stopping = [one.stopping or self.start(one.deliverer.stop(1)) for one in self.sidecars]
        self.loop.pass_time(30.0)
        assert all(task.done() for task in stopping)
        assert self.server.holder is None, "a sidecar that has ended keeps the lock"


@dataclass
class _Door:
    """A sidecar's pipeline."""

    machine: OutboxMachine
    sidecar: Sidecar

    async def run(self, call: Call, _shape: object) -> InvocationResult | InvokeFailure:
        return await self.machine.run(self.sidecar, call)


def _checked(query: Callable[..., Any]) -> Callable[..., Any]:
    async def through_session(session: ServerSession, *arguments: Any, **options: Any) -> Any:
        session.check()
        found = await query(session, *arguments, **options)
        session.check()
        return found

    return through_session


async def _refuse(_settings: object) -> MemorySession:
    raise SessionLost("nobody watches")


def test_whatever_happens_in_whatever_order_no_row_is_lost_and_none_is_sent_by_a_sidecar_without_the_lock() -> (
    None
):
    lead_through_lives(OutboxMachine)

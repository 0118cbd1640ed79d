"""Credentials of roles and of the chain over time, whoever asks, waits, leaves or fails: a machine and its books.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import pytest
from botocore.credentials import ReadOnlyCredentials
from hypothesis.stateful import precondition, rule
from tests.support.machine import LoopMachine, lead_through_lives, numbers, one_of

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.rules import Role
from lambda_sidecar.aws.credentials import (
    CHAIN_SECONDS,
    MISSING_SECONDS,
    READ_SECONDS,
    RENEW_SECONDS,
    ChainCredentials,
)
from lambda_sidecar.aws.kept_credentials import NEVER, UNUSABLE_PART, UNUSABLE_SECONDS, Session
from lambda_sidecar.aws.role_credentials import FAILED_SECONDS, REFRESH_SECONDS, RoleCredentials
from lambda_sidecar.errors import ErrorKind, InvokeFailure, MissingCredentials

ROLE = Role("arn:aws:iam::123456789012:role/orders", None, 3600, False)
CHAIN = "the chain"
ACCOUNTS = {"app": Account("app", "%"), "batch": Account("batch", "%")}
LIFETIMES = (3600.0, 3600.0, 900.0, 60.0, 5.0, 0.0, -60.0, math.nan, NEVER)


@dataclass
class Source:
    """One set of credentials, as it must be."""

    name: str
    fetch: asyncio.Future[Session] | None = None
    """Under way."""
    fetch_began: float = 0.0
    expires: float = -NEVER
    usable_until: float = -NEVER
    failed_at: float = -NEVER
    asked_at: float = -NEVER
    fetched_at: float = -NEVER

    @property
    def failed_seconds(self) -> float:
        return MISSING_SECONDS if self.name == CHAIN else FAILED_SECONDS

    @property
    def renew_seconds(self) -> float:
        return RENEW_SECONDS if self.name == CHAIN else REFRESH_SECONDS


@dataclass
class Caller:
    source: Source
    began: float
    task: asyncio.Task[None] = field(init=False)


class _Components:
    """A session of the SDK, as far as it is asked here."""

    def register_component(self, _name: str, _component: object) -> None:
        """Nobody signs."""


class _Chain(ChainCredentials):
    """Its answers are the machine's."""

    def __init__(self, machine: CredentialsMachine) -> None:
        session: Any = _Components()
        super().__init__(session, clock=lambda: time.time())
        self._machine = machine

    async def _ask(self) -> Session:
        return await self._machine.fetch(CHAIN)


class CredentialsMachine(LoopMachine):
    def begin(self) -> None:
        self.sources = {name: Source(name) for name in (CHAIN, *ACCOUNTS)}
        self.chain = _Chain(self)
        self.credentials = RoleCredentials(self.chain, self._assume, clock=lambda: time.time())
        self.callers: list[Caller] = []
        self.count = self.ended = 0
        self.given: dict[str, tuple[Source, float]] = {}
        self.wrong: list[str] = []
        self.is_ending = False

    async def _assume(self, _role: Role, account: Account, _region: str) -> Session:
        return await self.fetch(account.user)

    async def fetch(self, name: str) -> Session:
        source, now = self.sources[name], time.time()
        self._note(source.fetch is None, "it is fetched twice at a time")
        self._note(source.expires - now <= source.renew_seconds, "it is fetched though it is fresh")
        self._note(
            now >= source.failed_at + source.failed_seconds, "it is fetched though that has just failed"
        )
        source.fetch, source.fetch_began = self.loop.create_future(), now
        try:
            return await source.fetch
        except asyncio.CancelledError:
            is_late = name == CHAIN and time.time() - now >= READ_SECONDS
            self._note(is_late or self.is_ending, "a caller has cancelled it")
            source.failed_at = time.time()
            raise
        finally:
            source.fetch = None
            self.ended += name != CHAIN

    def _note(self, is_right: bool, otherwise: str) -> None:
        """An assertion here would be a failure to fetch, and no more."""
        if not is_right:
            self.wrong.append(otherwise)

    # ---- what callers do ----

    @rule(name=st.sampled_from((CHAIN, *ACCOUNTS)))
    def get(self, name: str) -> None:
        caller = Caller(self.sources[name], time.time())
        caller.task = self.start(self._get(caller))
        self.callers.append(caller)
        caller.task.add_done_callback(lambda _: self.callers.remove(caller))

    async def _get(self, caller: Caller) -> None:
        source = caller.source
        source.asked_at = time.time()
        role = None if source.name == CHAIN else ROLE
        account = ACCOUNTS.get(source.name, ACCOUNTS["app"])
        try:
            given = await self.credentials.get(role, account, "eu-central-1")
        except InvokeFailure as failure:
            self._look_at_failure(caller, failure)
            return
        of, usable_until = self.given[given.access_key]
        assert of is source, "they are another's"
        assert time.time() < usable_until, "they expire under the call"

    @precondition(lambda self: self.callers)
    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        one_of(self.callers, number).task.cancel()

    @rule(seconds=st.sampled_from((1.0, 5.0, 300.0, 2700.0, 3600.0)))
    def much_time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)

    @precondition(lambda self: self.given)
    @rule(number=numbers, to=st.sampled_from(("renew", "use", "end")))
    def time_passes_to_a_moment_of_one(self, number: int, to: str) -> None:
        """Just beyond it: when they are to be renewed, may not be used any more, or expire."""
        source = one_of([one for one in self.sources.values() if one.expires > -NEVER], number)
        moment = {
            "renew": source.expires - source.renew_seconds,
            "use": source.usable_until,
            "end": source.expires,
        }
        seconds = moment[to] + 0.5 - time.time()
        if 0 < seconds < NEVER:
            self.pass_time(seconds)
            self.get(source.name)

    # ---- what those do who give them ----

    @property
    def fetched(self) -> list[Source]:
        return [one for one in self.sources.values() if one.fetch is not None and not one.fetch.done()]

    @precondition(lambda self: self.fetched)
    @rule(number=numbers, lifetime=st.sampled_from(LIFETIMES))
    def gives(self, number: int, lifetime: float) -> None:
        source, now = one_of(self.fetched, number), time.time()
        assert source.fetch is not None
        self.count += 1
        key = f"KEY{self.count}"
        source.fetch.set_result(Session(ReadOnlyCredentials(key, "secret", None), now + lifetime))
        if lifetime > 0:
            source.expires, source.fetched_at = now + lifetime, now
            source.usable_until = source.expires - min(UNUSABLE_SECONDS, lifetime * UNUSABLE_PART)
            source.failed_at = -NEVER
            self.given[key] = source, source.usable_until
        else:
            source.failed_at = now

    @precondition(lambda self: self.fetched)
    @rule(
        number=numbers,
        error=st.sampled_from((MissingCredentials("no"), ValueError("a defect"), TimeoutError(), OSError())),
    )
    def fails(self, number: int, error: Exception) -> None:
        source = one_of(self.fetched, number)
        assert source.fetch is not None
        source.fetch.set_exception(error)
        source.failed_at = time.time()

    # ---- how it must be ----

    def _look_at_failure(self, caller: Caller, failure: InvokeFailure) -> None:
        source, now = caller.source, time.time()
        assert source.name != CHAIN or failure.kind is ErrorKind.CREDENTIALS
        assert now >= source.usable_until or now == source.fetched_at, "there are some, and it fails"
        has_failed = now <= source.failed_at + source.failed_seconds
        has_waited = source.name == CHAIN and now - caller.began >= CHAIN_SECONDS
        assert has_failed or has_waited, "it fails, and nothing has failed"

    def look(self) -> None:
        assert self.wrong == []

    def look_at_rest(self) -> None:
        self.look()
        now = time.time()
        for caller in self.callers:
            assert caller.source.fetch is not None, "it waits for nothing"
            assert now >= caller.source.usable_until, "it waits though there are some"
            assert caller.source.name != CHAIN or now - caller.began < CHAIN_SECONDS
        for source in self.sources.values():
            is_due = source.expires - now < min(
                source.renew_seconds, (source.expires - source.fetched_at) / 2
            )
            has_failed = now < source.failed_at + source.failed_seconds
            if source.asked_at == now > source.fetched_at and is_due and not has_failed:
                assert source.fetch is not None, "it is not renewed"
        assert self.credentials.refreshes.total() == self.ended

    def end(self) -> None:
        self.is_ending = True
        closing = [self.start(self.credentials.close()), self.start(self.chain.close())]
        self.loop.settle()
        assert all(task.done() for task in closing)
        assert not any(source.fetch is not None for source in self.sources.values())
        assert all(caller.task.done() for caller in self.callers), "it waits for what nobody fetches"


def test_whatever_happens_in_whatever_order_a_caller_gets_credentials_that_are_valid_and_waits_only_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("kept_credentials", "credentials", "role_credentials"):
        monkeypatch.setattr(f"lambda_sidecar.aws.{module}.log.disabled", True)
    lead_through_lives(CredentialsMachine)

"""A call that may be sent only as long as its caller has a lease: whatever it waits for, it is not sent after that.

The sidecar's own pipeline and its client, before a server on loopback. Each test's name is the sentence that it
proves."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from botocore.credentials import ReadOnlyCredentials
from tests.support.http_peer import Peer, peer
from tests.support.waiting import until

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.function_name import Defaults
from lambda_sidecar.access.rules import AccessRules, Role
from lambda_sidecar.access.settings import AccessSettings
from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.credentials import PlaceholderCredentials
from lambda_sidecar.aws.lambda_api import Invoker
from lambda_sidecar.calls import waits
from lambda_sidecar.calls.call import SENT, WAITING, Call, Outcome
from lambda_sidecar.calls.lambda_invoke import Options
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.concurrency.slots import Concurrency, Share
from lambda_sidecar.errors import InvokeFailure
from lambda_sidecar.http.client import Origin
from lambda_sidecar.http.connection import Connection

DEFAULTS = Defaults({"us-east-1": "aws"}, "us-east-1", "123456789012")
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


def error(status: int, code: str) -> bytes:
    return f"HTTP/1.1 {status} x\r\nx-amzn-ErrorType: {code}\r\nContent-Length: 2\r\n\r\n{{}}".encode()


THROTTLED, PASSES = error(429, "TooManyRequestsException"), error(409, "ResourceConflictException")


@dataclass
class Lease:
    """`until`: its end, on time.monotonic()'s clock."""

    until: float = math.inf

    def __call__(self) -> float:
        return self.until

    def end(self) -> None:
        self.until = -math.inf


class Gated(PlaceholderCredentials):
    """They come when the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def get(self, role: Role | None, account: Account, region: str) -> ReadOnlyCredentials:
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        return await super().get(role, account, region)


@dataclass
class Sidecar:
    """As far as a call meets it; it has one slot."""

    pipeline: Pipeline
    invoker: Invoker
    server: Peer
    credentials: Gated
    lease: Lease = field(default_factory=Lease)
    made: Call = field(init=False)

    def begins(self) -> asyncio.Task[InvocationResult | InvokeFailure]:
        """A call under the lease."""
        self.made = Call(
            Account("app", "%"),
            "f",
            b"1",
            options=Options(invocation_type="Event"),
            timeout_ms=20_000,
            share=Share(),
            lease=self.lease,
        )
        return asyncio.create_task(self.pipeline.run(self.made, _as_it_is))

    async def gives_up(self, call: asyncio.Task[InvocationResult | InvokeFailure], *, sent: int) -> None:
        """The call ends as one that was cancelled, of which the server has seen so many attempts."""
        with pytest.raises(asyncio.CancelledError):
            await call
        assert len(self.server.requests) == sent
        assert self.pipeline.concurrency.running == self.pipeline.concurrency.waiting == 0
        assert self.pipeline.defect() is None
        assert self.pipeline.traffic.totals()[Outcome.CANCELLED] == 1


async def _as_it_is(result: InvocationResult) -> InvocationResult:
    return result


@asynccontextmanager
async def sidecar(*answers: bytes) -> AsyncIterator[Sidecar]:
    """`answers` of the server, in order; the last one again and again."""

    async def talk(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await made.read(reader)
            writer.write(answers[min(len(made.requests), len(answers)) - 1])

    async with peer(talk) as server:
        invoker = Invoker(
            AwsConfiguration(), connect_timeout=5, endpoint_url=f"http://127.0.0.1:{server.port}"
        )
        policy = Policy(DEFAULTS, AccessRules(AccessSettings(), DEFAULTS))
        credentials = Gated()
        pipeline = Pipeline(invoker.invoke, credentials, policy, Concurrency(1, None))
        try:
            yield Sidecar(pipeline, invoker, server, credentials)
        finally:
            await invoker.close()


async def test_a_call_whose_lease_holds_is_sent() -> None:
    async with sidecar(ACCEPTED) as running:
        answer = await running.begins()
        assert isinstance(answer, InvocationResult)
        assert answer.status_code == 202


async def test_a_call_whose_lease_ends_while_it_waits_for_a_slot_is_not_sent_and_gives_the_slot_back() -> (
    None
):
    async with sidecar(ACCEPTED) as running:
        concurrency = running.pipeline.concurrency
        slot = concurrency.take("other")
        assert slot is not None
        call = running.begins()
        await until(lambda: concurrency.waiting == 1, what="it waits for a slot")
        running.lease.end()
        concurrency.give_back(slot)
        await running.gives_up(call, sent=0)
        assert running.made.phase is not SENT


async def test_a_call_whose_lease_ends_while_it_waits_for_credentials_is_not_sent() -> None:
    async with sidecar(ACCEPTED) as running:
        running.credentials.gate.clear()
        call = running.begins()
        await until(lambda: running.credentials.waiting == 1, what="it waits for credentials")
        running.lease.end()
        running.credentials.gate.set()
        await running.gives_up(call, sent=0)


async def test_a_call_whose_lease_ends_while_it_rests_after_a_429_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waits, "REST_FIRST", 1.0)
    async with sidecar(THROTTLED, ACCEPTED) as running:
        call = running.begins()
        await until(lambda: running.server.requests and running.made.phase is WAITING, what="it rests")
        running.lease.end()
        await running.gives_up(call, sent=1)


async def test_a_call_whose_lease_ends_before_the_client_tries_again_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sidecar(PASSES, ACCEPTED) as running:

        def wait(_failure: InvokeFailure, _attempt: int) -> float:
            running.lease.end()
            return 0.0

        monkeypatch.setattr("lambda_sidecar.aws.lambda_api._wait_before_retry", wait)
        await running.gives_up(running.begins(), sent=1)


async def test_a_call_whose_lease_ends_while_it_connects_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection was slow, or the process stood still meanwhile."""
    async with sidecar(ACCEPTED) as running:
        running.lease.until = time.monotonic() + 0.2
        client = running.invoker._http
        connect = client._connect

        async def late(origin: Origin) -> Connection:
            made = await connect(origin)
            await until(lambda: time.monotonic() >= running.lease.until, what="the lease is over")
            return made

        monkeypatch.setattr(client, "_connect", late)
        await running.gives_up(running.begins(), sent=0)
        assert running.server.connections == 1


async def test_a_call_whose_time_is_over_times_out_though_it_has_a_lease() -> None:
    async with sidecar(ACCEPTED) as running:
        running.credentials.gate.clear()
        call = running.begins()
        await until(lambda: running.credentials.waiting == 1, what="it waits for credentials")
        running.made.deadline = time.monotonic()
        running.credentials.gate.set()
        answer = await call
        assert isinstance(answer, InvokeFailure)
        assert answer.text == "timed out after 20000 ms"
        assert running.server.requests == []

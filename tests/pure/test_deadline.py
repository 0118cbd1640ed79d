"""When a call's time is looked at: whatever held it up, nothing is sent once it is over.

The sidecar's own parts in this process, before a server on loopback. Each test's name is the sentence that it
proves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from botocore.credentials import ReadOnlyCredentials
from tests.support.answered import answered
from tests.support.http_peer import Peer, peer

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.function_name import Defaults
from lambda_sidecar.access.rules import AccessRules, Role
from lambda_sidecar.access.settings import AccessSettings
from lambda_sidecar.aws import lambda_api as invoker
from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.credentials import PlaceholderCredentials
from lambda_sidecar.aws.lambda_api import Invoker
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.concurrency.slots import Concurrency
from lambda_sidecar.contract.service import LambdaInvoker
from lambda_sidecar.errors import InvokeFailure
from lambda_udf.v1 import invoker_pb2

DEFAULTS = Defaults({"us-east-1": "aws"}, "us-east-1", "123456789012")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"
PASSES = b"HTTP/1.1 409 x\r\nx-amzn-ErrorType: ResourceConflictException\r\nContent-Length: 2\r\n\r\n{}"


def stand_still(seconds: float) -> None:
    """As the process stopped, or another call held the loop."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


class Slow(PlaceholderCredentials):
    """The loop stands still for so long before a call has its credentials."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def get(self, role: Role | None, account: Account, region: str) -> ReadOnlyCredentials:
        stand_still(self.seconds)
        return await super().get(role, account, region)


def request(timeout_ms: int = 20_000, deadline_in: float | None = None) -> invoker_pb2.InvokeRequest:
    deadline_ms = 0 if deadline_in is None else int((time.monotonic() + deadline_in) * 1000)
    return invoker_pb2.InvokeRequest(
        call_id=1,
        function="f",
        invocation_type=invoker_pb2.INVOCATION_TYPE_REQUEST_RESPONSE,
        timeout_ms=timeout_ms,
        deadline_ms=deadline_ms,
    )


@asynccontextmanager
async def service(*answers: bytes, held_for: float = 0.0) -> AsyncIterator[tuple[LambdaInvoker, Peer]]:
    async def talk(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await made.read(reader)
            writer.write(answers[min(len(made.requests), len(answers)) - 1])

    async with peer(talk) as server:
        made = Invoker(AwsConfiguration(), connect_timeout=5, endpoint_url=f"http://127.0.0.1:{server.port}")
        policy = Policy(DEFAULTS, AccessRules(AccessSettings(), DEFAULTS))
        try:
            yield LambdaInvoker(Pipeline(made.invoke, Slow(held_for), policy, Concurrency(1, None))), server
        finally:
            await made.close()


async def outcome(service: LambdaInvoker, asked: invoker_pb2.InvokeRequest) -> str:
    response = await answered(service, asked, b"1")
    assert service.pipeline.concurrency.running == 0
    return response.error.message or response.result.payload.decode()


@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "open connection"])
@pytest.mark.parametrize("deadline_in", [None, 0.05], ids=["timeout_ms", "deadline_ms"])
async def test_a_loop_that_stood_still_sends_nothing_that_has_expired(
    warm: bool, deadline_in: float | None
) -> None:
    """The timer of the call has not had its turn yet when the call goes on."""
    async with service(OK) as (serving, server):
        if warm:
            assert await outcome(serving, request()) == "1"
        serving.pipeline._credentials = Slow(0.1)
        timeout_ms = 50 if deadline_in is None else 20_000
        asked = request(timeout_ms, deadline_in)
        assert await outcome(serving, asked) == f"timed out after {timeout_ms} ms"
        serving.pipeline._credentials = Slow(0)
        assert await outcome(serving, request()) == "1"
        assert len(server.requests) == 1 + warm


async def test_what_has_expired_on_arrival_is_refused_before_credentials_are_asked_for() -> None:
    async with service(OK, held_for=5) as (serving, server):
        began = time.monotonic()
        assert await outcome(serving, request(deadline_in=-0.001)) == "timed out after 20000 ms"
        assert time.monotonic() - began < 2
        assert server.requests == []


async def test_a_retry_after_the_deadline_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def hold(_failure: InvokeFailure, _attempt: int) -> float:
        stand_still(0.3)
        return 0.0

    monkeypatch.setattr(invoker, "_wait_before_retry", hold)
    async with service(PASSES, OK) as (serving, server):
        assert await outcome(serving, request(deadline_in=0.25)) == "timed out after 20000 ms"
        assert len(server.requests) == 1


async def test_the_shorter_of_the_calls_own_time_and_the_statements_ends_it() -> None:
    async with service(OK) as (serving, server):
        assert await outcome(serving, request()) == "1"
        serving.pipeline._credentials = Slow(0.1)
        asked = request()
        asked.options_json = '{"timeout_ms": 50}'
        assert await outcome(serving, asked) == "timed out after 50 ms"
        asked = request(deadline_in=0.05)
        asked.options_json = '{"timeout_ms": 10000}'
        assert await outcome(serving, asked) == "timed out after 20000 ms"
        assert len(server.requests) == 1


async def test_a_request_that_lay_unread_gives_its_cancellation_time_to_be_read() -> None:
    """A KILL that came behind it: its stream ends in one of the loop's next turns."""
    async with service(OK) as (serving, server):
        assert (
            await outcome(serving, request()) == "1"
        )  # the connection is there: the next call goes out at once
        late = asyncio.create_task(answered(serving, request(20_000, deadline_in=19.0), b"1"))
        await asyncio.sleep(0)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        assert await outcome(serving, request(20_000, deadline_in=19.0)) == "1"
        assert len(server.requests) == 2

"""The hash of a large payload: made in a thread beside the payload's check, and the one that is signed.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time

import pytest
from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.function_name import Defaults, FunctionName
from lambda_sidecar.access.rules import AccessRules
from lambda_sidecar.access.settings import AccessSettings
from lambda_sidecar.aws import lambda_api, payload_hash
from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.aws.configuration import Endpoint
from lambda_sidecar.aws.credentials import PlaceholderCredentials
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.aws.payload_hash import APART, begin_hash
from lambda_sidecar.calls.call import Call
from lambda_sidecar.calls.lambda_invoke import Options
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.concurrency.slots import Concurrency, Share
from lambda_sidecar.errors import InvokeFailure

DEFAULTS = Defaults({"us-east-1": "aws"}, "us-east-1", "123456789012")
CREDENTIALS = ReadOnlyCredentials("AKIDEXAMPLE", "secret", None)


async def sent(payload: bytes) -> tuple[list[Invocation], InvocationResult | InvokeFailure]:
    """What one call sends, and its answer."""
    seen: list[Invocation] = []

    async def invoke(invocation: Invocation, _credentials: ReadOnlyCredentials) -> InvocationResult:
        seen.append(invocation)
        return InvocationResult(200, b"1", "r", "1", "", b"")

    async def shape(result: InvocationResult) -> InvocationResult:
        return result

    policy = Policy(DEFAULTS, AccessRules(AccessSettings(), DEFAULTS))
    pipeline = Pipeline(invoke, PlaceholderCredentials(), policy, Concurrency(1, None))
    options = Options(invocation_type="RequestResponse")
    call = Call(Account("app", "%"), "f", payload, options=options, timeout_ms=60_000, share=Share())
    return seen, await pipeline.run(call, shape)


@pytest.mark.parametrize("size", [APART - 1, APART, 5_000_000])
def test_what_is_signed_is_the_hash_of_what_is_sent(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = b'"' + b"x" * (size - 2) + b'"'
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    (invocation,), _ = asyncio.run(sent(payload))
    assert (invocation.payload_hash != "") == (size >= APART)
    function = FunctionName("aws", "us-east-1", "123456789012", "f", None)
    target = lambda_api._target(
        Endpoint("https://lambda.us-east-1.amazonaws.com", None), function, False, False
    )
    plain = Invocation(invocation.function, payload, "RequestResponse")
    assert lambda_api._head(target, invocation, CREDENTIALS) == lambda_api._head(target, plain, CREDENTIALS)
    other = Invocation(invocation.function, payload[:-1], "RequestResponse")
    assert lambda_api._head(target, invocation, CREDENTIALS) != lambda_api._head(target, other, CREDENTIALS)


def test_a_large_payload_is_hashed_in_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def noting(payload: bytes) -> str:
        names.append(threading.current_thread().name)
        return hashlib.sha256(payload).hexdigest()

    async def main() -> None:
        payload = b"x" * APART
        hashing = await begin_hash(payload)
        assert await hashing == hashlib.sha256(payload).hexdigest()

    monkeypatch.setattr(payload_hash, "payload_hash", noting)
    asyncio.run(main())
    assert names[0].startswith("sha256")


@pytest.mark.parametrize("wrong", [b"x", b'"\xff'])
def test_a_large_payload_that_is_refused_is_not_sent(wrong: bytes) -> None:
    seen, answer = asyncio.run(sent(wrong + b"x" * APART))
    assert seen == []
    assert isinstance(answer, InvokeFailure)
    assert answer.text.startswith("payload is not ")


def test_a_call_that_is_cancelled_while_its_payload_is_hashed_leaves_the_threads_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = threading.Event()

    def held(payload: bytes) -> str:
        gate.wait(60)
        return hashlib.sha256(payload).hexdigest()

    async def main() -> None:
        calls = [asyncio.ensure_future(sent(b'"' + b"x" * APART + b'"')) for _ in range(3)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        gate.set()
        async with asyncio.timeout(60):
            seen, _ = await sent(b'"' + b"x" * APART + b'"')
        assert len(seen) == 1

    monkeypatch.setattr(payload_hash, "payload_hash", held)
    asyncio.run(main())

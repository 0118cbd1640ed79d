"""What the health service says of a sidecar that answers, but cannot serve.

The parts as server.py puts them together, broken on purpose. Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from botocore.credentials import ReadOnlyCredentials
from grpc_health.v1 import health, health_pb2_grpc
from tests.support.answered import answered

from lambda_sidecar.access.function_name import Defaults
from lambda_sidecar.access.rules import AccessRules
from lambda_sidecar.access.settings import AccessSettings
from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.aws.credentials import PlaceholderCredentials
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.concurrency.slots import Concurrency
from lambda_sidecar.contract.health_watch import LOOKS, HealthWatch
from lambda_sidecar.contract.service import LambdaInvoker
from lambda_sidecar.process.socket_check import problem
from lambda_udf.v1 import invoker_pb2

DEFAULTS = Defaults({"us-east-1": "aws"}, "us-east-1", "123456789012")
REQUEST = invoker_pb2.InvokeRequest(
    call_id=1, function="f", invocation_type=invoker_pb2.INVOCATION_TYPE_REQUEST_RESPONSE, timeout_ms=60_000
)


class Sidecar:
    """One slot; calls end once `go` is set. `problem` is what `lambda-sidecar health` would say."""

    def __init__(self, socket: Path) -> None:
        policy = Policy(DEFAULTS, AccessRules(AccessSettings(), DEFAULTS))
        self.concurrency = Concurrency(1, None)
        self.pipeline = Pipeline(self._invoke, PlaceholderCredentials(), policy, self.concurrency)
        self.service = LambdaInvoker(self.pipeline)
        self.go = asyncio.Event()
        self.socket = socket
        self.health = health.aio.HealthServicer()
        self.watch = HealthWatch(self.pipeline.defect, self.health, ("",))

    async def _invoke(self, _invocation: Invocation, _credentials: ReadOnlyCredentials) -> InvocationResult:
        await self.go.wait()
        return InvocationResult(200, b"1", "r-1", "$LATEST", "", b"")

    def call(self) -> asyncio.Task[invoker_pb2.InvokeResponse]:
        return asyncio.create_task(answered(self.service, REQUEST, b"1"))

    async def problem(self) -> str | None:
        """After as many looks as it takes."""
        for _ in range(LOOKS):
            await self.watch.look()
        return await asyncio.to_thread(problem, self.socket)


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Sidecar]:
    made = Sidecar(tmp_path / "s")
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(made.health, server)
    server.add_insecure_port(f"unix:{made.socket}")
    await server.start()
    await made.watch.start()
    yield made
    await made.watch.stop()
    await server.stop(None)


async def test_calls_that_run_and_calls_that_wait_are_no_defect(sidecar: Sidecar) -> None:
    calls = [sidecar.call() for _ in range(5)]
    await asyncio.sleep(0)
    assert (sidecar.concurrency.running, sidecar.concurrency.waiting) == (1, 4)
    assert await sidecar.problem() is None
    sidecar.go.set()
    assert [answer.result.payload for answer in await asyncio.gather(*calls)] == [b"1"] * 5
    assert await sidecar.problem() is None


async def test_a_slot_on_its_way_to_the_next_call_is_no_defect(sidecar: Sidecar) -> None:
    held = sidecar.concurrency.take("f")
    assert held is not None
    calls = [sidecar.call() for _ in range(2)]
    await asyncio.sleep(0)
    sidecar.concurrency.give_back(held)
    assert await sidecar.problem() is None, "let in, and it has not heard of it"
    sidecar.go.set()
    assert [answer.result.payload for answer in await asyncio.gather(*calls)] == [b"1"] * 2
    assert (sidecar.concurrency.running, sidecar.concurrency.on_their_way) == (0, 0)


async def test_a_slot_of_a_call_that_is_cancelled_as_it_is_let_in_is_no_defect(sidecar: Sidecar) -> None:
    held = sidecar.concurrency.take("f")
    assert held is not None
    call = sidecar.call()
    await asyncio.sleep(0)
    sidecar.concurrency.give_back(held)
    call.cancel()
    for _ in range(2 * LOOKS):
        await sidecar.watch.look()
        assert sidecar.pipeline.defect() is None
    await asyncio.gather(call, return_exceptions=True)
    assert (sidecar.concurrency.running, sidecar.concurrency.on_their_way) == (0, 0)
    assert sidecar.pipeline.defect() is None


async def test_a_slot_that_no_call_holds_is_told_and_so_is_its_return(
    sidecar: Sidecar, caplog: pytest.LogCaptureFixture
) -> None:
    lost = sidecar.concurrency.take("f")
    assert lost is not None
    assert await sidecar.problem() == "answers that it does not serve"
    assert [record.levelno for record in caplog.records] == [logging.ERROR], "told once"
    assert "1 slots are held, by 0 calls" in caplog.text
    sidecar.concurrency.give_back(lost)
    assert await sidecar.problem() is None


async def test_calls_that_wait_although_there_is_room_are_told(sidecar: Sidecar) -> None:
    sidecar.go.set()
    held = sidecar.concurrency.take("f")
    assert held is not None
    waiting = sidecar.call()
    await asyncio.sleep(0)
    sidecar.concurrency._held.clear()  # as if a slot had been given back and nobody let in
    assert sidecar.concurrency.is_stuck()
    assert await sidecar.problem() == "answers that it does not serve"
    sidecar.concurrency.limit(1, None)
    assert (await waiting).result.payload == b"1"
    assert await sidecar.problem() is None


async def test_what_passes_between_two_looks_is_not_told(sidecar: Sidecar) -> None:
    for _ in range(3 * LOOKS):
        lost = sidecar.concurrency.take("f")
        assert lost is not None
        await sidecar.watch.look()
        sidecar.concurrency.give_back(lost)
        await sidecar.watch.look()
    assert await asyncio.to_thread(problem, sidecar.socket) is None

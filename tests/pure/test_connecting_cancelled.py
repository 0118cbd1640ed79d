"""A call that is cancelled in the moment in which its connection is made, at a name of which one address is dead.

The library that chooses among the addresses may forget the cancellation. Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest
import uvloop
from botocore.credentials import ReadOnlyCredentials
from tests.support.account import ACCOUNT_ID, REGION
from tests.support.half_dead_name import DEAD, LIVING, cancelled_after, half_dead_name
from tests.support.http_post import OK, client, post

from lambda_sidecar.access.function_name import Defaults, parse_function_name
from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.durable_answer import SUCCEED
from lambda_sidecar.aws.durable_api import DurableApi
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.http import client as http_client
from lambda_sidecar.http.cancellation import cancellation_kept
from lambda_sidecar.http.client import origin_of
from lambda_sidecar.http.connection import Connection

Run = Callable[[Coroutine[Any, Any, None]], None]
# More than any loop needs from an address' answer to the request.
TURNS = 12


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """The event loop: uvloop is the sidecar's."""
    chosen: Run = request.param
    return chosen


async def _addresses(host: str, port: int) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in (DEAD, LIVING)]


def test_it_is_sent_nothing_and_ends_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "HAPPY_EYEBALLS_SECONDS", 0.01)
    carry_out = Connection.carry_out

    async def main() -> None:
        async with half_dead_name(OK) as name:
            for turns in range(TURNS):
                sent: list[None] = []

                async def sending(connection: Connection, *arguments: Any, sent: list[None] = sent) -> Any:
                    sent.append(None)
                    return await carry_out(connection, *arguments)

                monkeypatch.setattr(Connection, "carry_out", sending)
                async with client() as http:
                    monkeypatch.setattr(http._names, "addresses", _addresses)
                    origin = origin_of(f"http://lambda.example:{name.port}", None)
                    began: list[int] = []

                    async def call() -> None:
                        await post(http, origin)  # noqa: B023

                    outcome = await cancelled_after(turns, call, monkeypatch, lambda: began.append(len(sent)))  # noqa: B023
                assert outcome == "cancelled", f"cancelled after {turns} turns: {outcome}"
                if began[0]:
                    return  # it had been sent before
                assert (len(sent), name.requests) == (0, []), f"sent, though cancelled after {turns} turns"
            raise AssertionError("it was never sent")

    run(main())
    with warnings.catch_warnings(action="error"):
        gc.collect()  # a socket that nobody closed


@pytest.mark.parametrize("turns", range(3))
def test_a_callback_is_sent_nothing_and_ends_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    """Its client is aiohttp's."""

    async def resolve(resolver: Any, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        same = {"hostname": host, "port": port, "family": socket.AF_INET, "proto": 6, "flags": 0}
        return [{**same, "host": each} for each in (DEAD, LIVING)]

    for resolver in {aiohttp.DefaultResolver, aiohttp.ThreadedResolver}:
        monkeypatch.setattr(resolver, "resolve", resolve)

    async def main() -> None:
        as_lambda = OK.replace(b"X-One", b"Content-Type: application/json\r\nX-One")
        async with half_dead_name(as_lambda) as name, contextlib.AsyncExitStack() as ends:
            api = DurableApi(AwsConfiguration(), endpoint_url=f"http://lambda.example:{name.port}")
            ends.push_async_callback(api.close)
            function = parse_function_name(
                "f", Defaults({REGION: "aws"}, REGION, ACCOUNT_ID), region="", qualifier=""
            )
            invocation = Invocation(function, b"1", SUCCEED, subject="abcd")

            async def call() -> None:
                await api.ask(invocation, ReadOnlyCredentials("key", "secret", None))

            assert await cancelled_after(turns, call, monkeypatch) == "cancelled"
            assert name.requests == []
            await call()
            assert len(name.requests) == 1, "later ones go their way"

    run(main())


async def test_a_timeout_that_was_forgotten_is_one_all_the_same() -> None:
    async def forgetful() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "as if nothing had been"
        return ""

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            with cancellation_kept():
                assert await forgetful() == "as if nothing had been"


async def test_a_timeout_within_that_has_had_its_effect_cancels_nothing() -> None:
    with cancellation_kept(), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

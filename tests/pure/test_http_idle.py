"""Idle connections of the hot path's HTTP client: none is used that the other side has closed, or soon will.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import ssl
import time
import types
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.support.http_peer import answers, certificate, peer
from tests.support.http_post import OK, at, client, post
from tests.support.server_thread import server_thread

from lambda_sidecar.http.client import JUST_USED_SECONDS, ConnectFailed, HttpClient
from lambda_sidecar.http.connection import Connection

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """The event loop: uvloop is the sidecar's."""
    chosen: Run = request.param
    return chosen


def be_idle() -> None:
    """Time passes, and the loop reads nothing."""
    until = time.monotonic() + 2 * JUST_USED_SECONDS
    while time.monotonic() < until:
        pass


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_is_not_used_whose_end_has_arrived_though_the_loop_has_not_read_it(
    tmp_path: Path, run: Run, scheme: str
) -> None:
    context, authority = certificate(tmp_path)

    async def scenario() -> None:
        with server_thread(OK, context if scheme == "https" else None) as server:
            async with client(ssl.create_default_context(cafile=authority)) as http:
                origin = at(server.port, scheme)
                for _ in range(3):
                    await post(http, origin)
                assert (server.requests, len(server.connections)) == (3, 1)
                server.close_connections()  # no await until the next request: the loop cannot know
                be_idle()
                assert (await post(http, origin)).body == b"{}"
                assert (server.requests, len(server.connections)) == (4, 2)

    run(scenario())


def test_where_all_idle_connections_were_closed_none_is_used(run: Run) -> None:
    async def scenario() -> None:
        with server_thread(OK) as server:
            async with client() as http:
                origin = at(server.port)
                await asyncio.gather(*(post(http, origin) for _ in range(5)))
                server.close_connections()
                be_idle()
                await asyncio.gather(*(post(http, origin) for _ in range(5)))
                assert server.requests == 10

    run(scenario())


def test_an_answer_that_came_before_the_question_is_not_its_answer(run: Run) -> None:
    async def scenario() -> None:
        with server_thread(OK) as server:
            async with client() as http:
                await post(http, at(server.port))
                server.push(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
                be_idle()
                assert (await post(http, at(server.port))).body == b"{}"
                assert len(server.connections) == 2

    run(scenario())


@pytest.mark.parametrize(
    ("hint", "connections"),
    [
        (b"timeout=60", 1),
        (b"timeout=5, max=99", 1),
        (b"max=1", 1),
        (b"timeout=1", 2),
        (b'Timeout="0"', 2),
        (b"timeout=60, max=0", 2),
        (b"timeout=99999999999999999999", 1),
        (b"timeout=-1, \xff=;", 1),
    ],
)
async def test_what_the_other_side_says_of_its_patience_is_heeded(hint: bytes, connections: int) -> None:
    answer = OK.replace(b"X-One: 1", b"Keep-Alive: " + hint)
    async with peer(answers(answer, answer)) as server, client() as http:
        for _ in range(2):
            await post(http, at(server.port))
        assert server.connections == connections


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(b"Keep-Alive: timeout=5", 4.0), (b"Keep-Alive: timeout=60", 20.0), (b"X: y", 20.0)],
)
async def test_an_idle_connection_is_given_up_a_second_before_the_other_side_does_it(
    header: bytes, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("lambda_sidecar.http.client.time", types.SimpleNamespace(monotonic=lambda: now))
    answer = OK.replace(b"X-One: 1", header)
    async with peer(answers(*[answer] * 3)) as server, client() as http:
        await post(http, at(server.port))
        now += seconds - 0.01
        await post(http, at(server.port))
        assert server.connections == 1
        now += seconds
        await post(http, at(server.port))
        assert server.connections == 2


class EndsAtOnce(HttpClient):
    """Each connection's end has been read before whoever made it has its turn: that of a load balancer which
    takes nobody, in one packet with the end of TLS's handshake."""

    async def _reach(self, connection: Connection, scheme: str, host: str, port: int) -> None:
        await super()._reach(connection, scheme, host, port)
        connection.eof_received()


async def test_a_connection_that_has_ended_before_anything_was_sent_is_none() -> None:
    async with peer(answers(OK)) as server:
        http = EndsAtOnce(connect_timeout=5, tls=ssl.create_default_context())
        with pytest.raises(ConnectFailed):
            await post(http, at(server.port))
        await http.close()

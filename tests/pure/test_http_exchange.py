"""Whose answer a request gets: the state of an exchange is its own, and nothing outlives it.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import http.client
import io
import os
import random
import socket
import ssl
from pathlib import Path

import pytest
import uvloop
from tests.support.http_peer import Peer, answers, certificate, peer, tunnel
from tests.support.http_post import OK, at, client, post

from lambda_sidecar.http.exchange import ConnectionBroken, Exchange, TunnelExchange

CLOSED = "^The endpoint closed the connection$"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


async def test_the_end_of_a_tunnel_is_no_answer_to_the_request_in_it(tmp_path: Path) -> None:
    context, authority = certificate(tmp_path)
    async with (
        peer(answers(b""), context) as server,
        peer(tunnel) as proxy,
        client(ssl.create_default_context(cafile=authority)) as http,
    ):
        with pytest.raises(ConnectionBroken):
            await post(http, at(server.port, "https", f"http://127.0.0.1:{proxy.port}"))


@pytest.mark.parametrize("before", [NO_CONTENT, OK])
async def test_the_end_of_a_connection_is_not_the_answer_of_the_request_before(before: bytes) -> None:
    async with peer(answers(before, b"")) as server, client() as http:
        await post(http, at(server.port))
        with pytest.raises(ConnectionBroken, match=CLOSED):
            await post(http, at(server.port))
        assert (len(server.requests), server.connections) == (2, 1)


async def test_a_response_that_was_cut_off_is_no_response_though_the_one_before_was_whole() -> None:
    async with peer(answers(NO_CONTENT, b"HTTP/1.1 200 OK\r\nContent-")) as server, client() as http:
        await post(http, at(server.port))
        with pytest.raises(ConnectionBroken, match=CLOSED):
            await post(http, at(server.port))


def test_over_tls_a_body_does_not_end_where_the_other_side_has_not_said_so(tmp_path: Path) -> None:
    """RFC 9112, 9.8: a FIN without TLS's closure alert may be anybody's. On uvloop, as the sidecar runs:
    asyncio's own loop makes no difference between the two."""
    context, authority = certificate(tmp_path)

    async def cut(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await made.read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as beneath_tls:
            beneath_tls.shutdown(socket.SHUT_WR)
        await reader.read()

    async def scenario() -> None:
        trusting = ssl.create_default_context(cafile=authority)
        async with peer(cut, context) as server, client(trusting) as http:
            with pytest.raises(ConnectionBroken):
                await post(http, at(server.port, "https"))
        said = answers(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}")
        async with peer(said, context) as server, client(trusting) as http:
            assert (await post(http, at(server.port, "https"))).body == b"{}"

    uvloop.run(scenario())


async def test_a_client_that_is_closed_makes_no_answer_of_half_a_body() -> None:
    begun = asyncio.Event()

    async def slow(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await made.read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n12")
        begun.set()
        await reader.read()

    async with peer(slow) as server, client() as http, asyncio.timeout(20):
        waiting = asyncio.create_task(post(http, at(server.port)))
        await begun.wait()
        await http.close()
        with pytest.raises(ConnectionBroken):
            await waiting


async def test_a_success_before_the_whole_request_has_left_is_no_success() -> None:
    async def hasty(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.read()

    async with peer(hasty) as server, client() as http:
        with pytest.raises(ConnectionBroken, match="before it had the whole request"):
            await post(http, at(server.port), b"x" * 20_000_000)


def test_a_machine_without_memory_is_not_said_to_be_an_endpoint_that_speaks_no_http() -> None:
    class Poor(Exchange):
        def on_body(self, _: bytes) -> None:
            raise MemoryError

    exchange = Poor(body_max=100)
    exchange.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    assert str(exchange.failure) == "There is no memory for what the endpoint answered"


async def test_a_trailer_is_no_header() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with peer(answers(chunked + b"2\r\n{}\r\n0\r\nX-One: 2\r\nX-Two: 2\r\n\r\n", OK)) as server:
        async with client() as http:
            response = await post(http, at(server.port))
            assert (response.body, response.headers) == (
                b"{}",
                {"x-one": "1", "transfer-encoding": "chunked"},
            )
            await post(http, at(server.port))
        assert server.connections == 1


# ---- whatever comes ----


@pytest.mark.parametrize(
    "wire",
    [
        OK,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.0 200 \r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\n\r\n{}",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 500 \xc3\xa4\r\nX:\r\nY: \t z \t\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\nA\r\n0123456789\r\n1;x\r\n!\r\n0\r\nT: 1\r\n\r\n",
    ],
)
@pytest.mark.parametrize("step", [1, 5, 10_000])
def test_an_answer_is_read_as_pythons_own_client_reads_it(wire: bytes, step: int) -> None:
    ours, theirs = Exchange(100), http.client.HTTPResponse(_Wire(wire))  # type: ignore[arg-type]
    for start in range(0, len(wire), step):
        ours.feed(wire[start : start + step])
    ours.end()
    theirs.begin()
    response = ours.response
    assert (ours.failure, response.status, response.body) == (None, theirs.status, theirs.read())
    assert response.headers == {name.lower(): value for name, value in theirs.getheaders()}
    assert response.reason.encode(errors="surrogateescape") == theirs.reason.encode("latin-1")
    ours.release()


class _Wire:
    """A socket, as far as http.client looks at it."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._wire)


@pytest.mark.parametrize("kind", [lambda: Exchange(100), TunnelExchange], ids=["answer", "tunnel"])
def test_no_bytes_make_it_raise_and_what_is_whole_stays_as_it_is(kind: type[TunnelExchange]) -> None:
    chance = random.Random(11)  # noqa: S311
    seeds = [
        OK,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\nT: 1\r\n\r\n",
        b"HTTP/1.0 200 \r\nX:\r\nY: a\r\n b\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nrest",
    ]
    for _ in range(3_000):
        wire = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(4)):
            wire[chance.randrange(len(wire))] = chance.choice(b"\r\n :;0123456789aZ\x00\xff")
        exchange, start = kind(), 0
        kept = None
        while start < len(wire):
            step = chance.randrange(1, 40)
            exchange.feed(bytes(wire[start : start + step]))
            start += step
            if exchange.finished and kept is None:
                kept = (exchange.response, exchange.response.body, exchange.response.status)
        exchange.end()
        assert exchange.finished
        assert not exchange.reusable
        if kept is not None:
            assert kept == (exchange.response, exchange.response.body, exchange.response.status)
        exchange.release()

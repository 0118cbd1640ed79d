"""Tunnels through a proxy: one begins after the headers of CONNECT's answer, whatever they say.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from tests.support.http_peer import Peer, Talk, answers, certificate, peer, tunnel
from tests.support.http_post import OK, at, client, post

from lambda_sidecar.http.client import ConnectFailed, origin_of
from lambda_sidecar.http.exchange import TunnelExchange


def tunnel_after(said: bytes) -> Talk:
    """A proxy that answers CONNECT so, and is a tunnel then."""

    async def talk(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await tunnel(made, reader, writer, said=said)

    return talk


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: close\r\nProxy-Agent: old/1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 299 Fine\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: tunnel\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
async def test_every_2xx_to_connect_is_a_tunnel_whatever_it_says_of_a_body(
    tmp_path: Path, said: bytes
) -> None:
    context, authority = certificate(tmp_path)
    async with (
        peer(answers(OK, OK), context) as server,
        peer(tunnel_after(said)) as proxy,
        client(ssl.create_default_context(cafile=authority)) as http,
    ):
        origin = at(server.port, "https", f"http://127.0.0.1:{proxy.port}")
        for _ in range(2):
            assert (await post(http, origin)).body == b"{}"
        assert (proxy.connections, server.connections) == (1, 1)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n" + OK,
        b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"",
    ],
)
async def test_bytes_between_connects_headers_and_tls_and_other_answers_are_no_connection(
    said: bytes,
) -> None:
    async with peer(answers(said)) as proxy, client() as http, asyncio.timeout(4):
        with pytest.raises(ConnectFailed, match="ConnectionBroken"):
            await post(http, origin_of("https://lambda.example", f"http://127.0.0.1:{proxy.port}"))


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_however_an_answer_to_connect_is_cut_into_packets_it_is_read_the_same(step: int) -> None:
    wire = (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\nVia: p\r\n\r\n"
    )
    exchange = TunnelExchange()
    for start in range(0, len(wire), step):
        assert not exchange.finished
        exchange.feed(wire[start : start + step])
    assert (exchange.finished, exchange.failure, exchange.reusable) == (True, None, True)
    assert (exchange.response.status, exchange.response.headers["via"]) == (200, "p")
    exchange.feed(b"x")
    assert (str(exchange.failure), exchange.reusable) == (
        "The proxy said more than its answer to CONNECT",
        False,
    )
    exchange.release()

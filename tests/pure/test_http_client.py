"""The hot path's HTTP client before servers that a test scripts byte by byte.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest
from tests.support.http_peer import Peer, answers, certificate, peer, tunnel
from tests.support.http_post import OK, at, client, post

from lambda_sidecar.http.client import ConnectFailed, origin_of
from lambda_sidecar.http.exchange import ConnectionBroken, Response, ResponseTooLarge


async def one_answer(*wire: bytes, body_max: int = 100) -> tuple[Response, int]:
    """The answer to a first request; how many connections a second one made it."""
    async with peer(answers(*wire)) as server, client() as http:
        first = await post(http, at(server.port), body_max=body_max)
        with contextlib.suppress(ConnectionBroken):
            await post(http, at(server.port))
        return first, server.connections


async def test_a_connection_is_used_again() -> None:
    response, connections = await one_answer(OK, OK)
    assert (response.status, response.reason, response.body) == (200, "OK", b"{}")
    assert response.headers == {"content-length": "2", "x-one": "1"}
    assert connections == 1


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{"\r\n3\r\na":\r\n2\r\n1}\r\n0\r\n\r\n',
            b'{"a":1}',
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_every_framing_of_http_1_1_is_understood(wire: bytes, body: bytes) -> None:
    response, connections = await one_answer(wire, OK)
    assert response.body == body
    assert connections == 1


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-One: 2\r\n\r\nevil",
        OK + b"garbage",
    ],
)
async def test_a_connection_that_may_not_be_used_again_is_not(wire: bytes) -> None:
    response, connections = await one_answer(wire, OK)
    assert response.body == b"{}"
    assert response.headers.get("x-one", "1") == "1"
    assert connections == 2


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"HTTP/1.0 200 OK\r\n"])
async def test_a_body_without_a_length_ends_with_a_connection_that_was_to_be_closed(head: bytes) -> None:
    response, _ = await one_answer(head + b"\r\n{}")
    assert response.body == b"{}"
    assert response.until_close


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (b"", "The endpoint closed the connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "The endpoint closed the connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "The endpoint closed the connection"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "The endpoint closed the connection"),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
            "The endpoint closed the connection",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "The endpoint closed the connection"),
        (b"220 mail.example ESMTP\r\n", "What the endpoint answered is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n", "What the endpoint answered is not HTTP"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            "The endpoint wants to change the protocol",
        ),
        (
            b"HTTP/1.1 200 OK\r\n" + b"A: " + b"x" * 70_000 + b"\r\n\r\n",
            "The endpoint's headers are too long",
        ),
    ],
)
async def test_an_answer_that_is_broken_off_or_no_http_is_said_so(wire: bytes, text: str) -> None:
    with pytest.raises(ConnectionBroken, match=f"^{text}$"):
        await one_answer(wire)


@pytest.mark.parametrize("framing", [b"Content-Length: 101\r\n\r\n", b"Connection: close\r\n\r\n"])
async def test_a_body_beyond_the_limit_is_refused(framing: bytes) -> None:
    with pytest.raises(ResponseTooLarge):
        await one_answer(b"HTTP/1.1 200 OK\r\n" + framing + b"x" * 101)


async def test_an_answer_before_the_whole_request_was_read_is_an_answer() -> None:
    async def impatient(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with peer(impatient) as server, client() as http:
        assert (await post(http, at(server.port), b"x" * 20_000_000)).status == 413
        assert (await post(http, at(server.port))).status == 413
        assert server.connections == 2


async def test_a_cancelled_request_closes_its_connection_and_the_client_closes_the_others() -> None:
    asked: asyncio.Queue[None] = asyncio.Queue()
    gone: asyncio.Queue[None] = asyncio.Queue()

    async def silent(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await made.read(reader)
        asked.put_nowait(None)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.put_nowait(None)

    async with peer(silent) as server, client() as http, asyncio.timeout(20):
        waiting = asyncio.create_task(post(http, at(server.port)))
        await asked.get()
        waiting.cancel()
        await gone.get()
        under_way = asyncio.create_task(post(http, at(server.port)))
        await asked.get()
        await http.close()
        with pytest.raises(ConnectionBroken):
            await under_way
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no-such-host.invalid", "http://a..b"])
async def test_where_nobody_listens_no_connection_is_made(url: str) -> None:
    async with client() as http:
        with pytest.raises(ConnectFailed):
            await post(http, origin_of(url, None))


async def test_tls_is_checked_against_the_authority(tmp_path: Path) -> None:
    context, authority = certificate(tmp_path)
    async with peer(answers(OK, OK), context) as server:
        async with client(ssl.create_default_context(cafile=authority)) as http:
            assert (await post(http, at(server.port, "https"))).body == b"{}"
            assert (await post(http, at(server.port, "https"))).body == b"{}"
        assert server.connections == 1
        async with client() as http:
            with pytest.raises(ConnectFailed, match="SSLCertVerificationError"):
                await post(http, at(server.port, "https"))


async def test_a_server_that_speaks_no_tls_is_no_connection_and_one_that_says_nothing_neither() -> None:
    async def silent(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def refuses(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As servers do before which a handshake is a request that makes no sense."""
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        await writer.drain()

    async with peer(refuses) as server, client() as http:
        with pytest.raises(ConnectFailed, match="SSLError"):
            await post(http, at(server.port, "https"))
    async with peer(silent) as server, client(connect_timeout=0.2) as http:
        with pytest.raises(ConnectFailed, match="TimeoutError"):
            await post(http, at(server.port, "https"))


async def test_a_proxy_is_asked_for_the_whole_url_and_learns_its_user() -> None:
    async with peer(answers(OK)) as proxy, client() as http:
        origin = origin_of("http://lambda.example", f"http://me:p%40ss@127.0.0.1:{proxy.port}")
        assert (await post(http, origin)).body == b"{}"
    (head,) = proxy.requests
    assert head.startswith("POST http://lambda.example/x?y=1 HTTP/1.1\r\nhost: lambda.example\r\n")
    assert "Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in head


async def test_through_a_proxy_tls_is_with_the_endpoint(tmp_path: Path) -> None:
    context, authority = certificate(tmp_path)
    async with (
        peer(answers(OK, OK), context) as server,
        peer(tunnel) as proxy,
        client(ssl.create_default_context(cafile=authority)) as http,
    ):
        origin = at(server.port, "https", f"127.0.0.1:{proxy.port}")
        assert (await post(http, origin)).body == b"{}"
        assert (await post(http, origin)).body == b"{}"
    assert (proxy.connections, server.connections) == (1, 1)
    assert proxy.requests[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n")
    assert server.requests[0].startswith("POST /x?y=1 HTTP/1.1\r\n")


async def test_a_proxy_that_refuses_is_no_connection() -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno!"
    async with peer(answers(refusal)) as proxy, client() as http:
        with pytest.raises(ConnectFailed):
            await post(http, origin_of("https://lambda.example", f"http://127.0.0.1:{proxy.port}"))
        with pytest.raises(ConnectFailed):
            await post(http, origin_of("https://lambda.example", "socks5://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://lambda.eu-west-1.amazonaws.com", "lambda.eu-west-1.amazonaws.com"),
        ("https://lambda.eu-west-1.amazonaws.com:443/", "lambda.eu-west-1.amazonaws.com"),
        ("http://127.0.0.1:4566", "127.0.0.1:4566"),
        ("http://[::1]:4566", "[::1]:4566"),
    ],
)
def test_the_authority_leaves_out_the_schemes_own_port(url: str, authority: str) -> None:
    assert origin_of(url, None).authority == authority


@pytest.mark.parametrize("url", ["ftp://a", "https://", "a"])
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http or https"):
        origin_of(url, None)

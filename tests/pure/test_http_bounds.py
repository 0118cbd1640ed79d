"""Endpoints that send without end: every part of an answer is bounded, and costs its caller alone.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc

import pytest
from tests.support.http_peer import Peer, Talk, peer
from tests.support.http_post import at, client, post

from lambda_sidecar.http.client import ConnectFailed, origin_of
from lambda_sidecar.http.exchange import (
    HEADERS_MAX,
    REASON_KEPT,
    ConnectionBroken,
    Exchange,
    ResponseTooLarge,
)

STATUS = b"HTTP/1.1 200 OK\r\n"
CHUNKED = STATUS + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "header value": (STATUS + b"A: ", b"x" * 1000),
    "header name": (STATUS, b"x" * 1000),
    "headers": (STATUS, b"A: b\r\n" * 100),
    "headers of different names": (STATUS, b"".join(b"X%d:\r\n" % n for n in range(1000))),
    "folded header": (STATUS + b"A: b\r\n", b" c\r\n" * 100),
    "reason phrase": (b"HTTP/1.1 200 ", b"OK " * 300),
    "blanks before the status": (b"", b"\r\n" * 500),
    "1xx": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    "1xx with headers": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 900 + b"\r\n\r\n"),
    "chunk extension": (CHUNKED + b"2;", b"x" * 1000),
    "chunk size": (CHUNKED, b"0" * 1000),
    "trailer value": (CHUNKED + b"2\r\n{}\r\n0\r\nA: ", b"x" * 1000),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"A: b\r\n" * 100),
}
NO_HTTP = {"folded header", "chunk size"}


def without_end(begin: bytes, piece: bytes, sent: list[int]) -> Talk:
    """Until the client has enough; `sent` gets the bytes that it took."""

    async def talk(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await made.read(reader)
        writer.write(begin)
        while True:
            writer.write(piece)
            sent.append(len(piece))
            await writer.drain()

    return talk


@pytest.mark.parametrize("part", ENDLESS)
async def test_a_part_of_an_answer_without_end_ends_its_call_and_takes_no_memory(part: str) -> None:
    text = "headers are too long|is not HTTP" if part in NO_HTTP else "headers are too long"
    sent: list[int] = []
    async with peer(without_end(*ENDLESS[part], sent)) as server, client() as http, asyncio.timeout(10):
        tracemalloc.start()
        try:
            with pytest.raises(ConnectionBroken, match=text):
                await post(http, at(server.port))
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("part", [part for part in ENDLESS if "chunk" not in part and "trailer" not in part])
async def test_the_same_of_a_proxy_is_no_connection(part: str) -> None:
    async with peer(without_end(*ENDLESS[part], [])) as proxy, client(connect_timeout=30) as http:
        async with asyncio.timeout(10):
            with pytest.raises(ConnectFailed, match="ConnectionBroken"):
                await post(http, origin_of("https://lambda.example", f"http://127.0.0.1:{proxy.port}"))


@pytest.mark.parametrize("head", [STATUS + b"Connection: close\r\n\r\n", CHUNKED])
async def test_a_body_without_end_is_refused(head: bytes) -> None:
    piece = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    async with peer(without_end(head, piece, [])) as server, client() as http, asyncio.timeout(10):
        with pytest.raises(ResponseTooLarge):
            await post(http, at(server.port), body_max=50_000)


def test_bytes_that_drip_are_bounded_as_those_that_come_at_once() -> None:
    """A header's value in single bytes: httptools copies what it has for each."""
    exchange = Exchange(100)
    exchange.feed(STATUS + b"A: ")
    fed = 0
    while not exchange.finished:
        exchange.feed(b"x")
        fed += 1
    assert str(exchange.failure) == "The endpoint's headers are too long"
    assert fed <= HEADERS_MAX
    exchange.release()


def test_a_body_in_the_smallest_chunks_takes_no_more_memory_than_three_times_its_length() -> None:
    length = 100_000
    exchange = Exchange(length)
    exchange.feed(CHUNKED)
    chunks = b"1\r\nx\r\n" * 1000
    tracemalloc.start()
    try:
        for _ in range(length // 1000):
            exchange.feed(chunks)
        exchange.feed(b"0\r\n\r\n")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (exchange.failure, exchange.response.body) == (None, b"x" * length)
    assert peak < 3 * length
    exchange.release()


def test_what_is_kept_of_a_reason_and_of_a_header_is_short() -> None:
    exchange = Exchange(100)
    exchange.feed(
        b"HTTP/1.1 500 " + b"no" * 10_000 + b"\r\nX: " + b"abcd" * 10_000 + b"\r\nContent-Length: 0\r\n\r\n"
    )
    assert exchange.finished
    assert exchange.failure is None
    assert len(exchange.response.reason) == REASON_KEPT
    assert exchange.response.headers["x"] == "abcd" * 2048
    exchange.release()


async def test_the_log_tail_and_headers_as_lambda_sends_them_are_far_within_the_bounds() -> None:
    tail = b"QUJD" * 1366  # 4 KB in base64
    lines = b"".join(b"X-Amz-Meta-%d: %s\r\n" % (n, b"v" * 100) for n in range(40))
    answer = STATUS + b"X-Amz-Log-Result: " + tail + b"\r\n" + lines + b"Content-Length: 2\r\n\r\n{}"

    async def talk(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await made.read(reader)
            writer.write(answer)
            await reader.read()

    async with peer(talk) as server, client() as http:
        response = await post(http, at(server.port))
    assert response.headers["x-amz-log-result"] == tail.decode()
    assert len(response.headers) == 42

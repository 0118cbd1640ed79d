"""Bodies that are taken while they come, over connections in memory: whole, cut, slow, broken, left in the middle.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop
from tests.pure.test_http_pieces import GARBAGE, WHOLE, cuts
from tests.support.http_peer import Peer, certificate, peer
from tests.support.http_post import OK, at, client, post
from tests.support.memory_http import End, MemoryClient, MemoryServer, MemoryTransport, Piece
from tests.support.permuting_loop import run_in_order, seeds
from tests.support.waiting import rest, until

from lambda_sidecar.http.connection import HELD_MAX, StreamedResponse
from lambda_sidecar.http.exchange import HEADERS_MAX, ConnectionBroken, ResponseTooLarge

ORIGIN = at(80)
REQUEST = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-One: 1\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@contextlib.asynccontextmanager
async def streamed(
    http: MemoryClient, *, body_max: int = 100, deadline: float | None = None
) -> AsyncIterator[StreamedResponse]:
    until = time.monotonic() + 60 if deadline is None else deadline
    async with http.stream(ORIGIN, REQUEST, b"[]", body_max=body_max, deadline=until) as answer:
        yield answer


async def rest_of(answer: StreamedResponse) -> bytes:
    body = b""
    while (piece := await answer.next_piece()) is not None:
        assert piece, "an empty piece"
        body += piece
    return body


async def body_in(*pieces: Piece) -> tuple[int, bytes, MemoryServer]:
    """Status and body of the answer in these pieces, whichever way it came; and the server after one request more."""
    server = MemoryServer([pieces, [OK]], [[OK]])
    http = MemoryClient(server)
    async with streamed(http) as answer:
        body = answer.head.body or await rest_of(answer)
        status = answer.head.status
        await server.connections[0].settle()
    assert (await post(http, ORIGIN)).body == b"{}"
    await http.close()
    return status, body, server


@contextlib.asynccontextmanager
async def under_way(*sent: Piece) -> AsyncIterator[tuple[StreamedResponse, MemoryTransport, MemoryClient]]:
    """An answer of which so much has come."""
    server = MemoryServer([[HEAD, *sent]], [[OK]])
    http = MemoryClient(server)
    async with streamed(http) as answer:
        await rest()
        yield answer, server.connections[0], http
    await http.close()


async def test_the_head_is_there_before_the_body_and_each_piece_when_it_comes() -> None:
    async with under_way() as (answer, connection, _):
        assert (answer.head.status, answer.head.headers["x-one"], answer.head.body) == (200, "1", b"")
        for data in (b"one", b"two"):
            waiting = asyncio.create_task(answer.next_piece())
            await rest()
            assert not waiting.done()
            connection.send(chunk(data))
            assert await waiting == data
        connection.send(END)
        assert await answer.next_piece() is None
        assert await answer.next_piece() is None


@pytest.mark.parametrize(("wire", "body"), WHOLE.values(), ids=WHOLE)
async def test_an_answer_cut_anywhere_is_that_answer_and_its_connection_is_used_again(
    wire: bytes, body: bytes
) -> None:
    whole = (await body_in(wire))[:2]
    for pieces in ([wire], *cuts(wire, 1), [bytes([byte]) for byte in wire]):
        status, came, server = await body_in(*pieces)
        assert (came, (status, came), len(server.connections)) == (body, whole, 1)


@pytest.mark.parametrize("more", GARBAGE)
async def test_what_comes_behind_the_body_is_nobodys_and_closes_the_connection(more: bytes) -> None:
    wire = HEAD + chunk(b"body") + END
    for pieces in ([wire + more], [wire, more], *cuts(wire + more, 1)):
        _, body, server = await body_in(*pieces)
        assert (body, len(server.connections)) == (b"body", 2)
        assert server.connections[0].is_closing()


@pytest.mark.parametrize("end", End)
async def test_a_body_that_breaks_off_gives_what_has_come_and_then_says_so(end: End) -> None:
    async with under_way(chunk(b"one"), chunk(b"two")[:4], end) as (answer, connection, _):
        with pytest.raises(ConnectionBroken):
            await rest_of(answer)
        with pytest.raises(ConnectionBroken):
            await answer.next_piece()
    assert connection.is_closing()


async def test_what_is_no_http_within_the_body_is_a_broken_one() -> None:
    async with under_way(chunk(b"one"), b"no chunk") as (answer, connection, _):
        assert await answer.next_piece() == b"one"
        with pytest.raises(ConnectionBroken, match="is not HTTP"):
            await answer.next_piece()
    assert connection.is_closing()


async def test_whoever_waits_for_a_piece_hears_of_the_end() -> None:
    for end, text in ((End.RESET, "ConnectionResetError"), (End.CLOSED, "closed"), (b"no chunk", "not HTTP")):
        async with under_way() as (answer, connection, _):
            waiting = asyncio.create_task(answer.next_piece())
            await rest()
            connection.send(end)
            with pytest.raises(ConnectionBroken, match=text):
                await waiting


async def test_a_body_without_a_length_ends_with_the_connection_only_where_that_was_said() -> None:
    for lines, is_whole in ((b"Connection: close\r\n", True), (b"", False)):
        server = MemoryServer([[b"HTTP/1.1 200 OK\r\n" + lines + b"\r\nbody", End.CLOSED]])
        http = MemoryClient(server)
        async with streamed(http) as answer:
            if is_whole:
                assert await rest_of(answer) == b"body"
            else:
                with pytest.raises(ConnectionBroken):
                    await rest_of(answer)
        assert server.connections[0].is_closing()
        await http.close()


# ---- slow readers ----


async def test_a_reader_that_is_slow_makes_the_endpoint_wait_and_gets_everything() -> None:
    piece = chunk(b"x" * 65_000)
    server = MemoryServer([[HEAD, *[piece] * 40, END], [OK]])
    http = MemoryClient(server)
    async with streamed(http) as answer:
        await rest()
        (connection,) = server.connections
        came = 0
        for _ in range(3):
            assert connection.is_paused
            waiting = await answer.next_piece()
            assert waiting is not None
            assert HELD_MAX < len(waiting) <= HELD_MAX + 65_000
            came += len(waiting)
            await rest()
        assert came + len(await rest_of(answer)) == 40 * 65_000
        assert not connection.is_paused
    assert (await post(http, ORIGIN)).body == b"{}"
    assert len(server.connections) == 1
    await http.close()


def test_over_tls_too_a_slow_reader_makes_the_endpoint_wait(tmp_path: Path) -> None:
    """On uvloop, as the sidecar runs: its TLS has buffers of its own."""
    context, authority = certificate(tmp_path)
    pieces, data = 400, b"x" * 50_000
    written = 0

    async def talk(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await made.read(reader)
        writer.write(HEAD)
        for _ in range(pieces):
            writer.write(chunk(data))
            await writer.drain()
            written += len(data)
        writer.write(END)
        await reader.read()

    async def scenario() -> None:
        trusting = ssl.create_default_context(cafile=authority)
        async with peer(talk, context) as server, client(trusting) as http:
            origin, until_then = at(server.port, "https"), time.monotonic() + 60
            async with http.stream(origin, REQUEST, b"[]", body_max=100, deadline=until_then) as answer:
                connection, exchange = answer._connection, answer._exchange
                await until(lambda: connection._paused, what="too much of it has come")
                held = exchange.held
                assert HELD_MAX < held < HELD_MAX + 300_000
                await rest()
                assert exchange.held == held
                assert len(await rest_of(answer)) == pieces * len(data) == written

    uvloop.run(scenario())


async def test_a_piece_is_all_that_has_come_however_it_was_cut() -> None:
    async with under_way(*[chunk(b"x")] * 5) as (answer, connection, _):
        assert await answer.next_piece() == b"xxxxx"
        connection.send_in_one_turn(chunk(b"y"), chunk(b"z"), END)
        assert await rest_of(answer) == b"yz"


async def test_an_end_that_came_while_the_client_did_not_read_is_found_behind_the_body() -> None:
    large = [chunk(b"x" * 200_000)] * 2
    async with under_way(*large, End.RESET) as (answer, connection, _):
        assert connection.is_paused
        assert await answer.next_piece() == b"x" * 400_000
        with pytest.raises(ConnectionBroken):
            await answer.next_piece()


async def test_headers_and_chunks_are_bounded_as_always_and_an_error_is_read_as_always() -> None:
    for endless in (b"HTTP/1.1 200 OK\r\nA: ", HEAD + b"1;"):
        server = MemoryServer([[endless + b"x" * (HEADERS_MAX + 1)]])
        http = MemoryClient(server)
        with pytest.raises(ConnectionBroken, match="headers are too long"):
            async with streamed(http) as answer:
                await rest_of(answer)
        assert server.connections[0].is_closing()
        await http.close()
    http = MemoryClient(MemoryServer([[b"HTTP/1.1 500 No\r\nContent-Length: 11\r\n\r\n01234567890"]]))
    with pytest.raises(ResponseTooLarge):
        async with streamed(http, body_max=10):
            pass
    await http.close()


# ---- which connection goes on ----


@pytest.mark.parametrize("taken", [False, True])
async def test_a_body_that_is_left_before_its_end_closes_the_connection(taken: bool) -> None:
    async with under_way(chunk(b"one")) as (answer, connection, _):
        if taken:
            assert await answer.next_piece() == b"one"
    assert connection.is_closing()
    with contextlib.suppress(RuntimeError):
        async with under_way(chunk(b"one")) as (_, connection, _):
            raise RuntimeError
    assert connection.is_closing()


async def test_a_body_that_has_come_whole_leaves_the_connection_to_the_next_though_nobody_read_it() -> None:
    server = MemoryServer([[HEAD + chunk(b"one") + END], [OK]])
    http = MemoryClient(server)
    async with streamed(http) as answer:
        assert answer.head.status == 200
    assert (await post(http, ORIGIN)).body == b"{}"
    assert len(server.connections) == 1
    await http.close()


async def test_an_answer_before_the_request_has_left_is_believed_unless_it_is_a_success() -> None:
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"
    for wire, status in ((refusal, 413), (HEAD + chunk(b"one"), 0)):
        server = MemoryServer()
        http = MemoryClient(server)

        async def status_of(http: MemoryClient = http) -> int:
            async with streamed(http) as answer:
                return answer.head.status

        waiting = asyncio.create_task(status_of())
        await rest()
        (connection,) = server.connections
        connection.stuck = 1
        connection.send(wire)
        if status:
            assert await waiting == status
        else:
            with pytest.raises(ConnectionBroken, match="before it had the whole request"):
                await waiting
        assert connection.is_closing()
        await http.close()


async def test_the_endpoints_hints_about_the_connection_are_heeded() -> None:
    for hint, connections in ((b"timeout=1", 2), (b"max=0", 2), (b"timeout=60", 1), (b"max=5", 1)):
        wire = b"HTTP/1.1 200 OK\r\nKeep-Alive: " + hint + b"\r\nContent-Length: 4\r\n\r\nbody"
        _, body, server = await body_in(wire)
        assert (body, len(server.connections)) == (b"body", connections), hint


async def test_nothing_is_sent_from_the_deadline_on_and_the_connection_serves_the_next() -> None:
    server = MemoryServer([[OK], [OK]])
    http = MemoryClient(server)
    await post(http, ORIGIN)
    with pytest.raises(TimeoutError):
        async with streamed(http, deadline=time.monotonic()):
            pass
    assert len(server.requests) == 1
    assert (await post(http, ORIGIN)).body == b"{}"
    assert len(server.connections) == 1
    await http.close()


async def test_a_client_that_is_closed_breaks_the_body_off() -> None:
    async with under_way(chunk(b"one")) as (answer, connection, http):
        await http.close()
        with pytest.raises(ConnectionBroken):
            await rest_of(answer)
    assert connection.is_closing()


WIRE = [HEAD, chunk(b"x" * 200_000), chunk(b"y" * 200_000), chunk(b"z"), END]


def test_a_reader_that_is_cancelled_at_any_await_closes_the_connection_or_leaves_it_ready_for_the_next() -> (
    None
):
    """In any order of what is ready; after so many turns each time."""

    async def scenario(turns: int) -> bool:
        server = MemoryServer([WIRE, [OK]], [[OK]])
        http = MemoryClient(server)
        began = asyncio.Event()

        async def read() -> bytes:
            began.set()
            async with streamed(http) as answer:
                return await rest_of(answer)

        reading = asyncio.create_task(read())
        await began.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        (result,) = await asyncio.gather(reading, return_exceptions=True)
        whole = not isinstance(result, BaseException)
        assert whole or isinstance(result, asyncio.CancelledError), result
        assert (await post(http, ORIGIN)).body == b"{}"
        first = server.connections[0] if server.requests else None
        if not whole and first is not None and len(first.written) == 1:
            assert first.is_closing()
        for connection in server.connections:
            assert connection.is_closing() or not connection.is_paused
        await http.close()
        return whole

    for seed in [*seeds(), *range(100, 120)]:
        wholes = [run_in_order(lambda turns=turns: scenario(turns), seed) for turns in range(30)]  # type: ignore[misc]
        assert wholes[0] is False
        assert wholes[-1] is True

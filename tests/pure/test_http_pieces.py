"""The HTTP client over connections in memory: an answer is the same however it is cut, and half of one is none.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import combinations, pairwise

import pytest
from tests.support.http_post import OK, at, post
from tests.support.memory_http import End, MemoryClient, MemoryServer, Piece
from tests.support.waiting import rest

from lambda_sidecar.http.exchange import ConnectionBroken, Response, ResponseTooLarge

ORIGIN = at(80)
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-One: 1\r\n\r\n"
    b'2;a=b\r\n{"\r\n5\r\na":12\r\n1\r\n}\r\n0\r\nX-Two: 2\r\n\r\n'
)
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
# With the body that each has.
WHOLE = {
    "length": (OK, b"{}"),
    "chunks": (CHUNKED, b'{"a":12}'),
    "no content": (b"HTTP/1.1 204 No Content\r\nX-One: 1\r\n\r\n", b""),
    "error": (b"HTTP/1.1 429 \r\ncontent-length:  4 \r\nX: \xff\r\n\r\nslow", b"slow"),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"{}"),
    "after 103 and 102": (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + CHUNKED,
        b'{"a":12}',
    ),
}
every_whole_answer = pytest.mark.parametrize("wire", [wire for wire, _ in WHOLE.values()], ids=WHOLE)


def cuts(wire: bytes, places: int) -> Iterator[list[bytes]]:
    """The wire in so many pieces and one, cut in every way."""
    for chosen in combinations(range(1, len(wire)), places):
        ends = [0, *chosen, len(wire)]
        yield [wire[start:end] for start, end in pairwise(ends)]


def beginnings(wire: bytes) -> Iterator[list[bytes]]:
    """All that comes of a wire whose end is missing: nothing at all, then one byte more each time."""
    yield []
    for length in range(1, len(wire)):
        yield [wire[:length]]


async def answer_in(*pieces: Piece, body_max: int = 100) -> tuple[Response, MemoryServer]:
    """The answer of these pieces, and the server after one more request, which is answered with OK: sent when all
    pieces have come, and on a connection of its own if the first one cannot be used again."""
    server = MemoryServer([pieces, [OK]], [[OK]])
    http = MemoryClient(server)
    try:
        first = await post(http, ORIGIN, body_max=body_max)
        await server.connections[0].settle()
        second = await post(http, ORIGIN)
        assert (second.status, second.body) == (200, b"{}")
        assert len(server.requests) == 2
        return first, server
    finally:
        await http.close()


async def failure_of(*pieces: Piece, body_max: int = 100) -> str:
    """How a request fails to which these pieces are the answer. It is sent once, and its connection is closed."""
    server = MemoryServer([pieces])
    http = MemoryClient(server)
    with pytest.raises((ConnectionBroken, ResponseTooLarge)) as raised:
        await post(http, ORIGIN, body_max=body_max)
    assert (len(server.requests), len(server.connections)) == (1, 1)
    assert server.connections[0].is_closing()
    await http.close()
    return str(raised.value)


@pytest.mark.parametrize(("wire", "body"), WHOLE.values(), ids=WHOLE)
async def test_an_answer_cut_in_two_at_any_byte_is_that_answer_and_its_connection_is_used_again(
    wire: bytes, body: bytes
) -> None:
    whole, _ = await answer_in(wire)
    assert whole.body == body
    for pieces in cuts(wire, 1):
        response, server = await answer_in(*pieces)
        assert response == whole
        assert len(server.connections) == 1


@pytest.mark.parametrize(("wire", "body"), WHOLE.values(), ids=WHOLE)
async def test_an_answer_that_comes_byte_by_byte_is_that_answer(wire: bytes, body: bytes) -> None:
    response, server = await answer_in(*(bytes([byte]) for byte in wire))
    assert (response, len(server.connections)) == ((await answer_in(wire))[0], 1)
    assert response.body == body


async def test_a_short_answer_cut_in_three_in_every_way_is_that_answer() -> None:
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding:chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    for pieces in cuts(wire, 2):
        response, server = await answer_in(*pieces)
        assert (response.status, response.body, len(server.connections)) == (200, b"{}", 1)


@every_whole_answer
async def test_a_connection_that_ends_before_the_last_byte_gives_no_answer(wire: bytes) -> None:
    for pieces in beginnings(wire):
        assert await failure_of(*pieces, End.CLOSED) == "The endpoint closed the connection"
        broken = "The connection to the endpoint broke (ConnectionResetError)"
        assert await failure_of(*pieces, End.RESET) == broken


@pytest.mark.parametrize("end", End)
@every_whole_answer
async def test_an_end_after_the_last_byte_takes_nothing_from_the_answer_and_the_next_one_connects(
    wire: bytes, end: End
) -> None:
    response, _ = await answer_in(wire)
    ended, server = await answer_in(wire, end)
    assert ended == response
    assert len(server.connections) == 2


async def test_a_body_that_only_the_end_ends_is_whole_after_a_close_and_broken_after_a_reset() -> None:
    for pieces in beginnings(UNTIL_CLOSE):
        assert await failure_of(*pieces, End.CLOSED) == "The endpoint closed the connection"
    for body in (b"", b"{", b"{}"):
        response, server = await answer_in(UNTIL_CLOSE + body, End.CLOSED)
        assert (response.body, response.until_close, len(server.connections)) == (body, True, 2)
        assert "ConnectionResetError" in await failure_of(UNTIL_CLOSE + body, End.RESET)


# ---- more than was asked for ----


GARBAGE = [
    b"\x00",
    b"garbage",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    b"HTTP/1.1 100 \r\n\r\n",
]


@pytest.mark.parametrize("more", GARBAGE)
@every_whole_answer
async def test_what_comes_after_an_answer_is_never_the_next_ones(wire: bytes, more: bytes) -> None:
    """In the same piece, cut anywhere, and in a piece after it."""
    whole, _ = await answer_in(wire)
    for pieces in ([wire + more], *cuts(wire + more, 1)):
        response, server = await answer_in(*pieces)
        assert response == whole
        assert len(server.connections) == 2
        assert server.connections[0].is_closing()


@pytest.mark.parametrize("more", GARBAGE)
async def test_what_comes_before_the_one_who_asked_has_its_turn_is_nobodys(more: bytes) -> None:
    server = MemoryServer([[], [OK]], [[OK]])
    http = MemoryClient(server)
    asked = asyncio.create_task(post(http, ORIGIN))
    await rest()
    server.connections[0].send_in_one_turn(OK, more)
    assert (await asked).body == b"{}"
    assert (await post(http, ORIGIN)).body == b"{}"
    assert len(server.connections) == 2
    await http.close()


async def test_what_comes_while_nobody_asks_closes_the_connection() -> None:
    unasked: list[Piece] = [*GARBAGE, b"\r\n", *End]
    for more in unasked:
        server = MemoryServer([[OK], [OK]], [[OK]])
        http = MemoryClient(server)
        await post(http, ORIGIN)
        server.connections[0].send(more)
        await server.connections[0].settle()
        assert server.connections[0].is_closing()
        assert (await post(http, ORIGIN)).body == b"{}"
        assert len(server.connections) == 2
        await http.close()


# ---- 1xx ----


@pytest.mark.parametrize("status", [100, 102, 103, 199])
async def test_any_number_of_1xx_before_an_answer_changes_nothing_of_it(status: int) -> None:
    before = b"HTTP/1.1 %d Wait\r\nX-One: before\r\n\r\n" % status
    for number in (1, 2, 30):
        response, server = await answer_in(*[before] * number, OK)
        assert (response.status, response.headers["x-one"], response.body) == (200, "1", b"{}")
        assert len(server.connections) == 1


async def test_a_1xx_alone_is_no_answer() -> None:
    said = "The endpoint closed the connection"
    assert await failure_of(b"HTTP/1.1 103 Early Hints\r\n\r\n", End.CLOSED) == said
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    for pieces in ([switched], *cuts(switched, 1)):
        assert await failure_of(*pieces) == "The endpoint wants to change the protocol"


# ---- bounds ----


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 11\r\n\r\n01234567890",
        b"Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
    ],
)
async def test_a_body_one_byte_too_large_is_refused_wherever_it_is_cut(framing: bytes) -> None:
    wire = b"HTTP/1.1 200 OK\r\n" + framing
    for pieces in cuts(wire, 1):
        assert await failure_of(*pieces, body_max=10) == ""
    response, _ = await answer_in(wire, body_max=11)
    assert response.body == b"01234567890"


@pytest.mark.parametrize(
    "wire", [b"\x16\x03\x01\x00\x02", b"SSH-2.0-x\r\n", b"HTTP/2.0 x\r\n\r\n", b"<html>"]
)
async def test_what_is_no_http_is_said_so_wherever_it_is_cut(wire: bytes) -> None:
    said = {await failure_of(*pieces, End.CLOSED) for pieces in cuts(wire, 1)}
    assert said == {"What the endpoint answered is not HTTP"}

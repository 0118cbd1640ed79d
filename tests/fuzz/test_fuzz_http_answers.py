"""What an endpoint may answer, in any pieces: beside Python's own client, and beside aiohttp's parser in Python,
which share no code with httptools.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import http.client
import io
import warnings
from dataclasses import dataclass
from typing import Any, cast

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpResponseParserPy
from hypothesis import assume, event, given
from hypothesis import strategies as st

from lambda_sidecar.http.exchange import HEADERS_MAX, Exchange, TunnelExchange

BODY_MAX = 2_000


@dataclass(frozen=True)
class Read:
    """What a client makes of an answer; None where it refuses it."""

    status: int
    body: bytes


def ours(wire: bytes, pieces: list[int], exchange: Exchange | None = None) -> tuple[Read | None, bool]:
    """The verdict, and whether the connection may be used again."""
    made = exchange or Exchange(BODY_MAX)
    at = turn = 0
    while at < len(wire):
        step = pieces[turn % len(pieces)] if pieces else len(wire)
        made.feed(wire[at : at + step])
        at, turn = at + step, turn + 1
    reusable = made.reusable
    made.end()
    assert made.finished
    assert not made.reusable
    made.release()
    if made.failure is not None:
        return None, reusable
    return Read(made.response.status, made.response.body), reusable


class _Wire:
    """A socket, as far as http.client looks at it."""

    def __init__(self, wire: bytes) -> None:
        self._file = _Open(wire)

    def makefile(self, _mode: str) -> io.BytesIO:
        return self._file


class _Open(io.BytesIO):
    """One that the next response goes on with."""

    def close(self) -> None: ...


def pythons(wire: bytes) -> Read | None:
    """By http.client, which takes interim responses but 100 for answers of their own."""
    socket = _Wire(wire)
    try:
        while True:
            response = http.client.HTTPResponse(socket, method="POST")  # type: ignore[arg-type]
            response.begin()
            if response.status >= 200:
                return Read(response.status, response.read())
    except (http.client.HTTPException, ValueError):
        return None


class _Transport(asyncio.Transport):
    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def aiohttps(wire: bytes) -> Read | None:
    """By the parser that aiohttp has beside llhttp. It reads an interim response as an answer of its own."""
    loop = asyncio.new_event_loop()
    try:
        protocol = BaseProtocol(loop)
        protocol.transport = _Transport()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations are about aiohttp's own callers
            parser = HttpResponseParserPy(protocol, loop, 2**20, read_until_eof=True, auto_decompress=False)
        messages, _, _ = parser.feed_data(wire)
        parser.feed_eof()
        final = [(head, body) for head, body in messages if head.code >= 200]
        if not final:
            return None
        head, payload = final[0]
        if payload.exception() is not None or not payload.is_eof():
            return None
        return Read(head.code, b"".join(cast("Any", payload)._buffer))
    except Exception:  # whatever it is: a refusal
        return None
    finally:
        loop.close()


TOKEN = st.text("abcXYZ09-_!", min_size=1, max_size=8)
VALUE = st.text("ab 09;=,\t\u00e9", max_size=12).map(str.strip)
OTHER = st.tuples(TOKEN.map(lambda name: f"x-{name}"), VALUE)
STATUS = st.sampled_from([200, 202, 204, 304, 400, 404, 413, 429, 500, 503])
INTERIM = st.sampled_from([100, 102, 103])
PIECES = st.lists(st.integers(1, 30), max_size=4)


def head(status: int, fields: list[tuple[str, str]], version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} {status} Reason", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode()


@st.composite
def chunks(draw: st.DrawFn, body: bytes) -> bytes:
    wire, at = b"", 0
    while at < len(body):
        size = draw(st.integers(1, len(body) - at))
        zeros = "0" * draw(st.integers(0, 2))
        extension = draw(st.sampled_from(["", ";a", ";a=b", ';a="b c"']))
        wire += f"{zeros}{size:x}{extension}\r\n".encode() + body[at : at + size] + b"\r\n"
        at += size
    return (
        wire
        + b"0\r\n"
        + b"".join(f"{n}: {v}\r\n".encode() for n, v in draw(st.lists(OTHER, max_size=2)))
        + b"\r\n"
    )


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, Read, bool]:
    """An answer as RFC 9112 has it, with what it means, and whether the connection may be used again."""
    wire = b"".join(
        head(status, draw(st.lists(OTHER, max_size=2))) for status in draw(st.lists(INTERIM, max_size=2))
    )
    status, body = draw(STATUS), draw(st.binary(max_size=100))
    fields = draw(st.lists(OTHER, max_size=3))
    framing = draw(st.sampled_from(["length", "chunked", "close", "none"]))
    closes = framing == "close" or draw(st.booleans())
    if closes:
        fields.append(("Connection", draw(st.sampled_from(["close", "Close", "x, close"]))))
    if status in (204, 304) or framing == "none":
        if framing == "none" and status not in (204, 304):
            fields.append(("Content-Length", "0"))
        body = b""
        return wire + head(status, fields), Read(status, body), not closes
    if framing == "length":
        fields.insert(draw(st.integers(0, len(fields))), ("Content-Length", str(len(body))))
    elif framing == "chunked":
        fields.append(("Transfer-Encoding", draw(st.sampled_from(["chunked", "Chunked"]))))
        return wire + head(status, fields) + draw(chunks(body)), Read(status, body), not closes
    return wire + head(status, fields) + body, Read(status, body), not closes


@given(answers(), PIECES)
def test_an_answer_of_http_is_read_as_it_is_meant_in_whatever_pieces_it_comes(
    answer: tuple[bytes, Read, bool], pieces: list[int]
) -> None:
    wire, meant, reusable = answer
    assert ours(wire, pieces) == (meant, reusable)
    assert pythons(wire) == meant


# Not the empty line that httptools passes over, as RFC 9112, 2.2, lets servers do.
MORE = st.binary(min_size=1, max_size=20).filter(lambda more: more.strip(b"\r\n"))


@given(answers(), PIECES, MORE)
def test_what_follows_an_answer_unasked_makes_its_connection_unfit(
    answer: tuple[bytes, Read, bool], pieces: list[int], more: bytes
) -> None:
    wire, meant, reusable = answer
    assume(reusable)
    assert ours(wire + more, pieces) == (meant, False)


@given(answers(), st.data())
def test_an_answer_that_is_cut_is_none_unless_it_said_that_it_ends_with_the_connection(
    answer: tuple[bytes, Read, bool], data: st.DataObject
) -> None:
    wire, meant, reusable = answer
    cut = data.draw(st.integers(0, len(wire) - 1))
    read, _ = ours(wire[:cut], [])
    if reusable:
        assert read is None
    elif read is not None:
        assert meant.body.startswith(read.body)


ODD = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"0",
        b"1",
        b"5",
        b"-1",
        b"+5",
        b"0x5",
        b"\x00",
        b"\x80",
        b"Content-Length: 5\r\n",
        b"Content-Length: 7\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Content-Length : 3\r\n",
        b"Connection: close\r\n",
        b" folded\r\n",
        b"HTTP/1.0",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/2.0",
        b"101",
        b"ffffffffffffffff",
        b"Content-Length: 5, 5\r\n",
        b"Connection: Upgrade\r\nUpgrade: x\r\n",
        b"Transfer-Encoding:\tchunked\r\n",
        b"0\r\n\r\n",
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    wire = draw(answers())[0]
    for _ in range(draw(st.integers(1, 3))):
        # At a line's beginning half of the time: there a field is one.
        lines = [at + 2 for at in range(len(wire)) if wire.startswith(b"\r\n", at)] or [0]
        at = draw(st.sampled_from(lines) | st.integers(0, len(wire)))
        wire = wire[:at] + draw(ODD | st.just(b"")) + wire[at + draw(st.sampled_from([0, 0, 1, 2])) :]
    return wire


@given(mutated() | st.binary(max_size=80), PIECES)
def test_the_pieces_in_which_bytes_come_change_nothing(wire: bytes, pieces: list[int]) -> None:
    whole, in_pieces = ours(wire, []), ours(wire, pieces)
    assert whole[0] == in_pieces[0]
    if whole[1] != in_pieces[1]:  # an empty line that nobody asked for came by itself
        assert whole[1]
        assert wire.endswith((b"\r", b"\n"))
    ours(wire, pieces, TunnelExchange())


@given(mutated())
def test_an_odd_answer_is_refused_or_has_the_body_that_others_read(wire: bytes) -> None:
    """What two clients read differently, somebody between us and Lambda could use. Of two lines Transfer-Encoding
    the others look at one alone; RFC 9112, 6.1, makes them one list."""
    assume(wire.lower().count(b"transfer-encoding") < 2)
    read, _ = ours(wire, [])
    if read is None:
        event("refused")
        return
    others = [one for one in (pythons(wire), aiohttps(wire)) if one is not None]
    event(f"{len(others)} others")
    assert not others or read in others, others


@given(mutated())
def test_what_lambda_did_not_say_is_never_an_answer_to_a_tunnel(wire: bytes) -> None:
    exchange = TunnelExchange()
    _, reusable = ours(wire, [], exchange)
    if reusable:
        assert 200 <= exchange.response.status < 300
        assert wire.endswith(b"\r\n\r\n")


@given(st.integers(0, 3), st.sampled_from([b"A: ", b"", b"1;x="]), st.integers(1, 60))
def test_what_is_no_body_ends_soon(where: int, begin: bytes, piece: int) -> None:
    """A peer that never ends its status line, a field, a chunk's extension or its trailers."""
    starts = (
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    exchange = Exchange(BODY_MAX)
    exchange.feed((*starts, starts[2] + b"0\r\n")[where] + begin)
    for _ in range(3 * HEADERS_MAX // (piece * 100)):
        exchange.feed(b"a" * piece * 100)
    assert exchange.failure is not None
    exchange.release()

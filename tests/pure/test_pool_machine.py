"""The HTTP client's pool under whatever endpoints, callers and the clock do, in any order: a machine and its books.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import os
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import precondition, rule
from tests.support.http_post import at
from tests.support.machine import LoopMachine, lead_through_lives, numbers, one_of
from tests.support.memory_http import NO_TLS, End, MemoryServer, MemoryTransport, Piece

from lambda_sidecar.http.client import JUST_USED_SECONDS, ConnectFailed, HttpClient
from lambda_sidecar.http.connection import IDLE_SECONDS, KEEP_ALIVE_MARGIN_SECONDS, Connection
from lambda_sidecar.http.exchange import ConnectionBroken, Response

ORIGIN = at(80)
UNASKED: tuple[Piece, ...] = (b"garbage", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", *End)


def whole(head: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@dataclass
class Answered:
    """How an endpoint answers: in which pieces, whether that is an answer, and what it says of the time after."""

    pieces: tuple[Piece, ...]
    is_good: bool = True
    is_last: bool = False
    idle_seconds: float = IDLE_SECONDS


def answer(how: str, body: bytes) -> Answered:
    plain = whole(b"", body)
    halves = plain[:-1], plain[-1:]
    match how:
        case "whole":
            return Answered((plain,))
        case "in two":
            return Answered(halves)
        case "after 100":
            return Answered((b"HTTP/1.1 100 Continue\r\n\r\n", plain))
        case "keep-alive 5 s":
            return Answered(
                (whole(b"Keep-Alive: timeout=5\r\n", body),), idle_seconds=5 - KEEP_ALIVE_MARGIN_SECONDS
            )
        case "last by max":
            return Answered((whole(b"Keep-Alive: max=0\r\n", body),), is_last=True)
        case "last by close":
            return Answered((whole(b"Connection: close\r\n", body),), is_last=True)
        case "until its end":
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
            return Answered((head + body, End.CLOSED), is_last=True)
        case "no content":
            return Answered((b"HTTP/1.1 204 No Content\r\nX-Body: " + body + b"\r\n\r\n",))
        case "and more":
            return Answered((plain + b"HTTP/1.1 200 OK\r\n",), is_last=True)
        case "too soon":
            return Answered((plain,), is_good=False)
        case "until its end, and reset":
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
            return Answered((head + body, End.RESET), is_good=False)
        case "half and closed":
            return Answered((halves[0], End.CLOSED), is_good=False)
        case "half and reset":
            return Answered((halves[0], End.RESET), is_good=False)
        case "nothing and closed":
            return Answered((End.CLOSED,), is_good=False)
    return Answered((b"garbage\r\n\r\n",), is_good=False)


HOWS = (
    *("whole", "in two", "after 100", "keep-alive 5 s", "no content"),
    *("last by max", "last by close", "until its end", "and more"),
    *("half and closed", "half and reset", "nothing and closed", "garbage"),
    *("too soon", "until its end, and reset"),
)
GOOD, LAST = 5, 9  # the first ones leave a connection that is used again; those behind LAST are no answers


@dataclass
class Request:
    body: bytes
    deadline: float
    task: asyncio.Task[Response] | None = None
    wire: Wire | None = None
    """That it was written to."""
    heard: Answered | None = None
    """The answer that has been read to its end, or to the connection's."""
    seen: bool = field(default=False)
    """Its outcome has been looked at."""


class Wire(MemoryTransport):
    """A connection whose pieces lie in the socket until the loop reads them: a descriptor says that they do."""

    def __init__(self, machine: PoolMachine, protocol: Connection) -> None:
        super().__init__(machine.server, protocol, (), machine.loop)
        self._machine = machine
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK)
        self.unread: deque[Piece] = deque()
        self.asks: Request | None = None
        """Written and not answered."""
        self.answered: Answered | None = None
        """The answer under way, or the last one."""
        self.hears: Request | None = None
        """Whose answer is under way."""
        self.idle_since: float | None = None
        self.is_spoilt = False
        """Something has been read that ends it, or that nobody asked for."""

    def fileno(self) -> int:
        return self._descriptor

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._machine.look_at_write(self, bytes(data))
        super().write(data)

    def puts(self, *pieces: Piece) -> None:
        """By the other side."""
        self.unread.extend(pieces)
        os.eventfd_write(self._descriptor, 1)

    def read_one(self) -> None:
        """By the loop."""
        if self.is_closing():
            self.unread.clear()
        if not self.unread:
            return
        piece = self.unread.popleft()
        if not self.unread:
            os.eventfd_read(self._descriptor)
        if isinstance(piece, End) or self.hears is None:
            self.is_spoilt = True
        if self.hears is not None and not self.unread:
            self.hears.heard = self.answered
            self.hears = None
            self.idle_since = self._machine.loop.time()
        self._arrive((piece,))

    def release(self) -> None:
        os.close(self._descriptor)


class PoolClient(HttpClient):
    """A connection comes about when the machine says so."""

    def __init__(self, machine: PoolMachine) -> None:
        super().__init__(connect_timeout=5, tls=NO_TLS)
        self._machine = machine

    async def _reach(self, connection: Connection, scheme: str, host: str, port: int) -> None:
        await self._machine.reach(connection)


class PoolMachine(LoopMachine):
    def begin(self) -> None:
        self.server = MemoryServer()
        self.http = PoolClient(self)
        self.requests: list[Request] = []
        self.wires: list[Wire] = []
        self.connecting: list[tuple[asyncio.Future[None], Connection]] = []
        self.count = 0

    # ---- what callers do ----

    @rule(
        seconds=st.sampled_from((math.inf, math.inf, math.inf, 0.0, 0.5)),
        connects=st.booleans(),
        streams=st.booleans(),
    )
    def post(self, seconds: float, connects: bool, streams: bool) -> None:
        self.count += 1
        request = Request(b"%d" % self.count, self.loop.time() + seconds)
        head = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(request.body)
        how = self._streamed if streams else self.http.post
        posting = how(ORIGIN, head, request.body, body_max=100, deadline=request.deadline)
        request.task = self.start(posting, may_fail=True)
        self.requests.append(request)
        if connects:
            self.loop.turn()
            for comes, connection in self.connecting:
                self._connect(comes, connection)
            self.loop.turn()

    async def _streamed(self, *request: Any, **bounds: Any) -> Response:
        """The same answer, taken while it comes."""
        async with self.http.stream(*request, **bounds) as answer:
            pieces = [answer.head.body]
            while (piece := await answer.next_piece()) is not None:
                pieces.append(piece)
            return dataclasses.replace(answer.head, body=b"".join(pieces))

    @precondition(lambda self: self.requests)
    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        task = one_of(self.requests, number).task
        assert task is not None
        task.cancel()

    # ---- what the network does ----

    async def reach(self, connection: Connection) -> None:
        usable = [wire for wire in self.wires if self.may_carry(wire) and not wire.unread]
        assert not usable, "a connection is made beside one that could carry the request"
        comes = self.loop.create_future()
        pair = (comes, connection)
        self.connecting.append(pair)
        try:
            await comes
        finally:
            self.connecting.remove(pair)

    @precondition(lambda self: self.connecting)
    @rule(number=numbers, end=st.sampled_from((None, *End)))
    def connects(self, number: int, end: End | None) -> None:
        wire = self._connect(*one_of(self.connecting, number))
        if wire is not None and end is not None:
            wire.puts(end)

    @precondition(lambda self: self.connecting)
    @rule(number=numbers)
    def refuses(self, number: int) -> None:
        comes, _ = one_of(self.connecting, number)
        if not comes.done():
            comes.set_exception(ConnectionRefusedError())

    def _connect(self, comes: asyncio.Future[None], connection: Connection) -> Wire | None:
        if comes.done():
            return None
        wire = Wire(self, connection)
        self.wires.append(wire)
        connection.connection_made(wire)
        comes.set_result(None)
        return wire

    @property
    def asked(self) -> list[Wire]:
        return [
            wire for wire in self.wires if wire.asks is not None and not wire.is_closing() and not wire.unread
        ]

    @precondition(lambda self: self.asked)
    @rule(number=numbers)
    def answers_well(self, number: int) -> None:
        self.answers(number, HOWS[number % GOOD], True)
        self.loop.settle()

    @rule(number=numbers)
    def posts_and_is_answered_well(self, number: int) -> None:
        """On the connection that was used last, if there is one."""
        self.post(math.inf, True, bool(number % 2))
        self.loop.settle()
        if self.asked:
            self.answers_well(number)

    @precondition(lambda self: self.asked)
    @rule(number=numbers, how=st.integers(LAST, len(HOWS) - 1))
    def answers_badly(self, number: int, how: int) -> None:
        self.answers(number, HOWS[how], True)

    @precondition(lambda self: self.asked)
    @rule(number=numbers, how=st.sampled_from(HOWS), at_once=st.booleans())
    def answers(self, number: int, how: str, at_once: bool) -> None:
        wire = one_of(self.asked, number)
        request = wire.asks
        assert request is not None
        wire.asks, wire.hears, wire.answered = None, request, answer(how, request.body)
        wire.stuck = how == "too soon"
        wire.puts(*wire.answered.pieces)
        while at_once and wire.unread:
            wire.read_one()

    @property
    def quiet(self) -> list[Wire]:
        return [
            wire for wire in self.wires if wire.asks is None and not wire.unread and not wire.is_closing()
        ]

    @precondition(lambda self: self.quiet)
    @rule(number=numbers, piece=st.sampled_from(UNASKED))
    def says_what_nobody_asked(self, number: int, piece: Piece) -> None:
        """An end at any time; bytes not where they could pass for the answer of what is being sent."""
        wire = one_of(self.quiet, number)
        since = self.loop.time() if wire.idle_since is None else wire.idle_since
        if isinstance(piece, End) or self.loop.time() - since >= JUST_USED_SECONDS:
            wire.puts(piece)

    @property
    def unread(self) -> list[Wire]:
        return [wire for wire in self.wires if wire.unread]

    @precondition(lambda self: self.unread)
    @rule(number=numbers)
    def is_read(self, number: int) -> None:
        one_of(self.unread, number).read_one()

    @precondition(lambda self: self.unread)
    @rule(number=numbers)
    def is_read_among_all_that_is_ready(self, number: int) -> None:
        self.loop.call_soon(one_of(self.unread, number).read_one)

    # ---- how it must be ----

    def may_carry(self, wire: Wire) -> bool:
        """As far as anybody can know who has read everything."""
        if wire.is_closing() or wire.asks is not None or wire.hears is not None or wire.is_spoilt:
            return False
        last = wire.answered
        if last is None or wire.idle_since is None or any(one.wire is wire for one in self.requests):
            return False  # new, and so in the hands of whoever has made it
        return not last.is_last and last.is_good and self.loop.time() - wire.idle_since < last.idle_seconds

    def look_at_write(self, wire: Wire, data: bytes) -> None:
        (request,) = [one for one in self.requests if data.endswith(b"\r\n\r\n" + one.body)]
        assert request.wire is None, "it is sent twice"
        assert self.loop.time() < request.deadline, "it is sent too late"
        assert wire.asks is None, "two requests at a time"
        assert wire.hears is None
        if (last := wire.answered) is not None:
            assert not wire.is_spoilt
            assert not last.is_last
            assert last.is_good
            assert wire.idle_since is not None
            idle = self.loop.time() - wire.idle_since
            assert idle < last.idle_seconds, "the other side may have closed it by now"
            assert not wire.unread or idle < JUST_USED_SECONDS, "it is sent though an end has come"
        request.wire = wire
        wire.asks = request

    def look(self) -> None:
        for request in [one for one in self.requests if one.task is not None and one.task.done()]:
            self.requests.remove(request)
            self._look_at_outcome(request)

    def _look_at_outcome(self, request: Request) -> None:
        task = request.task
        assert task is not None
        if task.cancelled():
            assert request.wire is None or request.wire.is_closing(), "its answer could come to another"
            return
        error = task.exception()
        if error is None:
            response = task.result()
            assert request.body in (response.body, response.headers.get("x-body", "").encode())
            assert request.heard is not None
            assert request.heard.is_good
        elif isinstance(error, ConnectionBroken):
            assert request.wire is not None, "nothing was sent, and it does not say so"
            assert request.wire.is_closing()
            assert request.heard is None or not request.heard.is_good
        else:
            assert isinstance(error, ConnectFailed | TimeoutError)
            assert request.wire is None, "it was sent, and it says that it was not"

    def look_at_rest(self) -> None:
        self.look()
        for request in self.requests:
            assert request.heard is None, "it has been answered, and waits"
            assert request.wire is None or not request.wire.is_closing(), (
                "its connection is gone, and it waits"
            )
            assert request.wire is not None or len(self.connecting) >= sum(
                one.wire is None for one in self.requests
            )
        for wire in self.wires:
            if wire.is_spoilt or (wire.answered is not None and wire.hears is None and wire.answered.is_last):
                assert wire.is_closing(), "it stays though nothing may be sent on it"

    def end(self) -> None:
        closing = self.start(self.http.close())
        self.loop.settle()
        assert closing.done()
        for request in self.requests:
            assert request.task is not None
            request.task.cancel()
        self.loop.settle()
        self.look()
        assert all(wire.is_closing() for wire in self.wires)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            for wire in getattr(self, "wires", ()):
                wire.release()


def test_whatever_happens_in_whatever_order_each_request_is_sent_once_at_most_and_gets_its_own_answer() -> (
    None
):
    lead_through_lives(PoolMachine)

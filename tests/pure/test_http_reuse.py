"""The HTTP client over connections in memory: which connection carries a request, and what becomes of it then.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.support.http_post import OK, at, post
from tests.support.memory_http import End, MemoryClient, MemoryServer
from tests.support.waiting import rest

from lambda_sidecar.http.client import ConnectFailed, origin_of
from lambda_sidecar.http.connection import JOIN_MAX, Connection
from lambda_sidecar.http.exchange import ConnectionBroken

ORIGIN = at(80)
HEAD = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n"


async def begun(http: MemoryClient, body: bytes = b"[]") -> asyncio.Task[bytes]:
    """A request that has been sent; its task gives the answer's body."""

    async def body_of() -> bytes:
        return (await post(http, ORIGIN, body)).body

    task = asyncio.create_task(body_of())
    await rest()
    return task


async def test_a_hundred_requests_one_after_the_other_take_one_connection() -> None:
    server = MemoryServer([[OK]] * 100)
    http = MemoryClient(server)
    for _ in range(100):
        assert (await post(http, ORIGIN)).body == b"{}"
    assert (len(server.requests), len(server.connections)) == (100, 1)
    await http.close()


async def test_there_are_as_many_connections_as_requests_at_a_time_and_the_one_used_last_is_used_next() -> (
    None
):
    server = MemoryServer(*[[[], [OK]]] * 3)
    http = MemoryClient(server)
    waiting = [await begun(http) for _ in range(3)]
    assert len(server.connections) == 3
    for number in (0, 2, 1):
        server.connections[number].send(OK)
        await waiting[number]
    await post(http, ORIGIN)
    assert [len(connection.written) for connection in server.connections] == [1, 2, 1]
    await http.close()


async def test_a_connection_leads_to_its_own_origin_alone() -> None:
    server = MemoryServer(*[[[OK], [OK]]] * 4)
    http = MemoryClient(server)
    origins = [
        at(80),
        at(81),
        origin_of("http://localhost", None),
        origin_of("http://127.0.0.1:80", "http://p"),
    ]
    for _ in range(2):
        for origin in origins:
            await post(http, origin)
    assert [len(connection.written) for connection in server.connections] == [2, 2, 2, 2]
    await http.close()


async def test_answers_go_to_whoever_asked_in_whatever_order_they_come() -> None:
    server = MemoryServer()
    http = MemoryClient(server)
    waiting = [await begun(http) for _ in range(5)]
    for number in (3, 0, 4, 2, 1):
        server.connections[number].send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
    assert await asyncio.gather(*waiting) == [b"0", b"1", b"2", b"3", b"4"]
    await http.close()


@pytest.mark.parametrize("sent", [[], [OK[:10]], [OK[:-1]]], ids=["nothing", "half a head", "half a body"])
async def test_a_request_that_is_cancelled_closes_its_connection_and_no_other(sent: list[bytes]) -> None:
    server = MemoryServer([sent], [[OK]])
    http = MemoryClient(server)
    waiting = await begun(http)
    other = await begun(http)
    await server.connections[0].settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await other == b"{}"
    assert [connection.is_closing() for connection in server.connections] == [True, False]
    await http.close()


async def test_an_answer_in_the_moment_of_the_cancellation_is_nobodys() -> None:
    server = MemoryServer([[]], [[OK]])
    http = MemoryClient(server)
    waiting = await begun(http)
    server.connections[0].send(OK)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await post(http, ORIGIN)).body == b"{}"
    assert server.connections[0].is_closing()
    assert len(server.connections) == 2
    await http.close()


async def test_a_request_whose_time_ends_while_it_connects_is_not_sent_and_its_connection_serves_the_next() -> (
    None
):
    class SlowClient(MemoryClient):
        async def _reach(self, connection: Connection, scheme: str, host: str, port: int) -> None:
            await asyncio.sleep(0.02)
            await super()._reach(connection, scheme, host, port)

    server = MemoryServer([[OK]])
    http = SlowClient(server)
    with pytest.raises(TimeoutError):
        await http.post(ORIGIN, HEAD, b"[]", body_max=100, deadline=time.monotonic() + 0.01)
    assert server.connections[0].written == []
    assert (await post(http, ORIGIN)).body == b"{}"
    assert len(server.connections) == 1
    await http.close()


async def test_for_a_request_whose_time_is_over_no_connection_is_made() -> None:
    server = MemoryServer()
    http = MemoryClient(server)
    with pytest.raises(TimeoutError):
        await http.post(ORIGIN, HEAD, b"[]", body_max=100, deadline=time.monotonic())
    assert server.connections == []
    await http.close()


@pytest.mark.parametrize("more", [-1, 0, 1])
async def test_a_body_leaves_with_its_head_unless_it_is_large_and_then_right_behind_it(more: int) -> None:
    body = b"x" * (JOIN_MAX + more)
    server = MemoryServer([[OK]])
    http = MemoryClient(server)
    await post(http, ORIGIN, body)
    (written,) = (connection.written for connection in server.connections)
    assert len(written) == (1 if more < 0 else 2)
    assert b"".join(written).endswith(b"\r\n\r\n" + body)
    await http.close()


async def test_an_answer_before_the_request_has_left_is_believed_unless_it_is_a_success() -> None:
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"
    for answer, status in ((refusal, 413), (OK, 0)):
        server = MemoryServer()
        http = MemoryClient(server)
        waiting = asyncio.create_task(post(http, ORIGIN))
        await rest()
        (connection,) = server.connections
        connection.stuck = 1
        connection.send(answer)
        if status:
            assert (await waiting).status == status
        else:
            with pytest.raises(ConnectionBroken, match="before it had the whole request"):
                await waiting
        assert connection.is_closing()
        await http.close()


async def test_a_client_that_is_closed_closes_all_its_connections_and_takes_no_new_ones_into_its_pool() -> (
    None
):
    server = MemoryServer([[], [OK]], [[OK]])
    http = MemoryClient(server)
    under_way = await begun(http)
    await post(http, ORIGIN)
    await http.close()
    assert all(connection.is_closing() for connection in server.connections)
    with pytest.raises(ConnectionBroken, match=r"^The endpoint closed the connection$"):
        await under_way


class Refuses(MemoryClient):
    """A client whose connections do not come about."""

    error: Exception = ConnectionRefusedError()

    async def _reach(self, connection: Connection, scheme: str, host: str, port: int) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(), TimeoutError(), UnicodeError("label too long"), ConnectionBroken("x")]
)
async def test_where_no_connection_comes_about_the_error_says_that_nothing_was_sent(error: Exception) -> None:
    http = Refuses(MemoryServer())
    http.error = error
    with pytest.raises(ConnectFailed, match=f"^{type(error).__name__}$"):
        await post(http, ORIGIN)
    await http.close()


@pytest.mark.parametrize("end", End)
async def test_a_proxy_that_ends_in_the_middle_of_its_answer_to_connect_is_no_connection(end: End) -> None:
    said = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"
    for length in range(1, len(said)):
        server = MemoryServer([[said[:length], end]])
        http = MemoryClient(server)
        with pytest.raises(ConnectFailed, match=r"^ConnectionBroken$"):
            await post(http, origin_of("https://lambda.example", "http://proxy.example"))
        assert server.connections[0].written == [
            b"CONNECT lambda.example:443 HTTP/1.1\r\nHost: lambda.example:443\r\n\r\n"
        ]
        await http.close()


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "in parts"])
async def test_a_request_that_comes_too_late_to_be_sent_leaves_an_idle_connection_as_old_as_it_was(
    is_streamed: bool,
) -> None:
    server = MemoryServer([[OK], [OK]])
    http = MemoryClient(server)
    await post(http, ORIGIN)
    ((_, until),) = http._idle[ORIGIN]
    late = time.monotonic()
    with pytest.raises(TimeoutError):
        if is_streamed:
            async with http.stream(ORIGIN, HEAD, b"[]", body_max=100, deadline=late):
                raise AssertionError("it was sent")
        else:
            await http.post(ORIGIN, HEAD, b"[]", body_max=100, deadline=late)
    assert [moment for _, moment in http._idle[ORIGIN]] == [until]
    assert len(server.requests) == 1
    await http.close()

"""The Runtime API's streaming response mode, byte by byte: what runtimes, good and bad, put on the wire.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from tests.support.waiting import until

from lambda_sidecar.local.connections import TRAILERS_MAX
from lambda_sidecar.local.invocation import Invocation
from lambda_sidecar.local.parts import Parts
from lambda_sidecar.local.runtime_answer import Answer
from lambda_sidecar.local.runtime_api import RuntimeApi
from lambda_sidecar.local.target import resolve

HEAD = (
    b"POST /2018-06-01/runtime/invocation/%b/response HTTP/1.1\r\nHost: %b\r\n"
    b"Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
    b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
)
ERROR = b"Lambda-Runtime-Function-Error-Type: Custom.Failure\r\n"


@dataclass
class Runtime:
    """A runtime that has been given an event, and the connection on which it answers."""

    api: RuntimeApi
    invocation: Invocation
    answer: asyncio.Future[Answer]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def parts(self) -> Parts:
        assert self.invocation.parts is not None
        return self.invocation.parts

    @property
    def head(self) -> bytes:
        return HEAD % (self.invocation.request_id.encode(), self.api.address.encode())

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def status(self) -> int:
        return int((await self.reader.readuntil(b"\r\n\r\n")).split()[1])

    async def whole(self) -> bytes:
        """All parts, once the answer is complete."""
        got = asyncio.create_task(self._all())
        await self.answer
        self.parts.end()
        return await got

    async def _all(self) -> bytes:
        whole = b""
        while (part := await self.parts.get()) is not None:
            whole += part
        return whole


@asynccontextmanager
async def a_runtime(*, in_parts: bool = True) -> AsyncIterator[Runtime]:
    api = RuntimeApi()
    await api.start()
    host, _, port = api.address.partition(":")
    target = resolve("F", None, region="us-east-1", account_id="123456789012")
    invocation = Invocation(target=target, invocation_type="RequestResponse", event=b"{}")
    invocation.parts = Parts() if in_parts else None
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(
            b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: %b\r\n\r\n" % api.address.encode()
        )
        await api.ready
        answer = api.hand_over(invocation, 0)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        yield Runtime(api, invocation, answer, reader, writer)
    finally:
        writer.close()
        await api.close()


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


async def test_trailers_are_found_wherever_the_bytes_are_cut() -> None:
    body = base64.b64encode(b'{"errorMessage": "disk full"}')
    # A body that looks like an end with trailers is a body.
    payload = b"\r\n0\r\nLambda-Runtime-Function-Error-Type: Not.This\r\n\r\n"
    request = chunk(payload) + b"000;x=y\r\n" + ERROR
    request += b"lambda-runtime-function-error-body:\t%b \r\nOther: x\r\n\r\n" % body
    for size in (1, 7, len(request)):
        async with a_runtime() as runtime:
            pieces = (request[at : at + size] for at in range(0, len(request), size))
            await runtime.send(runtime.head, *pieces)
            assert await runtime.whole() == payload
            answer = runtime.answer.result()
            assert (answer.is_error, answer.error_code) == (True, "Custom.Failure")
            assert answer.payload == b'{"errorMessage": "disk full"}'
            assert await runtime.status() == 202


async def test_a_body_that_looks_like_trailers_and_has_none_is_no_error() -> None:
    payload = b"\r\n0\r\n" + ERROR + b"\r\n"
    async with a_runtime() as runtime:
        await runtime.send(runtime.head, chunk(payload), b"0\r\n\r\n")
        assert await runtime.whole() == payload
        assert not runtime.answer.result().is_error


@pytest.mark.parametrize(
    ("trailers", "code", "details"),
    [
        (ERROR, "Custom.Failure", b""),
        (ERROR + b"Lambda-Runtime-Function-Error-Body: no base64!\r\n", "Custom.Failure", b"no base64!"),
        (b"Lambda-Runtime-Function-Error-Body: eA==\r\n", "Runtime.Unknown", b"x"),
    ],
)
async def test_an_error_may_lack_its_type_or_its_body(trailers: bytes, code: str, details: bytes) -> None:
    async with a_runtime() as runtime:
        await runtime.send(runtime.head, b"0\r\n", trailers, b"\r\n")
        assert await runtime.whole() == b""
        answer = runtime.answer.result()
        assert (answer.is_error, answer.error_code, answer.payload) == (True, code, details)


async def test_trailers_that_are_too_large_to_be_kept_are_an_error() -> None:
    large = b"Lambda-Runtime-Function-Error-Body: %b\r\n" % (b"x" * 2 * TRAILERS_MAX)
    async with a_runtime() as runtime:
        await runtime.send(runtime.head, chunk(b"x"), b"0\r\n", ERROR, large, b"\r\n")
        assert await runtime.whole() == b"x"
        answer = runtime.answer.result()
        assert (answer.is_error, answer.error_code) == (True, "Runtime.Unknown")


@pytest.mark.parametrize("in_parts", [True, False])
@pytest.mark.parametrize("same_connection", [True, False])
async def test_a_runtime_that_closes_behind_its_whole_answer_has_answered(
    in_parts: bool, same_connection: bool
) -> None:
    """As AWS's documentation wants it to; whoever reads the answer may be slow."""
    payload = b"x" * 200_000
    async with a_runtime(in_parts=in_parts) as runtime:
        writer = runtime.writer
        if not same_connection:
            host, _, port = runtime.api.address.partition(":")
            _, writer = await asyncio.open_connection(host, int(port))
        writer.write(runtime.head + chunk(payload[:100_000]))
        if in_parts:
            await until(lambda: runtime.parts.begun)
        writer.write(chunk(payload[100_000:]) + b"0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        if in_parts:
            assert not runtime.answer.done()  # the second part waits until the first is read
            assert await runtime.whole() == payload
        answer = await asyncio.wait_for(runtime.answer, 10)
        assert (answer.is_error, answer.payload) == (False, b"" if in_parts else payload)
        connections = runtime.api._connections
        assert connections is not None
        # The one on which it asked for the event may still be open.
        await until(lambda: len(connections.server.connections) == (0 if same_connection else 1))


async def test_a_runtime_that_closes_amid_its_answer_has_not() -> None:
    for broken in (chunk(b"x") + b"5\r\nab", chunk(b"x"), chunk(b"x") + b"0\r\n" + ERROR):
        async with a_runtime() as runtime:
            await runtime.send(runtime.head, broken)
            assert (await runtime.parts.get() or b"").startswith(b"x")
            runtime.writer.close()
            answer = await asyncio.wait_for(runtime.answer, 10)
            assert (answer.cut_off, answer.error_code) == (True, "Runtime.TruncatedResponse")


async def test_what_is_no_chunked_encoding_is_no_answer() -> None:
    async with a_runtime() as runtime:
        await runtime.send(runtime.head, chunk(b"x"))
        assert await runtime.parts.get() == b"x"
        await runtime.send(b"no size\r\n")
        runtime.writer.close()
        answer = await asyncio.wait_for(runtime.answer, 10)
        assert answer.error_code == "Runtime.TruncatedResponse"


async def test_while_a_runtime_streams_it_cannot_answer_in_another_way() -> None:
    async with a_runtime() as runtime:
        await runtime.send(runtime.head, chunk(b"x"))
        assert await runtime.parts.get() == b"x"
        host, _, port = runtime.api.address.partition(":")
        for what in (b"response", b"error"):
            reader, writer = await asyncio.open_connection(host, int(port))
            path = b"/2018-06-01/runtime/invocation/%b/%b" % (runtime.invocation.request_id.encode(), what)
            request = b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Length: 2\r\n\r\n{}"
            writer.write(request % (path, runtime.api.address.encode()))
            assert (await reader.readuntil(b"\r\n")).split()[1] == b"403"
            writer.close()
        await runtime.send(chunk(b"y"), b"0\r\n\r\n")
        assert await runtime.whole() == b"y"
        assert not runtime.answer.result().is_error


async def test_parts_of_an_invocation_that_has_ended_are_dropped() -> None:
    async with a_runtime() as runtime:
        await runtime.send(runtime.head, chunk(b"x"))
        assert await runtime.parts.get() == b"x"
        runtime.api.forget()
        runtime.parts.end()
        await runtime.send(chunk(b"y" * 1_000_000), b"0\r\n\r\n")
        assert await runtime.status() == 400
        assert await runtime.parts.get() is None


async def test_a_content_length_will_do_and_has_no_trailers() -> None:
    async with a_runtime() as runtime:
        head = runtime.head.replace(b"Transfer-Encoding: chunked", b"Content-Length: 5")
        await runtime.send(head, b"\r\n0\r\n")
        assert await runtime.whole() == b"\r\n0\r\n"
        assert not runtime.answer.result().is_error

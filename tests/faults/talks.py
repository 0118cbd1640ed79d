"""What an endpoint does with a connection: answers as Lambda does, or in one of the ways in which that goes wrong.

Knows HTTP/1.1 as bytes; nothing of who connects."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tests.support.http_peer import Peer, Talk
from tests.support.waiting import until

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
End = Callable[[Reader, Writer], Awaitable[None]]


def response(body: bytes = b'"done"', status: str = "200 OK", *headers: str, length: object = None) -> bytes:
    """As Lambda's; `length` lies."""
    lines = [
        f"HTTP/1.1 {status}",
        "x-amzn-RequestId: r-1",
        "X-Amz-Executed-Version: $LATEST",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def page(status: str, *headers: str, body: bytes = b"<html>Sorry</html>") -> bytes:
    """What a load balancer or a proxy says in Lambda's place."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/html", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# ---- ends ----


async def closes(_: Reader, __: Writer) -> None:
    """With a FIN, when nothing more is to be written."""


async def resets(_: Reader, writer: Writer) -> None:
    """With an RST."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def stays(reader: Reader, _: Writer) -> None:
    """Silent, until the other side goes."""
    while await reader.read(65_536):
        pass


# ---- talks ----


def answers(*wire: bytes) -> Talk:
    """Every request; a connection's first ones with `wire`, the others well."""

    async def talk(made: Peer, reader: Reader, writer: Writer) -> None:
        left = list(wire)
        while True:
            await made.read(reader)
            writer.write(left.pop(0) if left else response())
            await writer.drain()

    return talk


def says(wire: bytes, end: End = stays) -> Talk:
    """To the first request of a connection."""

    async def talk(made: Peer, reader: Reader, writer: Writer) -> None:
        await made.read(reader)
        writer.write(wire)
        await writer.drain()
        await end(reader, writer)

    return talk


def drips(wire: bytes, seconds: float, end: End = stays) -> Talk:
    """Byte by byte, with so much time between two."""

    async def talk(made: Peer, reader: Reader, writer: Writer) -> None:
        await made.read(reader)
        for byte in wire:
            if writer.is_closing():
                return
            writer.write(bytes([byte]))
            await asyncio.sleep(seconds)  # the pace is the fault
        await end(reader, writer)

    return talk


def without_reading(end: End, *, head: bool = False) -> Talk:
    """Ends when something arrives, or has read the `head` and no more."""

    async def talk(_: Peer, reader: Reader, writer: Writer) -> None:
        if head:
            await reader.readuntil(b"\r\n\r\n")
        else:
            await reader.readexactly(1)
        await end(reader, writer)

    return talk


def waits_for(seen: Callable[[], bool], wire: bytes = response()) -> Talk:
    """Answers each request with `wire` once `seen()` is true."""

    async def talk(made: Peer, reader: Reader, writer: Writer) -> None:
        while True:
            await made.read(reader)
            await until(seen)
            writer.write(wire)
            await writer.drain()

    return talk


# ---- proxies ----


_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
# A TLS record: type, version, length (RFC 8446, 5.1). Under TLS 1.3 a client's first record of type
# application_data is its Finished, and the second one its request.
_RECORD_HEAD = 5
_APPLICATION_DATA = 23


class Tunnel:
    """A proxy that passes TLS records on, and closes the tunnel when `ends` says so.

    `ends` is asked about each record before it is passed on: how many application_data records its side had sent
    before, and whether that side is the client."""

    def __init__(self, ends: Callable[[bool, int, int], bool]) -> None:
        self._ends = ends

    async def talk(self, made: Peer, reader: Reader, writer: Writer) -> None:
        await made.read(reader)
        port = int(made.requests[-1].split()[1].rpartition(":")[2])
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_ESTABLISHED)
        ways = [
            asyncio.ensure_future(self._pass(True, reader, inner_writer)),
            asyncio.ensure_future(self._pass(False, inner_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            inner_writer.close()

    async def _pass(self, is_client: bool, source: Reader, sink: Writer) -> None:
        data, records = 0, 0
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await source.readexactly(_RECORD_HEAD)
                body = await source.readexactly(int.from_bytes(head[3:5], "big"))
                if self._ends(is_client, records, data):
                    return
                records += 1
                data += head[0] == _APPLICATION_DATA
                sink.write(head + body)
                await sink.drain()

"""An HTTP/1.1 server and a proxy that a test scripts byte by byte, with TLS if it wants.

Real sockets on loopback; knows nothing of who connects."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Talk = Callable[["Peer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Peer:
    """`requests` are the heads of what came, in order; `connections` counts who connected; `whole` the requests
    that `read` has read to their end."""

    port: int = 0
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    whole: int = 0

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """The next request's body; its head goes on record."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head)
        lengths = [line[15:] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        body = await reader.readexactly(int(lengths[0]) if lengths else 0)
        self.whole += 1
        return body


@contextlib.asynccontextmanager
async def peer(talk: Talk, tls: ssl.SSLContext | None = None, *, port: int = 0) -> AsyncIterator[Peer]:
    """Serves on a free port, or that one; `talk` is one connection."""
    made = Peer()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.connections += 1
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await talk(made, reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        for writer in writers:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


def answers(*wire: bytes) -> Talk:
    """Each request of a connection gets the next of `wire`; then the connection is closed."""

    async def talk(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in wire:
            await made.read(reader)
            writer.write(piece)
            await writer.drain()

    return talk


async def tunnel(
    made: Peer,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    said: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n",
) -> None:
    """A proxy's CONNECT, answered with `said`, then bytes both ways."""
    await made.read(reader)
    port = int(made.requests[-1].split()[1].rpartition(":")[2])
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            sink.write(data)
        sink.close()

    try:
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))
    finally:
        inner_writer.close()


def certificate(
    directory: Path, *, address: str = "127.0.0.1", hours_left: float = 1
) -> tuple[ssl.SSLContext, Path]:
    """A server's context for that address, and the file of the authority that signed it: itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(hours=hours_left))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority = directory / "authority.pem"
    authority.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file = directory / "key.pem"
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, key_file)
    return context, authority

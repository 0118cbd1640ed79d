"""Something that speaks like a MySQL server up to the password, and records all that it gets.

Knows the protocol's first packets; no statement ever runs."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

FULL_AUTHENTICATION = b"\x01\x04"  # AuthMoreData of caching_sha2_password: send the password itself
CLEAR_TEXT = b"\xfemysql_clear_password\0"  # AuthSwitchRequest
# Protocol::Capabilities, of which a client makes its own choice
_LONG_PASSWORD, _WITH_DB, _PROTOCOL_41, _SSL = 0x1, 0x8, 0x200, 0x800
_TRANSACTIONS, _SECURE_CONNECTION, _PLUGIN_AUTH = 0x2000, 0x8000, 0x80000
_REFUSED = b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied"
_SECONDS = 20


@dataclass
class Impostor:
    """`received` is everything from clients after the greeting, out of TLS where there was some."""

    port: int = 0
    received: bytearray = field(default_factory=bytearray)


@contextlib.contextmanager
def impostor(ask: bytes, tls: ssl.SSLContext | None, *, version: str = "9.7.4") -> Iterator[Impostor]:
    """Asks each client for its password by the packet `ask`; offers TLS if it has a context."""
    made = Impostor()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made.port = listener.getsockname()[1]
        thread = threading.Thread(target=_serve, args=(listener, made, ask, tls, version))
        thread.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # accept() returns
            thread.join(_SECONDS)


def _serve(
    listener: socket.socket, made: Impostor, ask: bytes, tls: ssl.SSLContext | None, version: str
) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        client.settimeout(_SECONDS)
        with contextlib.suppress(OSError, EOFError):  # ssl's errors are OSErrors
            _send(client, 0, _greeting(version, offers_tls=tls is not None))
            _talk(client, made, ask, tls)
        client.close()


def _talk(client: socket.socket, made: Impostor, ask: bytes, tls: ssl.SSLContext | None) -> None:
    number, packet = _packet(client, made)
    if tls is not None and len(packet) == 32:
        with tls.wrap_socket(client, server_side=True) as encrypted:
            number, _ = _packet(encrypted, made)
            _ask(encrypted, number, made, ask)
    else:
        _ask(client, number, made, ask)


def _ask(client: socket.socket, number: int, made: Impostor, ask: bytes) -> None:
    _send(client, number + 1, ask)
    number, _ = _packet(client, made)
    _send(client, number + 1, _REFUSED)


def _greeting(version: str, *, offers_tls: bool) -> bytes:
    flags = _LONG_PASSWORD | _WITH_DB | _PROTOCOL_41 | _TRANSACTIONS | _SECURE_CONNECTION | _PLUGIN_AUTH
    if offers_tls:
        flags |= _SSL
    return b"".join(
        (
            b"\x0a" + version.encode() + b"\0",
            struct.pack("<I", 7),
            b"12345678\0",
            struct.pack("<HBHHB", flags & 0xFFFF, 255, 2, flags >> 16, 21),
            bytes(10),
            b"123456789012\0",
            b"caching_sha2_password\0",
        )
    )


def _send(client: socket.socket, number: int, payload: bytes) -> None:
    client.sendall(struct.pack("<I", len(payload))[:3] + bytes([number & 0xFF]) + payload)


def _packet(client: socket.socket, made: Impostor) -> tuple[int, bytes]:
    header = _read(client, 4)
    payload = _read(client, int.from_bytes(header[:3], "little"))
    made.received += payload
    return header[3], payload


def _read(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data

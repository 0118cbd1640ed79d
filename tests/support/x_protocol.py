"""A client of MySQL's X Protocol in bytes, as little as a test needs: log in over the Unix socket, run SQL, read rows.

Knows the frames and field numbers of the protocol (mysqlx.proto, mysqlx_session.proto, mysqlx_sql.proto,
mysqlx_resultset.proto in the server's plugin/x/protocol/protobuf); asserts nothing about results."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Self

_AUTHENTICATE_START, _STMT_EXECUTE = 4, 12
_ERROR, _AUTHENTICATE_OK, _ROW, _STMT_EXECUTE_OK = 1, 4, 13, 17


class XError(Exception):
    """The server's error message, as it stands in the frame."""


class XSession:
    """One session of root, who has no password."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(30)
        self._socket.connect(str(path))
        self._send(_AUTHENTICATE_START, _field(1, b"PLAIN") + _field(2, b"\0root\0"))
        self._until(_AUTHENTICATE_OK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def rows(self, sql: str) -> list[bytes]:
        """The first column of each row, text without its NUL; XError if the statement fails."""
        self.start(sql)
        return [_first_field(row).removesuffix(b"\0") for row in self._until(_STMT_EXECUTE_OK)]

    def start(self, sql: str) -> None:
        """Send a statement and read nothing."""
        self._send(_STMT_EXECUTE, _field(3, b"sql") + _field(1, sql.encode()))

    def _send(self, kind: int, body: bytes) -> None:
        self._socket.sendall(struct.pack("<IB", len(body) + 1, kind) + body)

    def _until(self, last: int) -> list[bytes]:
        rows: list[bytes] = []
        while True:
            length, kind = struct.unpack("<IB", self._read(5))
            body = self._read(length - 1)
            if kind == _ERROR:
                raise XError(body.decode(errors="replace"))
            if kind == last:
                return rows
            if kind == _ROW:
                rows.append(body)

    def _read(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            more = self._socket.recv(size - len(got))
            if not more:
                raise XError("the server closed the connection")
            got += more
        return got


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited field of protobuf; short values only."""
    length = len(value)
    size = bytes([length]) if length < 128 else bytes([length % 128 + 128, length // 128])
    return bytes([number << 3 | 2]) + size + value


def _first_field(row: bytes) -> bytes:
    """The first value of a Row: field 1, length-delimited, shorter than 128 bytes."""
    return row[2 : 2 + row[1]]

"""Finds out whose process is at the other end of a connection on loopback.

Knows Linux's table of TCP connections; nothing of what is sent over them."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable
from pathlib import Path

TABLE = Path("/proc/net/tcp")


def owner(peer: tuple[str, int], own: tuple[str, int]) -> int | None:
    """The user id of the socket at `peer`, an IPv4 address and port, that is connected to `own` (proc(5),
    /proc/net/tcp); None if it is gone, or the system does not say."""
    try:
        table = TABLE.read_text(encoding="ascii")
    except OSError:
        return None
    return owner_in(table.splitlines(), peer, own)


def owner_in(table: Iterable[str], peer: tuple[str, int], own: tuple[str, int]) -> int | None:
    """As `owner`, from the table's lines: `sl local_address rem_address st queues timer retrnsmt uid …`."""
    wanted = [_as_kernel_writes(peer), _as_kernel_writes(own)]
    for line in table:
        fields = line.split()
        if fields[1:3] == wanted:
            return int(fields[7])
    return None


def _as_kernel_writes(address: tuple[str, int]) -> str:
    """`0100007F:1F90`: the four bytes in this machine's byte order as a number, then the port."""
    host, port = address
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"

"""TCP ports on loopback for servers that are about to start.

Knows nothing of the servers."""

from __future__ import annotations

import random
import socket

# Below those that systems give to connections that go out (Linux from 32768 on, ip(7); macOS from 49152 on),
# one of which may have taken the port before the server is there.
_PORTS = range(10_240, 32_768)
# Not the one that tests set to a seed: two of them would choose the same ports.
_random = random.SystemRandom()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses at this moment."""
    while True:
        port = _random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port

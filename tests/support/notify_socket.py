"""systemd's end of sd_notify(3): a datagram socket that a test binds, in the file system or in the abstract namespace.

Knows the protocol's form; asserts nothing of what is said."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

Message = dict[str, str]


class NotifySocket:
    """`address` is for NOTIFY_SOCKET. Everything that came is in `messages`, each a datagram's assignments."""

    def __init__(self, listener: socket.socket, address: str) -> None:
        self._listener = listener
        self.address = address
        self.messages: list[Message] = []

    def receive(self, seconds: float = 20) -> Message | None:
        """The next datagram; None if there is none within `seconds`."""
        self._listener.settimeout(seconds)
        try:
            data = self._listener.recv(65_536)
        except (TimeoutError, BlockingIOError):
            return None
        message = dict(line.split("=", 1) for line in data.decode().splitlines())
        self.messages.append(message)
        return message

    def wait_for(self, key: str, seconds: float = 20) -> Message:
        """The next datagram that has `key`; what came before it is in `messages`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            message = self.receive(left)
            if message is not None and key in message:
                return message
        raise AssertionError(f"no {key} within {seconds} s; all that came: {self.messages}")

    def quiet_for(self, seconds: float) -> bool:
        """Whether nothing comes for so long, after what has come already."""
        while self.receive(0.001) is not None:
            pass
        return self.receive(seconds) is None


@contextlib.contextmanager
def notify_socket(directory: Path, *, abstract: bool = False) -> Iterator[NotifySocket]:
    """Bound in `directory`, or by its name in the abstract namespace."""
    path = str(directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        # unix(7): a name that begins with NUL is abstract; 107 bytes at most.
        listener.bind(f"\0lambda-udf-{os.getpid()}-{id(listener)}" if abstract else path)
        name = listener.getsockname()
        yield NotifySocket(listener, "@" + name[1:].decode() if abstract else path)

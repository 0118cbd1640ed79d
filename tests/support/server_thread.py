"""An HTTP/1.1 server in a thread of its own: it goes on while a test holds the event loop.

Real sockets; answers every request alike, and closes its connections when it is told to."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class ServerThread:
    """`requests` counts what came; `connections` are those that are open or were."""

    port: int
    answer: bytes
    tls: ssl.SSLContext | None
    requests: int = 0
    connections: list[socket.socket] = field(default_factory=list)

    def close_connections(self) -> None:
        """Sends a FIN on each; it has arrived when this returns, for they are on loopback."""
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def push(self, data: bytes) -> None:
        """Something that nobody asked for, on each."""
        for connection in self.connections:
            connection.sendall(data)

    def serve(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                if self.tls is not None:
                    connection = self.tls.wrap_socket(connection, server_side=True)
                self.connections.append(connection)
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while connection.recv(65_536):
                self.requests += 1
                connection.sendall(self.answer)


@contextlib.contextmanager
def server_thread(answer: bytes, tls: ssl.SSLContext | None = None) -> Iterator[ServerThread]:
    """On a free port; a request is one packet."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = ServerThread(listening.getsockname()[1], answer, tls)
        accepting = threading.Thread(target=server.serve, args=(listening,))
        accepting.start()
        try:
            yield server
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            server.close_connections()
            for connection in server.connections:
                connection.close()

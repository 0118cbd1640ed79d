"""A pool of HTTP/1.1 connections to the endpoints that are called: over TLS, through proxies.

The hot path's own client: a general one takes as long again as all else that the sidecar does for a
call (bench/README.md). Knows nothing of Lambda."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import math
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import aiohappyeyeballs

from lambda_sidecar.http.cancellation import cancellation_kept
from lambda_sidecar.http.connect_reason import connect_reason
from lambda_sidecar.http.connection import Connection, StreamedResponse
from lambda_sidecar.http.exchange import ConnectionBroken, Exchange, Response
from lambda_sidecar.http.name_lookup import NameLookup
from lambda_sidecar.http.streamed import StreamedExchange

# NAT gateways drop connections that are idle for 350 s (VPC guide); calls may last 900 s.
TCP_KEEPALIVE_SECONDS = 60
# A connection whose answer is younger than this is used again without a look at it: an endpoint that closes
# with its answer says so in it, or at once, and that is read together with the answer. To look is a system
# call, 5 % of a call under load.
JUST_USED_SECONDS = 0.001
# RFC 8305, 5: the recommended Connection Attempt Delay.
HAPPY_EYEBALLS_SECONDS = 0.25


class ConnectFailed(Exception):
    """No connection was made, so nothing was sent. `reason` says why, for people."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Origin:
    """The far end of connections: scheme, host and port, and the URL of the proxy if there is one between."""

    scheme: str
    host: str
    port: int
    proxy: str | None

    @property
    def authority(self) -> str:
        """As in a Host header: without the scheme's own port (RFC 9110, 4.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


_PORTS = {"http": 80, "https": 443}


def origin_of(url: str, proxy: str | None) -> Origin:
    """Raises ValueError for what is no http or https URL."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("an http or https URL is expected")
    return Origin(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], proxy)


class HttpClient:
    """Has as many connections as there are requests at a time, and uses each again while it lives."""

    def __init__(self, *, connect_timeout: float, tls: ssl.SSLContext) -> None:
        """`connect_timeout` in seconds: name, TCP, proxy and TLS together."""
        self.connect_timeout = connect_timeout
        self._tls = tls
        self._names = NameLookup()
        # Each with the moment at which it is too old.
        self._idle: dict[Origin, deque[tuple[Connection, float]]] = {}
        self._in_use: set[Connection] = set()
        self._closed = False

    async def post(
        self, origin: Origin, head: bytes, body: bytes, *, body_max: int, deadline: float = math.inf
    ) -> Response:
        """`head` is the whole request but for the body, the empty line included. Raises ConnectFailed,
        ConnectionBroken and ResponseTooLarge, and TimeoutError instead of sending anything from `deadline`
        on (time.monotonic()'s). Cancelled, it closes the connection."""
        connection = await self._reserve(origin, deadline)
        try:
            return await connection.carry_out(Exchange(body_max), head, body)
        finally:
            self._in_use.discard(connection)
            self._give(origin, connection)

    @contextlib.asynccontextmanager
    async def stream(
        self, origin: Origin, head: bytes, body: bytes, *, body_max: int, deadline: float
    ) -> AsyncIterator[StreamedResponse]:
        """As `post`, but a success's body, of any length, is taken while it comes; `body_max` is for other
        answers. A connection whose answer was not taken to its end is closed."""
        connection = await self._reserve(origin, deadline)
        try:
            async with connection.stream(StreamedExchange(body_max), head, body) as answer:
                yield answer
        finally:
            self._in_use.discard(connection)
            self._give(origin, connection)

    async def close(self) -> None:
        """Closes every connection; requests under way fail."""
        self._closed = True
        idle = [connection for line in self._idle.values() for connection, _ in line]
        self._idle.clear()
        for connection in (*idle, *self._in_use):
            connection.close()
        await asyncio.sleep(0)  # the transports let their sockets go in the loop's next turn

    async def _reserve(self, origin: Origin, deadline: float) -> Connection:
        """For a request that is sent at once; it is in use from now on. Raises ConnectFailed, and
        TimeoutError from `deadline` on."""
        # Checked last: a loop that stood still, or connecting, may have used up the time, and whoever cancels
        # late calls may not have had its turn yet. An idle connection is not even taken then: it would come
        # back as if it had been used.
        if time.monotonic() >= deadline:
            raise TimeoutError
        connection = self._take(origin)
        if connection is None:
            connection = await self._connect(origin)
            if time.monotonic() >= deadline:
                self._give(origin, connection)
                raise TimeoutError
        self._in_use.add(connection)
        return connection

    def _take(self, origin: Origin) -> Connection | None:
        """The idle connection that was used last, so that the others grow old and are closed. It is alive as
        far as this machine can know, or has answered just now: a request on a dead one counts as sent."""
        line = self._idle.get(origin)
        while line:
            connection, until = line.pop()
            left = until - time.monotonic()
            just_used = left > connection.may_idle - JUST_USED_SECONDS
            if left > 0 and ((just_used and connection.is_open) or connection.is_quiet()):
                return connection
            connection.close()
        return None

    def _give(self, origin: Origin, connection: Connection) -> None:
        if self._closed or not connection.is_open:
            connection.close()
            return
        line = self._idle.setdefault(origin, deque())
        now = time.monotonic()
        while line and now >= line[0][1]:
            line.popleft()[0].close()
        line.append((connection, now + connection.may_idle))

    # ---- connecting ----

    async def _connect(self, origin: Origin) -> Connection:
        try:
            async with asyncio.timeout(self.connect_timeout), _unless_connected() as made:
                await self._open(origin, made)
        # UnicodeError: a host that is no name at all.
        except (OSError, ConnectionBroken, UnicodeError) as error:  # TimeoutError and SSLError are OSErrors
            proxy = host_and_port(origin.proxy) if origin.proxy else ""
            reason = connect_reason(error, origin.authority, proxy, seconds=self.connect_timeout)
            raise ConnectFailed(type(error).__name__, reason) from error
        if not made.is_open:  # its end came before this task's turn: nothing was sent
            raise ConnectFailed(ConnectionBroken.__name__, "the endpoint closed the connection at once")
        return made

    async def _open(self, origin: Origin, connection: Connection) -> None:
        if origin.proxy is None:
            await self._reach(connection, origin.scheme, origin.host, origin.port)
            return
        proxy = _split_proxy(origin.proxy)
        await self._reach(connection, proxy.scheme, proxy.hostname or "", proxy.port or _PORTS[proxy.scheme])
        if origin.scheme == "https":
            await self._tunnel(connection, origin, proxy)

    async def _reach(self, connection: Connection, scheme: str, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        addresses = await self._names.addresses(host, port)
        made: socket.socket | None = None
        try:
            with cancellation_kept():
                made = await aiohappyeyeballs.start_connection(
                    addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_SECONDS, loop=loop
                )
            _keep_alive(made)
            tls: dict[str, Any] = {"ssl": self._tls, "server_hostname": host} if scheme == "https" else {}
            await loop.create_connection(lambda: connection, sock=made, **tls)
        except BaseException:
            if made is not None:
                made.close()
            raise

    async def _tunnel(self, connection: Connection, origin: Origin, proxy: SplitResult) -> None:
        """RFC 9110, 9.3.6: CONNECT, and TLS with the endpoint inside."""
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        target = f"{host}:{origin.port}"
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{_proxy_authorization(proxy)}\r\n".encode()
        await connection.open_tunnel(head)
        transport = await asyncio.get_running_loop().start_tls(
            connection.transport, connection, self._tls, server_hostname=origin.host
        )
        if transport is None:
            raise ConnectionBroken("The proxy closed the connection")
        connection.transport = transport


@contextlib.asynccontextmanager
async def _unless_connected() -> AsyncIterator[Connection]:
    """A new connection, which is closed if connecting fails."""
    connection = Connection()
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


def host_and_port(url: str) -> str:
    """Of a URL, and of a proxy's without a scheme: without the user and the password that may be in it."""
    return urlsplit(url if "://" in url else f"http://{url}").netloc.rpartition("@")[2]


def _keep_alive(made: socket.socket) -> None:
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, TCP_KEEPALIVE_SECONDS)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, TCP_KEEPALIVE_SECONDS)


@functools.cache
def _split_proxy(url: str) -> SplitResult:
    """A proxy's URL; without a scheme it is http, as for other clients. Raises OSError for other schemes."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in _PORTS or not parts.hostname:
        raise OSError("a proxy's URL begins with http:// or https://")
    return parts


def _proxy_authorization(proxy: SplitResult) -> str:
    """One header line, or nothing: the user in the proxy's URL."""
    if proxy.username is None:
        return ""
    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return f"Proxy-Authorization: Basic {base64.b64encode(user).decode()}\r\n"


def request_target(origin: Origin, path: str) -> tuple[str, str]:
    """The target in the request line, and the header lines to add. Through a proxy without a tunnel the
    target is the whole URL (RFC 9112, 3.2.2)."""
    if origin.proxy is None or origin.scheme == "https":
        return path, ""
    return f"http://{origin.authority}{path}", _proxy_authorization(_split_proxy(origin.proxy))

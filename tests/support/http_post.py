"""The hot path's HTTP client and a request for it, as tests of it need them.

Knows nothing of the servers that answer."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator

from lambda_sidecar.http.client import HttpClient, Origin, origin_of, request_target
from lambda_sidecar.http.exchange import Response

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-One: 1\r\n\r\n{}"


@contextlib.asynccontextmanager
async def client(tls: ssl.SSLContext | None = None, connect_timeout: float = 5) -> AsyncIterator[HttpClient]:
    made = HttpClient(connect_timeout=connect_timeout, tls=tls or ssl.create_default_context())
    try:
        yield made
    finally:
        await made.close()


async def post(http: HttpClient, origin: Origin, body: bytes = b"[]", *, body_max: int = 100) -> Response:
    target, more = request_target(origin, "/x?y=1")
    lines = f"POST {target} HTTP/1.1\r\nhost: {origin.authority}\r\n{more}content-length: {len(body)}\r\n\r\n"
    return await http.post(origin, lines.encode(), body, body_max=body_max)


def at(port: int, scheme: str = "http", proxy: str | None = None) -> Origin:
    return origin_of(f"{scheme}://127.0.0.1:{port}", proxy)

"""GET /metrics over HTTP, on the sidecar's own event loop.

Imported only where it is configured. Knows HTTP and prometheus_client's formats; nothing of the numbers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from lambda_sidecar.config.metrics import MetricsSettings
from lambda_sidecar.http.loopback import is_loopback_host

log = logging.getLogger(__name__)

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# Nobody waits long for an answer that takes milliseconds.
SHUTDOWN_SECONDS = 1.0

# Prometheus needs one connection. Beyond, the oldest makes room for the new: whoever opens them and says
# nothing takes neither the sidecar's descriptors nor the place of the one that asks.
CONNECTIONS_MAX = 100
# Until a connection has said what it wants, and between two requests.
SILENCE_SECONDS = 10.0


class _BoundedServer(web.Server):
    """aiohttp's server knows no most number of connections, and before 3.14 no limit to the silence of one
    that never made a request; between requests it does."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(self._answer, access_log=None, keepalive_timeout=SILENCE_SECONDS)
        self._answer_to = answer
        self._by_age: dict[web.RequestHandler, asyncio.Transport] = {}
        self._silent: set[web.RequestHandler] = set()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        while len(self._by_age) >= CONNECTIONS_MAX:
            oldest = next(iter(self._by_age))
            self._by_age.pop(oldest).abort()  # at once, also where nobody reads what was written
        self._by_age[handler] = transport
        self._silent.add(handler)
        asyncio.get_running_loop().call_later(SILENCE_SECONDS, self._close_silent, handler)
        super().connection_made(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._by_age.pop(handler, None)
        self._silent.discard(handler)
        super().connection_lost(handler, exc)

    def _close_silent(self, handler: web.RequestHandler) -> None:
        if handler in self._silent:
            handler.force_close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        return await self._answer_to(request)


class MetricsListener:
    """One listening socket. `start`, and `stop` at the end."""

    def __init__(self, settings: MetricsSettings, registry: CollectorRegistry) -> None:
        """In a running event loop."""
        self._settings = settings
        self._registry = registry
        self._loopback = settings.address.is_loopback
        self._runner = web.ServerRunner(_BoundedServer(self._answer), shutdown_timeout=SHUTDOWN_SECONDS)

    async def start(self) -> None:
        """Raises OSError where the address cannot be had."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, str(self._settings.address), self._settings.port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        log.info("metrics at http://%s:%d/metrics", f"[{host}]" if ":" in host else host, port)
        if not self._loopback:
            log.warning("metrics: whoever reaches %s reads the functions' names", self._settings.listen)

    async def stop(self) -> None:
        """Closes the socket and every connection."""
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        """On loopback it answers under loopback's names only: a web page that makes its own name
        point here (DNS rebinding) must not read which functions there are."""
        if self._loopback and not is_loopback_host(request.headers.get("Host", "")):
            raise web.HTTPForbidden(text="metrics are served under a loopback host name only\n")
        if request.path != "/metrics":
            raise web.HTTPNotFound
        if request.method not in ("GET", "HEAD"):
            raise web.HTTPMethodNotAllowed(request.method, ("GET", "HEAD"))
        # Whatever is asked for: OpenMetrics takes the event loop twice as long and would say no more.
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

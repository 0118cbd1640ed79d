"""GET /metrics over HTTP, on the sidecar's own event loop.

Imported only where it is configured. Knows HTTP and prometheus_client's formats; nothing of what is told."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from lambda_sidecar.local.access import is_loopback_host
from lambda_sidecar.metrics_settings import MetricsSettings

log = logging.getLogger(__name__)

# Nobody waits long for an answer that takes milliseconds.
SHUTDOWN_SECONDS = 1.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class MetricsListener:
    """One listening socket. `start`, and `stop` at the end."""

    def __init__(self, settings: MetricsSettings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._registry = registry
        self._loopback = settings.address.is_loopback
        application = web.Application(middlewares=[self._check_host])
        application.router.add_get("/metrics", self._metrics)  # and HEAD
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)

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

    @web.middleware
    async def _check_host(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What listens on loopback answers under loopback's names only: a web page that makes its own name
        point here (DNS rebinding) must not read which functions there are."""
        if self._loopback and not is_loopback_host(request.headers.get("Host", "")):
            raise web.HTTPForbidden(text="metrics are served under a loopback host name only\n")
        return await handler(request)

    async def _metrics(self, _request: web.Request) -> web.Response:
        # Whatever is asked for: OpenMetrics takes the event loop twice as long and would tell no more.
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

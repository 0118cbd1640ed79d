"""Checks now and then whether the sidecar can serve, and sets gRPC's health status when that has changed.

Knows neither what a defect is nor how calls are served."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from grpc_health.v1 import health, health_pb2

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
# So many looks one after the other must have found a defect.
LOOKS = 3

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthWatch:
    """`names` are the services whose status it sets."""

    def __init__(
        self, defect: Callable[[], str | None], servicer: health.aio.HealthServicer, names: tuple[str, ...]
    ) -> None:
        """`defect` says why the sidecar cannot serve, or None."""
        self._defect = defect
        self._servicer = servicer
        self._names = names
        self._found = 0
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """From now on it serves, as long as nothing else is found."""
        await self._tell(_SERVING)
        self._looking = asyncio.create_task(self._look_again_and_again(), name="health watch")

    async def stop(self) -> None:
        """Looks no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """One look."""
        defect = self._defect()
        if defect is None:
            if self._found >= LOOKS:
                log.warning("serving again")
                await self._tell(_SERVING)
            self._found = 0
            return
        self._found += 1
        if self._found == LOOKS:
            log.error("not serving: %s; this is a defect of the sidecar, a restart helps", defect)
            await self._tell(_NOT_SERVING)

    async def _tell(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in self._names:
            await self._servicer.set(name, status)

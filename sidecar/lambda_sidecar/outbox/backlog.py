"""How much waits, asked of the server now and then for those who watch it.

Knows a clock and one statement, on a connection of its own; delivery goes on meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.log.format import log_defect
from lambda_sidecar.outbox import queries
from lambda_sidecar.outbox.numbers import WAITING_MAX
from lambda_sidecar.outbox.session import Session, SessionLost, StatementFailed, connect

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 15.0
# Where counting takes long, as with large payloads that are not in memory, it takes no more of the time.
SHARE = 0.01


class BacklogWatch:
    """`latest` is renewed as long as `watching` lasts, and None before and after."""

    def __init__(self, settings: OutboxSettings) -> None:
        self._settings = settings
        self.latest: queries.Backlog | None = None

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch(), name="outbox backlog")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.latest = None

    async def _watch(self) -> None:
        while True:
            try:
                await self._ask_again_and_again()
            except (SessionLost, StatementFailed) as error:
                log.debug("outbox: the backlog cannot be counted: %s", error)
            except Exception as error:  # a defect of ours must not end the watch
                log_defect(log, error)
            self.latest = None
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _ask_again_and_again(self) -> None:
        """Raises SessionLost and StatementFailed."""
        session: Session | None = None
        try:
            session = await connect(self._settings)
            while True:
                began = time.monotonic()
                self.latest = await queries.backlog(session, most=WAITING_MAX)
                took = time.monotonic() - began
                await asyncio.sleep(max(INTERVAL_SECONDS, took / SHARE))
        finally:
            if session is not None:
                await session.close()

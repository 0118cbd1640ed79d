"""How much waits, asked of the server now and then for those who watch it.

Knows a clock and one statement, on a connection of its own; delivery goes on meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.log.format import log_defect
from lambda_sidecar.outbox.ending import end
from lambda_sidecar.outbox.numbers import WAITING_MAX
from lambda_sidecar.outbox.session import Session, connect
from lambda_sidecar.outbox.session_errors import SessionLost, StatementFailed

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 15.0
# Where counting takes long, as with large payloads that are not in memory, it takes no more of the time.
SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits at one moment. `oldest_seconds`: how long the oldest row has been due, 0 if none is."""

    waiting: int
    oldest_seconds: float


class BacklogWatch:
    """`latest` is renewed as long as `watching` lasts, and None before and after."""

    def __init__(self, settings: OutboxSettings) -> None:
        self._settings = settings
        self.latest: Backlog | None = None

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch(), name="outbox backlog")
        try:
            yield
        finally:
            await end(task)
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
                self.latest = await _count(session, most=WAITING_MAX)
                took = time.monotonic() - began
                await asyncio.sleep(max(INTERVAL_SECONDS, took / SHARE))
        finally:
            if session is not None:
                await session.close()


async def _count(session: Session, *, most: int) -> Backlog:
    """Counts up to `most` rows. A row is due once it is written, once its time has come, or once it is behind
    others of its group_key: so the last are seen that a row before them holds up."""
    count = (
        "SELECT COUNT(*) FROM ((SELECT 1 FROM lambda_udf.outbox) UNION ALL"
        f" (SELECT 1 FROM lambda_udf.outbox_waiting) LIMIT {most}) AS counted"
    )
    oldest = (
        "SELECT MIN(moment) FROM ("
        "(SELECT created_at AS moment FROM lambda_udf.outbox ORDER BY id LIMIT 1) UNION ALL"
        " (SELECT MIN(due_at) FROM lambda_udf.outbox_waiting) UNION ALL"
        " (SELECT created_at + INTERVAL COALESCE(options->>'$.delay_seconds', 0) SECOND"
        " FROM lambda_udf.outbox_waiting WHERE due_at IS NULL ORDER BY id LIMIT 1)) AS moments"
    )
    age = f"TIMESTAMPDIFF(MICROSECOND, ({oldest}), NOW(6)) / 1000000"
    waiting, seconds = await session.row(f"SELECT ({count}), {age}") or (0, None)
    return Backlog(int(waiting), max(0.0, float(seconds or 0.0)))

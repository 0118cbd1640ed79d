"""Stands for election on a server that goes and comes back, and has it delivered as long as it is elected.

Knows connections and the election; nothing of rows."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any

from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.log.format import log_defect
from lambda_sidecar.outbox import election
from lambda_sidecar.outbox.ending import end
from lambda_sidecar.outbox.session import Session, connect
from lambda_sidecar.outbox.session_errors import SessionLost, StatementFailed

log = logging.getLogger(__name__)

# Until a server that is gone is tried again, or one that may not be delivered is looked at again.
RETRY_MIN, RETRY_MAX = 0.1, 5.0


class Candidacy:
    """`run` it as a task."""

    def __init__(
        self,
        settings: OutboxSettings,
        *,
        deliver: Callable[[Session], Coroutine[Any, Any, None]],
        is_over: Callable[[], None],
    ) -> None:
        """`deliver` is called with a session of its own when this sidecar is elected, and is to return soon
        after it `is_elected` no more; `is_over` is called at that moment. Once it has done some of its work
        it says that this sidecar `becomes` one that delivers: the next election is soon then."""
        self._settings = settings
        self._deliver = deliver
        self._is_over = is_over
        self._tenure: election.Tenure | None = None
        """Nothing is begun any more once the lock is lost: another sidecar may have it."""
        self._ask_again = asyncio.Event()
        self.state = "not started"
        """In words, for people."""

    @property
    def is_delivering(self) -> bool:
        """Whether this sidecar is the one that delivers."""
        return self.state == "delivers"

    @property
    def is_elected(self) -> bool:
        """As far as it has been heard."""
        return self._tenure is not None

    @property
    def may_begin(self) -> bool:
        """Whether nobody else can be elected: not where nothing has been heard for long."""
        return time.monotonic() < self.lease()()

    def lease(self) -> Callable[[], float]:
        """Says, whenever it is asked, until when nobody else can be elected, on time.monotonic()'s clock. It
        is this election's: once that is over it is over, too, even if this sidecar is elected anew, for
        another one may have delivered in between."""
        return _nobodys if self._tenure is None else self._tenure.sure_until

    def ask_again(self) -> None:
        """The server says that it takes no writes: the election is due at once."""
        self._ask_again.set()

    def becomes(self, state: str) -> None:
        """Logs it once."""
        if state != self.state:
            self.state = state
            log.info("outbox: %s", state)

    async def run(self) -> None:
        """Until cancelled."""
        wait = RETRY_MIN
        while True:
            lock = None
            try:
                lock = await connect(self._settings)
                await self._stand_by(lock)
                wait = RETRY_MIN
            except (SessionLost, StatementFailed) as error:
                if self.is_delivering:  # it has worked; else it has been so for some time
                    wait = RETRY_MIN
                self.becomes(f"{self._settings}: {error}")
            except Exception as error:  # a defect of ours must not end the deliverer
                log_defect(log, error)
                self.becomes("internal failure")
            finally:
                if lock is not None:
                    await lock.close()
            await asyncio.sleep(wait)
            wait = min(2 * wait, RETRY_MAX)

    async def _stand_by(self, lock: Session) -> None:
        """Delivers when that is this sidecar's business, until the server takes no writes. `lock` is for the
        election alone: it is never busy with anything else. Raises SessionLost and StatementFailed."""
        while not (reason := await election.obstacle(lock)):
            tenure = election.Tenure(lock)
            if await election.take_lock(lock):
                await self._deliver_while_elected(tenure)
            else:
                self.becomes("another sidecar delivers")
        self.becomes(reason)
        await asyncio.sleep(RETRY_MAX)  # the name may stand for another server by then

    async def _deliver_while_elected(self, tenure: election.Tenure) -> None:
        """Raises SessionLost and StatementFailed."""
        self._tenure = tenure
        watching = asyncio.create_task(self._watch_election(tenure), name="outbox election")
        session = None
        try:
            session = await connect(self._settings)
            await self._deliver(session)
            await watching  # why it ended
        finally:
            self._tenure = None
            try:
                await end(watching)
            finally:
                if session is not None:
                    await session.close()

    async def _watch_election(self, tenure: election.Tenure) -> None:
        """Until it is not this sidecar's business any more. Raises SessionLost and StatementFailed."""
        try:
            await tenure.last(self._ask_again)
        finally:
            self._tenure = None
            self._is_over()


def _nobodys() -> float:
    return -math.inf

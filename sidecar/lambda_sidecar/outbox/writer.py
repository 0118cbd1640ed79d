"""Commits the statements that settle rows, on a connection of its own, as often as that has to be tried.

Knows connections, and how they fail; nothing of which rows are settled when, nor of what follows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.log.format import log_defect
from lambda_sidecar.outbox import reading
from lambda_sidecar.outbox.session import Session, connect
from lambda_sidecar.outbox.session_errors import SessionLost, StatementFailed
from lambda_sidecar.outbox.transaction import Settled, dropped, statements

log = logging.getLogger(__name__)

# Until a server that is gone is tried again.
RETRY_MIN, RETRY_MAX = 0.1, 5.0
# So often one batch may lose a connection that was there: it may be its own doing (max_allowed_packet).
LOSSES_MAX = 3
# Of a statement that keeps an answer, beside the answer, which is written in hexadecimal.
STATEMENT_BYTES = 4096
# Statements are written some at a time: those for a batch take up to 20 ms, and parts of answers are long.
STATEMENTS_AT_ONCE, CHARACTERS_AT_ONCE = 25, 1024 * 1024

Answer = TypeVar("Answer")


class Writer:
    """`close` it at the end."""

    def __init__(self, settings: OutboxSettings, is_read_only: Callable[[], None]) -> None:
        """`is_read_only` is called when the server takes no writes."""
        self._settings = settings
        self._is_read_only = is_read_only
        self._session: Session | None = None
        self._connecting = asyncio.Lock()
        self.failure: StatementFailed | SessionLost | None = None
        """Why the last batch was refused; None: a defect."""
        self.duplicates = 0
        """Rows dropped because of their deduplication_key."""

    async def be_ready(self) -> None:
        """Connects. Raises SessionLost."""
        await self._connected()

    @property
    def is_rows_fault(self) -> bool:
        """Whether the last batch was refused for the values in it."""
        return isinstance(self.failure, StatementFailed) and self.failure.is_of_data

    @property
    def has_met_lock(self) -> bool:
        """Whether the last batch was refused because somebody else has locked what it writes."""
        return isinstance(self.failure, StatementFailed) and self.failure.has_waited_for_lock

    async def write(self, batch: list[Settled]) -> bool:
        """Tries until it is committed; False if the server refuses it, and `failure` has the reason."""
        wait, losses = RETRY_MIN, 0
        while True:
            try:
                wanted = await self._statements(batch)
                changed = await self._commit(wanted)
                break
            except SessionLost as error:
                log.debug("outbox: the connection that settles is lost: %s", error)
                losses += self._session is not None
                await self.close()
                if losses >= LOSSES_MAX:
                    self.failure = error
                    return False
            except StatementFailed as error:
                if error.is_read_only:
                    self._is_read_only()
                    await self.close()  # another one may have the server's name by now
                elif not error.may_be_repeated:
                    self.failure = error
                    return False
            except Exception as error:  # a defect of ours must not end the settlement
                log_defect(log, error)
                self.failure = None
                await self.close()
                return False
            await asyncio.sleep(wait)
            wait = min(2 * wait, RETRY_MAX)
        self.duplicates += dropped(batch, wanted, changed)
        return True

    async def locked(self, batch: list[Settled]) -> set[int]:
        """The ids of those that somebody else has locked at the moment, found without waiting; none where
        that cannot be asked."""
        rows = [row for row, _ in batch]
        return await self._answer(lambda session: reading.locked(session, rows), unknown=set())

    async def is_too_large(self, answer: bytes) -> bool:
        """Whether the connection was lost because the statement is larger than a packet may be: the server
        gives no other answer to that."""
        if not isinstance(self.failure, SessionLost):
            return False
        maximum = await self._answer(
            lambda session: session.value("SELECT @@max_allowed_packet"), unknown=None
        )
        return maximum is not None and 2 * len(answer) + STATEMENT_BYTES > int(maximum)

    async def _answer(self, ask: Callable[[Session], Awaitable[Answer]], *, unknown: Answer) -> Answer:
        """To a question to the server; `unknown` where it cannot be asked."""
        try:
            return await ask(await self._connected())
        except StatementFailed as error:
            log.debug("outbox: the server does not say what stands in the way: %s", error)
        except SessionLost as error:
            log.debug("outbox: the connection that settles is lost: %s", error)
            await self.close()
        except Exception as error:  # a defect of ours must not end the settlement
            log_defect(log, error)
            await self.close()
        return unknown

    async def close(self) -> None:
        """It connects again when there is something to write."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _statements(self, batch: list[Settled]) -> list[str]:
        wanted = []
        count = size = 0
        for statement in statements(batch, self._settings.deduplication_hours):
            wanted.append(statement)
            count, size = count + 1, size + len(statement)
            if count >= STATEMENTS_AT_ONCE or size >= CHARACTERS_AT_ONCE:
                count = size = 0
                await asyncio.sleep(0)
        return wanted

    async def _commit(self, wanted: list[str]) -> list[int]:
        """How many rows each statement changed."""
        session = await self._connected()
        if len(wanted) == 1:
            return [await session.run(wanted[0])]
        return await session.transaction(wanted)

    async def _connected(self) -> Session:
        async with self._connecting:
            if self._session is None:
                self._session = await connect(self._settings)
            return self._session

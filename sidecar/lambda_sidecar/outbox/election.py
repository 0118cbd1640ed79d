"""Whether this sidecar delivers a server's outbox: one sidecar does, and only where the server takes writes.

Knows a server's role and a lock on it; nothing of rows."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time

from lambda_sidecar.outbox.session import Session
from lambda_sidecar.outbox.session_errors import StatementFailed

# Of the whole server. It goes with the connection, so that a deliverer that dies is replaced at once. Any
# session may take a lock whose name its user knows: this one's has a secret token, which no statement holds.
LOCK = "CONCAT('lambda_udf.outbox.', (SELECT token FROM lambda_udf.outbox_lock))"
LOCK_SECONDS = 5
# The server ends the session of a sidecar that is not heard of: its host may be gone without a word.
SILENT_SECONDS = 30
# So long after it was asked for something, the lock's connection has not been ended for silence.
LEASE_SECONDS = 25.0
# How often the deliverer makes sure that it still may deliver, and that the lock's connection is there.
ELECTION_SECONDS, LOOK_SECONDS = 5.0, 0.1
# Of several primaries of one group the least delivers: each has the whole outbox.
_GROUP = """
SELECT COUNT(*) = 0
  OR MIN(IF(MEMBER_STATE = 'ONLINE' AND MEMBER_ROLE = 'PRIMARY', MEMBER_ID, NULL)) = @@server_uuid
FROM performance_schema.replication_group_members WHERE MEMBER_ID <> '' AND MEMBER_STATE <> 'OFFLINE'"""


async def obstacle(session: Session) -> str | None:
    """Why nothing may be delivered from this server; None if it may. Raises SessionLost, StatementFailed."""
    if await session.value("SELECT @@global.read_only OR @@global.super_read_only"):
        return "the server is read-only"
    try:
        is_first = await session.value(_GROUP)
    except StatementFailed:
        return None  # the table may not be read: secondaries of a group are read-only
    return None if is_first else "the server is not the primary of its group"


async def sees_group(session: Session) -> bool:
    """Whether the account may read who is in the server's group. Raises SessionLost."""
    try:
        await session.value(_GROUP)
    except StatementFailed:
        return False
    return True


async def holder(session: Session) -> int | None:
    """The CONNECTION_ID() that has the lock; None: nobody delivers. Raises SessionLost, StatementFailed."""
    found = await session.value(f"SELECT IS_USED_LOCK({LOCK})")
    return None if found is None else int(found)


async def has_lock(session: Session) -> bool:
    """Whether it is this session that has the lock. The tables may have been made anew since it took one,
    with another token: then it has a lock that nobody asks for. Raises SessionLost, StatementFailed."""
    return bool(await session.value(f"SELECT IS_USED_LOCK({LOCK}) <=> CONNECTION_ID()"))


async def take_lock(session: Session) -> bool:
    """Waits for it for LOCK_SECONDS; once it is there it stays until the session's end, which comes too if
    nothing is asked on it for SILENT_SECONDS. Raises SessionLost, StatementFailed."""
    await session.run(f"SET SESSION wait_timeout = {SILENT_SECONDS}")
    return bool(await session.value(f"SELECT GET_LOCK({LOCK}, {LOCK_SECONDS})"))


class Tenure:
    """The time for which one lock is held: from before it is asked for until somebody else may have it."""

    def __init__(self, lock: Session) -> None:
        self._lock = lock
        self._asked = time.monotonic()

    def sure_until(self) -> float:
        """Until when nobody else can have the lock, as far as that is known without asking the server, on
        time.monotonic()'s clock: it may have given it away where this process stood still, or the network
        did. Later each time that the server has answered; long ago, once this is over."""
        return -math.inf if self._lock.is_over else self._asked + LEASE_SECONDS

    async def last(self, ask_again: asyncio.Event) -> None:
        """Until the server is not to be delivered any more; `ask_again`: it is to be asked at once. Raises
        SessionLost and StatementFailed."""
        try:
            while True:
                ask_again.clear()
                asked = time.monotonic()
                if await obstacle(self._lock) or not await has_lock(self._lock):
                    return
                self._asked = asked
                while time.monotonic() < asked + ELECTION_SECONDS and not self._lock.is_over:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_SECONDS):
                            await ask_again.wait()
                            break
        finally:
            self._asked = -math.inf

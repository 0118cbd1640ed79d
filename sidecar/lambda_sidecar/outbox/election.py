"""Whether this sidecar delivers a server's outbox: one sidecar does, and only where the server takes writes.

Knows a server's role and a lock on it; nothing of rows."""

from __future__ import annotations

from lambda_sidecar.outbox.session import Session, StatementFailed

# Of the whole server. It goes with the connection, so that a deliverer that dies is replaced at once. Any
# session may take a lock whose name its user knows: this one has a secret token, which no statement's text
# holds.
LOCK = "CONCAT('lambda_udf.outbox.', (SELECT token FROM lambda_udf.outbox_lock))"
LOCK_SECONDS = 5
# Of several primaries of one group the least delivers: each has the whole outbox.
_GROUP = """
SELECT COUNT(*) = 0
  OR MIN(IF(MEMBER_STATE = 'ONLINE' AND MEMBER_ROLE = 'PRIMARY', MEMBER_ID, NULL)) = @@server_uuid
FROM performance_schema.replication_group_members WHERE MEMBER_ID <> ''"""


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


async def take_lock(session: Session) -> bool:
    """Waits for it for LOCK_SECONDS; once it is there it stays until the session's end."""
    return bool(await session.value(f"SELECT GET_LOCK({LOCK}, {LOCK_SECONDS})"))

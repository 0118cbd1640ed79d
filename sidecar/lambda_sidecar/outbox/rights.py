"""Which of the rights that delivery needs the outbox's account lacks.

Changes nothing: rights are found out by EXPLAIN, which needs those of the statement that it explains. Knows
nothing of what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lambda_sidecar.outbox import schema
from lambda_sidecar.outbox.session import Session
from lambda_sidecar.outbox.session_errors import StatementFailed

_PROBES = {
    "SELECT": "EXPLAIN SELECT {column} FROM lambda_udf.{table}",
    "INSERT": "EXPLAIN INSERT INTO lambda_udf.{table} ({column}) VALUES (0)",
    "UPDATE": "EXPLAIN UPDATE lambda_udf.{table} SET {column} = 0",
    "DELETE": "EXPLAIN DELETE FROM lambda_udf.{table}",
}


async def lacking(session: Session, *, probed: Sequence[str] = schema.ALL_RIGHTS) -> dict[str, list[str]]:
    """By table, of the rights that are to be `probed`; tables with all of them are left out. Raises
    SessionLost and StatementFailed, the latter where a table is not there."""
    found = {table: await _lacking(session, table, probed) for table in schema.RIGHTS}
    return {table: rights for table, rights in found.items() if rights}


async def _lacking(session: Session, table: str, probed: Sequence[str]) -> list[str]:
    column, rights = schema.RIGHTS[table]
    found = []
    for right in rights:
        if right not in probed:
            continue
        try:
            await session.rows(_PROBES[right].format(table=table, column=column))
        except StatementFailed as error:
            if error.is_right_missing:
                found.append(right)
            elif not error.has_waited_for_lock:  # as for LOCK TABLES; mysqld looks at rights first
                raise
    return found


async def grants(session: Session, lacking: Mapping[str, Sequence[str]]) -> list[str]:
    """The statements that give the session's account what `lacking` has found. Raises SessionLost and
    StatementFailed."""
    account = quoted(await account_of(session))
    return [
        f"GRANT {', '.join(rights)} ON lambda_udf.{table} TO {account}" for table, rights in lacking.items()
    ]


async def account_of(session: Session) -> str:
    """Whose rights count: user@host. Raises SessionLost and StatementFailed."""
    return str(await session.value("SELECT CURRENT_USER()"))


def quoted(account: str) -> str:
    """As GRANT takes it."""
    user, _, host = account.rpartition("@")
    return "@".join("'" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in (user, host))

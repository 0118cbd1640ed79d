"""One connection to MySQL for short statements: a value comes back, or the connection is over.

Knows mysql-connector-python's asyncio API; nothing of the outbox's tables, nor what an error means."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import mysql.connector
import mysql.connector.aio
from mysql.connector import errorcode
from mysql.connector.constants import ClientFlag

from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.outbox.session_errors import SessionLost, StatementFailed, failure_of

CONNECT_SECONDS, CLOSE_SECONDS = 5.0, 1.0
# Without the attributes of performance_schema.session_connect_attrs: to name this machine's system, the
# connector runs lsb_release for each connection and waits for it; the event loop would stand still for 10 ms.
_CLIENT_FLAGS = ClientFlag.get_default() & ~ClientFlag.CONNECT_ARGS
# A statement of ours takes milliseconds; one that waits for a lock gives up after LOCK_SECONDS.
STATEMENT_SECONDS = 30.0
# While somebody else has locked a row of ours, the others wait once; then they are settled without it. Tables
# are locked, too: by LOCK TABLES, or by ALTER TABLE behind a reader. Of those a server gives up after a year.
LOCK_SECONDS = 1
# Locks on rows alone, none on the gaps between them, in which others insert. Where the binary log holds
# statements, InnoDB refuses that to whoever writes or locks (refman, "Transaction Isolation Levels"; error
# 1665).
_ISOLATION = "IF(@@log_bin AND @@binlog_format = 'STATEMENT', 'REPEATABLE-READ', 'READ-COMMITTED')"

# Variables that a server may have otherwise for all: with completion_type CHAIN a COMMIT begins the next
# transaction, and a statement by itself would not be committed; the others cut one off or refuse it.
_OWN_WAYS = (
    "completion_type = 'NO_CHAIN'",
    "transaction_read_only = OFF",
    "max_execution_time = 0",
    "sql_select_limit = 18446744073709551615",
    "sql_big_selects = ON",
    f"innodb_lock_wait_timeout = {LOCK_SECONDS}",
    f"lock_wait_timeout = {LOCK_SECONDS}",
    f"transaction_isolation = {_ISOLATION}",
)


class Session:
    """Made by `connect`; `close` it, also after SessionLost."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @property
    def is_over(self) -> bool:
        """Whether the server has closed the connection, as far as that is known without asking it."""
        return bool(self._connection._socket._reader.at_eof())

    async def value(self, statement: str) -> Any:
        """The first value of the first row; None where there is no row. Raises SessionLost and
        StatementFailed."""
        row = await self.row(statement)
        return None if row is None else row[0]

    async def row(self, statement: str) -> tuple[Any, ...] | None:
        """The first row. Raises SessionLost and StatementFailed."""
        rows = await self.rows(statement)
        return rows[0] if rows else None

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """All rows. Raises SessionLost and StatementFailed."""
        async with self._errors():
            await self._connection.cmd_query(statement)
            rows: list[tuple[Any, ...]]
            rows, _ = await self._connection.get_rows()
        return rows

    async def run(self, statement: str) -> int:
        """A statement without rows; how many it changed. Raises SessionLost and StatementFailed."""
        async with self._errors():
            result = await self._connection.cmd_query(statement)
        changed: int = result.get("affected_rows", 0)
        return changed

    async def transaction(self, statements: list[str]) -> list[int]:
        """All of them, or none; how many rows each changed. Raises SessionLost, after which nobody knows, and
        StatementFailed."""
        await self.run("START TRANSACTION")
        try:
            changed = [await self.run(statement) for statement in statements]
            await self.run("COMMIT")
        except StatementFailed:
            await self.run("ROLLBACK")
            raise
        return changed

    async def close(self) -> None:
        """The server is told so, if it listens. It raises nothing."""
        try:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._connection.close()
        finally:  # what is closed already stays so
            await self._connection.shutdown()

    @contextlib.asynccontextmanager
    async def _errors(self) -> Any:
        try:
            async with asyncio.timeout(STATEMENT_SECONDS):
                yield
        except mysql.connector.Error as error:
            raise failure_of(error) from None
        except (TimeoutError, OSError, EOFError) as error:
            raise SessionLost(str(error) or type(error).__name__) from None


async def connect(settings: OutboxSettings) -> Session:
    """With a session of known ways, whatever the server's defaults are: UTC, strict, utf8mb4, READ COMMITTED
    where it can be, and nothing is committed later than asked. Raises SessionLost."""
    options: dict[str, Any] = {
        "user": settings.user,
        "password": _password(settings),
        "charset": "utf8mb4",
        "autocommit": True,
        "time_zone": "+00:00",
        "sql_mode": "STRICT_ALL_TABLES",
        "connection_timeout": int(CONNECT_SECONDS),
        "client_flags": _CLIENT_FLAGS,
    }
    if settings.mysql_socket is not None:
        options["unix_socket"] = str(settings.mysql_socket)
    else:
        options |= {"host": settings.host, "port": settings.port}
    if settings.ssl_ca is not None:
        options |= {"ssl_ca": str(settings.ssl_ca), "ssl_verify_cert": True, "ssl_verify_identity": True}
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await _opened(options)
    except (mysql.connector.Error, StatementFailed) as error:
        code = error.code if isinstance(error, StatementFailed) else error.errno
        raise SessionLost(getattr(error, "msg", None) or str(error), code) from None
    except TimeoutError:
        raise SessionLost("no answer", errorcode.CR_CONNECTION_ERROR) from None
    except OSError as error:
        raise SessionLost(error.strerror or str(error), errorcode.CR_CONNECTION_ERROR) from None


async def _opened(options: dict[str, Any]) -> Session:
    """Whatever ends it, as a server that stands still or a cancellation, no descriptor is left: the connector
    closes its own after an error, and not where it is cancelled."""
    connection = mysql.connector.aio.MySQLConnection(**options)
    try:
        await connection.connect()
        session = Session(connection)
        await session.run("SET SESSION " + ", SESSION ".join(_OWN_WAYS))
    except BaseException:
        await connection.shutdown()
        raise
    return session


def _password(settings: OutboxSettings) -> str:
    if settings.password_file is None:
        return ""
    try:
        return settings.password_file.read_text().split("\n", 1)[0]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise SessionLost(f"{settings.password_file}: {reason}") from None

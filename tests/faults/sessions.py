"""A row's session: how it calls, and what its user sees of that; and mysqld as that session's server.

Knows SQL and errors; nothing of sidecars and endpoints."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.component import INSTALL
from tests.support.stack import CREATE_FUNCTIONS, execute
from tests.support.waiting import wait_until

from lambda_sidecar.testing.mysqld import Mysqld

# The three limits, so far from each other that a machine that does other things as well cannot confuse them.
# The SDK's random pauses between its three attempts take 3 s at most.
CONNECT_MS, TIMEOUT_MS = 700, 3_600
# No statement may last longer, whatever happens.
HANGS_SECONDS = 20
CALL = "SELECT lambda_sync('f', '{}')"
_PREFIX = "lambda_sync UDF failed; "


@dataclass(frozen=True)
class Seen:
    """How a statement ended: with an answer, which is empty here, or with an error's number and text."""

    error: str
    seconds: float
    invoked: str = ""
    """How often, where a number alone does not say it."""


class Sessions:
    """`path` is the socket, as the row's sessions know it."""

    def __init__(self, mysqld: Mysqld) -> None:
        self.mysqld = mysqld
        self.path = Path()
        self._pool = ThreadPoolExecutor(8)
        self._sql = CALL
        self._session: MySQLConnectionAbstract | None = None

    def connect(self) -> MySQLConnectionAbstract:
        return self.mysqld.connect()

    def query(self, sql: str) -> None:
        """In a session of its own."""
        with self._open() as session:
            execute(session, sql)

    def call(self, sql: str = CALL) -> Seen:
        """In the row's session, to its end."""
        return self.start(sql).result(HANGS_SECONDS)

    def start(self, sql: str = CALL, session: MySQLConnectionAbstract | None = None) -> Future[Seen]:
        """In the row's session or in that one."""
        chosen = session or self._session
        assert chosen is not None
        if session is None:
            self._sql = sql
        return self._pool.submit(self.see, chosen, sql)

    def warm_up(self) -> None:
        """Until a call finds an idle connection to the sidecar; those to the row before's are given up one by one."""
        wait_until(lambda: self._opens() == 0, what="an idle connection")

    def _opens(self) -> int:
        """How many connections a call opens."""
        before = self._opened()
        self.call()
        return self._opened() - before

    def _opened(self) -> int:
        with self._open() as session:
            ((_, number),) = execute(session, "SHOW GLOBAL STATUS LIKE 'Lambda_udf_connections_opened'")
        return int(number)

    @property
    def session_number(self) -> int:
        assert self._session is not None
        return int(self._session.connection_id or 0)

    def see(self, session: MySQLConnectionAbstract, sql: str) -> Seen:
        began = time.monotonic()
        try:
            execute(session, sql)
            error = ""
        except mysql.connector.Error as failure:
            text = str(failure.msg).removeprefix(_PREFIX).replace(str(self.path), "…")
            text = text.replace(f"{TIMEOUT_MS} ms", "… ms")
            error = f"{failure.errno}: {text.partition(' at ')[0] if failure.errno == 2013 else text}"
        return Seen(error, time.monotonic() - began)

    def next_statement(self) -> str:
        """How the same statement does in the same session, once the fault is over."""
        new = "" if self._session is not None and self._session.is_connected() else " in a new session"
        if new:
            self._session = self.connect()
        seen = [self.call(self._sql)]
        if seen[0].error == "":
            return "works" + new
        wait_until(lambda: self._goes_well(seen), seconds=3, what=f"a call that works, but {seen}")
        return "works after a second" + new

    def _goes_well(self, seen: list[Seen]) -> bool:
        seen.append(self.call(self._sql))
        return seen[-1].error == ""

    def uptime(self) -> tuple[int, int]:
        """mysqld's process, and for how many seconds it has run."""
        with self._open() as session:
            ((_, seconds),) = execute(session, "SHOW GLOBAL STATUS LIKE 'Uptime'")
        return self.mysqld.pid, int(seconds)

    @contextlib.contextmanager
    def _open(self) -> Iterator[MySQLConnectionAbstract]:
        with contextlib.closing(self.connect()) as session:
            yield session

    def _hang_up(self) -> None:
        if self._session is not None:
            with contextlib.suppress(mysql.connector.Error, OSError):
                self._session.close()

    @contextlib.contextmanager
    def patience(self, seconds: int) -> Iterator[None]:
        """Both limits of the row's session are so long, until the block ends."""
        for name in ("timeout_ms", "connect_timeout_ms"):
            self.query(f"SET GLOBAL lambda_udf.{name} = {1000 * seconds}")
        self.call_anew()
        try:
            yield
        finally:
            for name in ("timeout_ms", "connect_timeout_ms"):
                self.query(f"SET GLOBAL lambda_udf.{name} = DEFAULT")
            self.call_anew()

    def call_anew(self) -> None:
        """The row's session is a new one."""
        self._hang_up()
        self._session = self.connect()

    def close(self) -> None:
        self._hang_up()
        self._pool.shutdown()


def start_mysqld(server: Mysqld) -> None:
    """With what calls need, if it is not there yet."""
    server.start()
    with contextlib.closing(server.connect()) as session:
        for sql in CREATE_FUNCTIONS:
            with contextlib.suppress(mysql.connector.DatabaseError):  # 1125: it exists
                execute(session, sql)
        with contextlib.suppress(mysql.connector.DatabaseError):  # 3529: it is installed
            execute(session, INSTALL)

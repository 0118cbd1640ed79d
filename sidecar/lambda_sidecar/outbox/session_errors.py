"""How a statement fails, or the connection with it, and what MySQL's number of the error means for delivery.

Knows MySQL's errors; sends nothing."""

from __future__ import annotations

from collections.abc import Sequence

import mysql.connector
from mysql.connector import errorcode

# The transaction is over: a deadlock, or a conflict with another member of a group.
_AGAIN = {errorcode.ER_LOCK_DEADLOCK, errorcode.ER_TRANSACTION_ROLLBACK_DURING_COMMIT}
# The server says so itself: mysqld stops, or the connection was killed.
_GONE = {
    errorcode.ER_SERVER_SHUTDOWN,
    errorcode.ER_QUERY_INTERRUPTED,
    errorcode.ER_CLIENT_INTERACTION_TIMEOUT,
}
_RIGHT_MISSING = {
    errorcode.ER_TABLEACCESS_DENIED_ERROR,
    errorcode.ER_COLUMNACCESS_DENIED_ERROR,
    errorcode.ER_DBACCESS_DENIED_ERROR,
}
# The server says so when it becomes read-only, as after a failover, or is started with skip options.
_READ_ONLY = {errorcode.ER_OPTION_PREVENTS_STATEMENT, errorcode.ER_READ_ONLY_MODE}
# The same values will be refused the next time.
_OF_DATA = {
    errorcode.ER_TRUNCATED_WRONG_VALUE,
    errorcode.ER_WARN_DATA_OUT_OF_RANGE,
    errorcode.ER_DATA_TOO_LONG,
    errorcode.ER_DUP_ENTRY,
    errorcode.ER_NET_PACKET_TOO_LARGE,
    errorcode.ER_BAD_NULL_ERROR,
    errorcode.ER_TRUNCATED_WRONG_VALUE_FOR_FIELD,
}
_NOT_THERE = {errorcode.ER_NO_SUCH_TABLE, errorcode.ER_BAD_DB_ERROR}


class SessionLost(Exception):
    """The connection is over, or could not be made; a new one may be tried. The text says why."""

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self._code = code

    @property
    def is_unreachable(self) -> bool:
        """Nobody answers there."""
        return self._code in (errorcode.CR_CONNECTION_ERROR, errorcode.CR_CONN_HOST_ERROR)


class StatementFailed(Exception):
    """The server refused a statement: `code` is MySQL's error number. The connection goes on; a transaction
    was rolled back."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def is_locked(self) -> bool:
        """Somebody else has a lock for which the statement does not wait."""
        return self.code == errorcode.ER_LOCK_NOWAIT

    @property
    def has_waited_for_lock(self) -> bool:
        """Somebody else has a lock, and has kept it for session.py's LOCK_SECONDS."""
        return self.code == errorcode.ER_LOCK_WAIT_TIMEOUT

    @property
    def may_be_repeated(self) -> bool:
        """The transaction is over, and may be tried again at once."""
        return self.code in _AGAIN

    @property
    def is_read_only(self) -> bool:
        """The server takes no writes."""
        return self.code in _READ_ONLY

    @property
    def is_of_data(self) -> bool:
        """A row's own values are refused, and will be again."""
        return self.code in _OF_DATA

    @property
    def is_right_missing(self) -> bool:
        """The account may not do that."""
        return self.code in _RIGHT_MISSING

    @property
    def is_not_there(self) -> bool:
        """There is no such table, or no such database."""
        return self.code in _NOT_THERE


def packet_too_small() -> StatementFailed:
    """Not even one row fits into what the server writes."""
    return StatementFailed(errorcode.ER_NET_PACKET_TOO_LARGE, "max_allowed_packet is too small for an event")


def rights_missing(grants: Sequence[str]) -> StatementFailed:
    """Delivery needs what these statements would give."""
    text = f"the account lacks rights: {'; '.join(grants)}"
    return StatementFailed(errorcode.ER_TABLEACCESS_DENIED_ERROR, text)


def failure_of(error: mysql.connector.Error) -> SessionLost | StatementFailed:
    """What the connector's error is: the server's answer to a statement, or the end of the connection."""
    text = error.msg or str(error)
    if error.sqlstate is not None and error.errno not in _GONE and not _is_of_client(error.errno):
        return StatementFailed(error.errno, text)
    return SessionLost(text)


def _is_of_client(number: int) -> bool:
    """The connector's own errors: MySQL keeps 2000 to 2999 for clients. A server's are below and above."""
    return 2000 <= number < 3000

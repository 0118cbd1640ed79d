"""Waits until no statement is in our functions: before that they cannot be dropped safely.

Only looks; keeps no statement out and changes nothing."""

from __future__ import annotations

import time

from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.install.server_state import statements_in_use

# Short calls end within that time; the operator decides about a long one.
_WAIT_SECONDS = 3.0
_POLL_SECONDS = 0.01


def becomes_idle(connection: MySQLConnectionAbstract) -> bool:
    """Waits for a moment without a statement in our functions; False if there was none in time.

    It does not set lambda_udf.mode = 'deny' meanwhile: a session that begins then would keep that value."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while statements_in_use(connection):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def wait_until_idle(connection: MySQLConnectionAbstract) -> None:
    """Raises InstallError if there is no such moment in time."""
    if not becomes_idle(connection):
        raise in_use(connection)


def in_use(connection: MySQLConnectionAbstract) -> InstallError:
    """The error that says how many statements are in our functions."""
    count = max(statements_in_use(connection), 1)
    return InstallError(
        f"{count} statement(s) are in lambda functions now, so nothing was changed; "
        "let them end or KILL QUERY them (SHOW PROCESSLIST), then run this again"
    )

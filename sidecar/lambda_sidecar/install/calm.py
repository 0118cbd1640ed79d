"""A server on which no statement is in our functions: what dropping them needs.

Waits and looks; refuses nobody and changes nothing."""

from __future__ import annotations

import time

from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.install.server_state import statements_in_use

# Short calls end in that; for a long one the operator decides.
_WAIT_SECONDS = 3.0
_POLL_SECONDS = 0.01


def is_calm(connection: MySQLConnectionAbstract) -> bool:
    """Whether there was a moment without a statement in our functions; waits for one.

    Not by lambda_udf.mode = 'deny' meanwhile: a session that starts meanwhile would keep that."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while statements_in_use(connection):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def wait_for_calm(connection: MySQLConnectionAbstract) -> None:
    if not is_calm(connection):
        raise in_use(connection)


def in_use(connection: MySQLConnectionAbstract) -> InstallError:
    count = max(statements_in_use(connection), 1)
    return InstallError(
        f"{count} statement(s) are in lambda functions now, so nothing was changed; "
        "let them end or KILL QUERY them (SHOW PROCESSLIST), then run this again"
    )

"""A round trip from a session of mysqld to the sidecar and back: lambda_ping(), which invokes nothing.

Knows how SQL says what is wrong; not what to do about it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.install.connection import execute

# mysqld_error.h: ER_SP_DOES_NOT_EXIST, which is ER_NO_DB_ERROR in a session without a default schema;
# ER_SPECIFIC_ACCESS_DENIED_ERROR.
_UNKNOWN_FUNCTION = (1305, 1046)
_ACCESS_DENIED = 1227


class RoundTripFailed(Exception):
    """The text is the server's own."""

    def __init__(self, error: mysql.connector.Error) -> None:
        text = error.msg or str(error)
        self.is_old_library = error.errno in _UNKNOWN_FUNCTION
        """There is no lambda_ping(): the installed library is of an older release, or did not load."""
        self.is_no_privilege = error.errno == _ACCESS_DENIED
        # errors.py's text for an invocation type that a release does not know.
        self.is_old_sidecar = text.endswith("unknown invocation type")
        self.is_forbidden = text.endswith("Permission denied")
        self.is_nobody_there = text.endswith(("No such file or directory", "Connection refused"))
        super().__init__("the server has no lambda_ping()" if self.is_old_library else text)


@dataclass(frozen=True, slots=True)
class Answer:
    """Who answered."""

    version: str
    sidecar_id: str


def round_trip(connection: MySQLConnectionAbstract) -> Answer:
    """Raises RoundTripFailed."""
    try:
        ((text,),) = execute(connection, "SELECT lambda_ping()")
    except mysql.connector.Error as error:
        raise RoundTripFailed(error) from None
    said = json.loads(text)
    return Answer(said["SidecarVersion"], said["SidecarId"])

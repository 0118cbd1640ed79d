"""A connection to a MySQL server, made from the options that MySQL's own clients take.

Asks for a password where none is given; a password appears in no message."""

from __future__ import annotations

import argparse
import getpass
from typing import Any

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.install.server_options import gather
from lambda_sidecar.install.session import Session

Connection = MySQLConnectionAbstract
"""For those who only hand one on."""

_ACCESS_DENIED = 1045  # mysqld_error.h: ER_ACCESS_DENIED_ERROR
# While a backup holds a lock, the command should fail with an error, not wait for a year (MySQL's default).
_LOCK_WAIT_SECONDS = 30
_ADMINISTRATION = (
    # The scripts' literals and their procedures must not depend on the server's sql_mode.
    "SET SESSION sql_mode = 'STRICT_TRANS_TABLES'",
    f"SET SESSION lock_wait_timeout = {_LOCK_WAIT_SECONDS}",
    # A replica without the library would stop at our statements, and none may have any of its own.
    "SET SESSION sql_log_bin = 0",
)


def connect(options: argparse.Namespace) -> MySQLConnectionAbstract:
    """An administrator's session with autocommit, left out of the binary log. Raises InstallError."""
    return _prepared(options, _ADMINISTRATION, "is no administrator of")


def connect_to_read(options: argparse.Namespace) -> MySQLConnectionAbstract:
    """A session that can change nothing, for any account, and on MySQL 5.7 too. Raises InstallError."""
    only_read = ("SET SESSION TRANSACTION READ ONLY", "SET SESSION sql_mode = ''")
    return _prepared(options, only_read, "cannot use")


def _prepared(
    options: argparse.Namespace, statements: tuple[str, ...], complaint: str
) -> MySQLConnectionAbstract:
    server = gather(options)
    password = server.password
    if password is None:
        password = getpass.getpass(f"Password of {server.user} at {server.where}: ")
    try:
        connection = Session(server, password)
    except mysql.connector.Error as error:
        # Without a password: nobody was asked for one.
        hint = "; --password asks for it" if error.errno == _ACCESS_DENIED and not password else ""
        raise InstallError(
            f"no connection to MySQL at {server.where} as {server.user}: {error}{hint}"
        ) from None
    try:
        for statement in statements:
            execute(connection, statement)
    except mysql.connector.Error as error:
        connection.close()
        raise InstallError(f"{server.user} {complaint} MySQL at {server.where}: {error.msg}") from None
    return connection


def execute(connection: MySQLConnectionAbstract, sql: str) -> list[Any]:
    """Runs one statement and returns its rows, with text as str. Raises mysql.connector.Error."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        rows = cursor.fetchall() if cursor.description else []
    return [tuple(_text(value) for value in row) for row in rows]


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes | bytearray) else value

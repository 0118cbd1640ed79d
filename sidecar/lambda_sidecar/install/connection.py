"""A connection to a MySQL server, made from the options that MySQL's own clients take.

Knows option files and where passwords come from; a password appears in no message."""

from __future__ import annotations

import argparse
import getpass
import os
from pathlib import Path
from typing import Any

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract
from mysql.connector.optionfiles import MySQLOptionsParser

from lambda_sidecar.install.errors import InstallError

# Debian's, Oracle's packages', and MySQL's own default.
_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")  # noqa: S108
_TLS = ("ssl_ca", "ssl_cert", "ssl_key")
# One who waits for a lock that a backup holds should be told, not wait for a year (MySQL's default).
_LOCK_WAIT_SECONDS = 30


def connect(options: argparse.Namespace) -> MySQLConnectionAbstract:
    """A session with autocommit; the arguments win over the option file's [client], as in MySQL's clients."""
    file = _option_file(options.defaults_file)
    user = options.user or file.get("user") or "root"
    arguments: dict[str, Any] = {"user": user, "charset": "utf8mb4", "autocommit": True}
    socket = options.socket
    host, port = options.host, options.port
    if not socket and not host and not port:
        socket, host, port = file.get("socket"), file.get("host"), file.get("port")
    if not socket and (host or port):
        arguments |= {"host": host or "127.0.0.1", "port": int(port or file.get("port") or 3306)}
        where = f"{arguments['host']}:{arguments['port']}"
        arguments |= {name: file[name] for name in _TLS if name in file}
    else:
        where = socket or _default_socket()
        arguments["unix_socket"] = where
    if options.password:
        arguments["password"] = getpass.getpass(f"Password of {user} at {where}: ")
    else:
        arguments["password"] = file.get("password") or os.environ.get("MYSQL_PWD", "")
    try:
        connection = mysql.connector.connect(**arguments)
    except mysql.connector.Error as error:
        raise InstallError(f"no connection to MySQL at {where} as {user}: {error}") from None
    if not isinstance(connection, MySQLConnectionAbstract):
        raise TypeError(f"connect() gave a {type(connection).__name__}")
    try:
        # The scripts' literals and what their procedures do must not hang on the server's sql_mode.
        execute(connection, "SET SESSION sql_mode = 'STRICT_TRANS_TABLES'")
        execute(connection, f"SET SESSION lock_wait_timeout = {_LOCK_WAIT_SECONDS}")
        # A replica without the library would stop at our statements, and none may have any of its own.
        execute(connection, "SET SESSION sql_log_bin = 0")
    except mysql.connector.Error as error:
        connection.close()
        raise InstallError(f"{user} is no administrator of MySQL at {where}: {error.msg}") from None
    return connection


def execute(connection: MySQLConnectionAbstract, sql: str) -> list[Any]:
    """Runs one statement; its rows, with text as str."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        rows = cursor.fetchall() if cursor.description else []
    return [tuple(_text(value) for value in row) for row in rows]


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes | bytearray) else value


def _default_socket() -> str:
    for socket in _SOCKETS:
        if Path(socket).exists():
            return socket
    raise InstallError(f"no MySQL socket at {' or '.join(_SOCKETS)}; name it with --socket, or --host")


def _option_file(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        parser = MySQLOptionsParser([str(path)], keep_dashes=False)
    except (ValueError, OSError) as error:
        raise InstallError(f"{path}: {error}") from None
    return {name: _unquoted(value) for name, value in parser.get_groups("client").items()}


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value

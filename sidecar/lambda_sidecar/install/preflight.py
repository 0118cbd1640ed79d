"""The checks before install and uninstall: they find what would stop either of them half-way.

Each says what to do about it; none changes anything."""

from __future__ import annotations

import os

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.install.connection import execute
from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.install.server_state import ServerState

_OPTION_PREVENTS_STATEMENT = 1290  # mysqld_error.h


def read_only(connection: MySQLConnectionAbstract, state: ServerState, command: str) -> list[str]:
    """The lines for the operator if the server takes no changes from this account, and none if it does: under
    read_only alone an account with CONNECTION_ADMIN may go on."""
    if state.super_read_only:
        variable = "super_read_only"
    elif state.read_only and _refused(connection):
        variable = "read_only"
    else:
        return []
    return [
        f"The server is {variable}: nothing was changed. Nothing of it goes to the binary log, so a"
        " replica may be made writable for it. As an administrator:",
        f"    SET GLOBAL {variable} = OFF;",
        f"    lambda-sidecar {command} … (again)",
        f"    SET GLOBAL {variable} = ON;",
        "It would do this:",
    ]


def _refused(connection: MySQLConnectionAbstract) -> bool:
    try:
        # At most this drops something that install.sql itself has left behind.
        execute(connection, "DROP PROCEDURE IF EXISTS mysql.lambda_udf_install")
    except mysql.connector.Error as error:
        return error.errno == _OPTION_PREVENTS_STATEMENT
    return False


def foreign_functions(state: ServerState) -> None:
    """Raises InstallError if functions of our names are there from another library."""
    if state.foreign:
        named = ", ".join(f"{name} of {library}" for name, library in sorted(state.foreign.items()))
        raise InstallError(
            f"the server has functions of these names from elsewhere ({named}); drop them first"
        )


def plugin_dir(state: ServerState, otherwise: str) -> None:
    """Raises InstallError, whose text says what to do `otherwise`, unless plugin_dir can be written here."""
    if not state.is_local:
        raise InstallError(f"the server's plugin_dir {state.plugin_dir} is not on this machine; {otherwise}")
    if not os.access(state.plugin_dir, os.W_OK | os.X_OK):
        raise InstallError(f"{state.plugin_dir} may not be written by this account; {otherwise}")

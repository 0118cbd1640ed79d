"""The state of lambda-udf on a MySQL server: functions, component, variables, and statements that use them.

Only looks; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mysql.connector
from mysql.connector import errorcode
from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.install import library_file
from lambda_sidecar.install.connection import execute
from lambda_sidecar.install.options import Account, quoted

COMPONENT = "file://lambda_udf"
_RETURNED = {0: "STRING", 1: "REAL", 2: "INTEGER", 4: "DECIMAL"}  # udf_registration_types.h
_CANT_INITIALIZE_UDF = 1123  # mysqld_error.h; our init functions refuse a wrong number of arguments
_REFUSALS = (_CANT_INITIALIZE_UDF, errorcode.ER_UDF_ERROR, errorcode.ER_SPECIFIC_ACCESS_DENIED_ERROR)


@dataclass(frozen=True)
class ServerState:
    """functions     those that mysql.func has of lambda_udf.so: name, and how CREATE declares it
    answering     those of them that are loaded; the rest are rows of a library that failed to load
    foreign       functions with our names that belong to another library: name and library
    component     whether mysql.component names ours
    values        the component's global variables; empty if it is not loaded
    """

    plugin_dir: Path
    datadir: Path
    pid_file: Path
    server_uuid: str
    read_only: bool
    super_read_only: bool
    functions: dict[str, str]
    answering: frozenset[str]
    foreign: dict[str, str]
    component: bool
    values: dict[str, str]

    @property
    def place(self) -> Path:
        return self.plugin_dir / library_file.NAME

    @property
    def loaded(self) -> bool:
        return bool(self.answering or self.values)

    @property
    def is_local(self) -> bool:
        """Whether the server's files are on this machine: its auto.cnf, which no two servers share, says so.
        Where that may not be read, a folder with plugin_dir's path is taken for the server's."""
        try:
            return self.server_uuid in (self.datadir / "auto.cnf").read_text()
        except PermissionError:
            return self.plugin_dir.is_dir()
        except OSError:
            return False


def look(connection: MySQLConnectionAbstract, names: list[str]) -> ServerState:
    """The server's state; `names` are the functions of the library to come. Raises mysql.connector.Error."""
    ((plugin_dir, datadir, pid_file, uuid, read_only, super_read_only),) = execute(
        connection,
        "SELECT @@plugin_dir, @@datadir, @@pid_file, @@server_uuid, @@read_only, @@super_read_only",
    )
    rows = execute(connection, "SELECT name, dl, type, ret FROM mysql.func")
    functions = {
        name: _declaration(name, kind, returned)
        for name, library, kind, returned in rows
        if library == library_file.NAME
    }
    components = execute(connection, "SELECT component_urn FROM mysql.component")
    return ServerState(
        plugin_dir=Path(plugin_dir),
        datadir=Path(datadir),
        pid_file=Path(datadir) / pid_file,
        server_uuid=uuid,
        read_only=bool(read_only),
        super_read_only=bool(super_read_only),
        functions=functions,
        answering=frozenset(name for name in functions if answers(connection, name)),
        foreign={name: library for name, library, *_ in rows if name in names and name not in functions},
        component=(COMPONENT,) in components,
        values=variables(connection),
    )


def _declaration(name: str, kind: str, returned: int) -> str:
    """`kind` and `returned` as mysql.func has them: function or aggregate, and an enum Item_result."""
    return f"{'AGGREGATE ' if kind == 'aggregate' else ''}FUNCTION `{name}` RETURNS {_RETURNED[returned]}"


def answers(connection: MySQLConnectionAbstract, function: str) -> bool:
    """Whether the function is loaded. Called with one argument it refuses by itself: only lambda_execution
    takes one, and refuses a NULL, or an account without the privilege."""
    try:
        execute(connection, f"SELECT `{function}`(NULL)")
    except mysql.connector.Error as error:
        return error.errno in _REFUSALS
    return True


def variables(connection: MySQLConnectionAbstract) -> dict[str, str]:
    """The component's global variables by their full names."""
    return dict(execute(connection, r"SHOW GLOBAL VARIABLES LIKE 'lambda\_udf.%'"))


def has_anything(connection: MySQLConnectionAbstract) -> bool:
    """Whether anything is there that install, or a run of it or of uninstall that was cut off, has made."""
    ((found,),) = execute(connection, _ANYTHING)
    return bool(found)


_ANYTHING = rf"""SELECT EXISTS (SELECT 1 FROM mysql.func WHERE dl = {quoted(library_file.NAME)})
    OR EXISTS (SELECT 1 FROM mysql.component WHERE component_urn = {quoted(COMPONENT)})
    OR EXISTS (SELECT 1 FROM mysql.user WHERE User IN ('AWS_LAMBDA_ACCESS', 'lambda_udf'))
    OR EXISTS (SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'mysql' AND ROUTINE_NAME IN
               ('lambda_async', 'lambda_udf_install', 'lambda_udf_uninstall', 'lambda_udf_uninstall_outbox'))
    OR EXISTS (SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'lambda_udf')
    OR EXISTS (SELECT 1 FROM performance_schema.persisted_variables
               WHERE VARIABLE_NAME LIKE 'lambda\_udf.%')"""  # noqa: S608


def statements_in_use(connection: MySQLConnectionAbstract) -> int:
    """How many statements are in our functions now; without performance_schema, how many wait for Lambda."""
    in_flight = execute(connection, r"SHOW GLOBAL STATUS LIKE 'Lambda\_udf\_in\_flight'")
    # The count of a function that nobody uses is 1 (tried on 9.7.4).
    used = execute(
        connection, "SELECT UDF_LIBRARY, UDF_USAGE_COUNT FROM performance_schema.user_defined_functions"
    )
    in_use = sum(int(count) - 1 for library, count in used if library == library_file.NAME)
    return max(in_use, *(int(value) for _, value in in_flight), 0)


def account_exists(connection: MySQLConnectionAbstract, account: Account) -> bool:
    where = f"User = {quoted(account.user)} AND Host = {quoted(account.host)}"
    return bool(execute(connection, f"SELECT 1 FROM mysql.user WHERE {where}"))  # noqa: S608


def default_roles(connection: MySQLConnectionAbstract, account: Account) -> list[Account]:
    rows = execute(
        connection,
        "SELECT DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST FROM mysql.default_roles"  # noqa: S608
        f" WHERE USER = {quoted(account.user)} AND HOST = {quoted(account.host)}",
    )
    return [Account(user, host) for user, host in rows]

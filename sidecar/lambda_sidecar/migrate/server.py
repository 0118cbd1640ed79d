"""The inventory of a server, Aurora or stock, MySQL 5.7 or newer.

Knows the server's tables; changes nothing, and says what it was not allowed to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.install.connection import execute
from lambda_sidecar.install.options import Account
from lambda_sidecar.migrate.grants import Grant, Holdings, read_grant
from lambda_sidecar.migrate.inventory import SYSTEM_SCHEMAS, Inventory, SqlObject, account, modes

# Accounts of MySQL, of Amazon and of ours that own something or may read everything.
_SYSTEM_USERS = frozenset(
    {"mysql.sys", "mysql.session", "mysql.infoschema", "rdsadmin", "rdsrepladmin", "lambda_udf"}
)
# mysqld_error.h, ER_NO_SUCH_TABLE: 5.7 lacks one of the tables.
_NO_SUCH_TABLE = 1146
# An account with these on *.* sees everything (manual, INFORMATION_SCHEMA tables of these names).
_SEES_ALL = {
    "SELECT": "routines' bodies",
    "TRIGGER": "triggers",
    "EVENT": "events",
    "SHOW VIEW": "views' bodies",
}

# kind, schema, name, definer, SQL SECURITY, sql_mode, body. CONCAT makes text of a SET, as 5.7 has it.
_OBJECTS = (
    "SELECT LOWER(ROUTINE_TYPE), ROUTINE_SCHEMA, ROUTINE_NAME, DEFINER, SECURITY_TYPE, CONCAT(SQL_MODE),"
    " ROUTINE_DEFINITION FROM information_schema.ROUTINES",
    "SELECT 'trigger', TRIGGER_SCHEMA, TRIGGER_NAME, DEFINER, 'DEFINER', CONCAT(SQL_MODE), ACTION_STATEMENT"
    " FROM information_schema.TRIGGERS",
    "SELECT 'event', EVENT_SCHEMA, EVENT_NAME, DEFINER, 'DEFINER', CONCAT(SQL_MODE), EVENT_DEFINITION"
    " FROM information_schema.EVENTS",
    "SELECT 'view', TABLE_SCHEMA, TABLE_NAME, DEFINER, SECURITY_TYPE, '', VIEW_DEFINITION"
    " FROM information_schema.VIEWS",
)


def read_server(connection: MySQLConnectionAbstract) -> Inventory:
    """Raises mysql.connector.Error only if nothing can be read at all."""
    objects = [one for sql in _OBJECTS for one in map(_object, execute(connection, sql))]
    ((sql_mode,),) = execute(connection, "SELECT @@GLOBAL.sql_mode")
    unread = list(_unseen(connection))
    lines: dict[Account, tuple[str, ...]] = {}
    holdings = None
    try:
        lines, holdings = _holdings(connection)
    except mysql.connector.Error as error:
        unread.append(f"accounts and their grants: {error.msg}")
    return Inventory(
        objects=tuple(one for one in objects if one.schema.lower() not in SYSTEM_SCHEMAS),
        grant_lines={one: texts for one, texts in lines.items() if one.user not in _SYSTEM_USERS},
        holdings=holdings,
        sql_modes={"the global variable": modes(sql_mode)},
        unread=tuple(unread),
    )


def _object(row: tuple[Any, ...]) -> SqlObject:
    kind, schema, name, definer, security, sql_mode, text = row
    return SqlObject(
        kind=kind,
        schema=schema,
        name=name,
        definer=account(definer),
        text=text or None,
        invoker=security == "INVOKER",
        sql_mode=modes(sql_mode),
    )


def _unseen(connection: MySQLConnectionAbstract) -> Iterator[str]:
    mine = [read_grant(line) for (line,) in execute(connection, "SHOW GRANTS")]
    for privilege, what in _SEES_ALL.items():
        if not any(grant.gives(privilege, "*", "*") for grant in mine):
            yield f"{what} of schemas in which this account lacks {privilege}: it has none on *.*"


def _holdings(connection: MySQLConnectionAbstract) -> tuple[dict[Account, tuple[str, ...]], Holdings]:
    users = execute(connection, "SELECT User, Host, account_locked FROM mysql.user")
    accounts = {Account(user, host): locked == "Y" for user, host, locked in users}
    lines = {
        one: tuple(line for (line,) in execute(connection, f"SHOW GRANTS FOR {one}")) for one in accounts
    }
    everybody = {Account(one.user, one.host.lower()): _grants(texts) for one, texts in lines.items()}
    ((_, all_roles),) = execute(connection, "SHOW GLOBAL VARIABLES LIKE 'activate_all_roles_on_login'") or [
        ("", "OFF")
    ]
    return lines, Holdings(
        grants=everybody,
        default_roles=_default_roles(connection),
        sessions=frozenset(
            Account(one.user, one.host.lower())
            for one, locked in accounts.items()
            if not locked and one.user not in _SYSTEM_USERS
        ),
        all_roles_on_login=all_roles == "ON",
    )


def _grants(lines: Iterable[str]) -> tuple[Grant, ...]:
    return tuple(read_grant(line) for line in lines)


def _default_roles(connection: MySQLConnectionAbstract) -> dict[Account, tuple[Account, ...]]:
    try:
        rows = execute(
            connection, "SELECT USER, HOST, DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST FROM mysql.default_roles"
        )
    except mysql.connector.Error as error:
        if error.errno != _NO_SUCH_TABLE:
            raise
        return {}
    roles: dict[Account, tuple[Account, ...]] = {}
    for user, host, role_user, role_host in sorted(rows):
        one = Account(user, host.lower())
        roles[one] = (*roles.get(one, ()), Account(role_user, role_host.lower()))
    return roles

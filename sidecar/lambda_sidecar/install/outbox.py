"""The schema lambda_udf for install and uninstall: its version, its rows, and who may do what with it.

Decides what a server needs beyond the scripts of udf/sql; must not know how rows are delivered."""

from __future__ import annotations

import argparse

from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.install import sql_script
from lambda_sidecar.install.connection import execute
from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.install.options import Account
from lambda_sidecar.install.server_state import account_exists
from lambda_sidecar.install.steps import Steps
from lambda_sidecar.outbox.schema import DELIVERY, VERSION

# Whatever is in these would be lost with them; the others hold nothing of a user's.
_KEPT = ("outbox", "outbox_waiting", "outbox_dead", "outbox_results")
_PROCEDURE = "CREATE DEFINER = lambda_udf@localhost PROCEDURE IF NOT EXISTS mysql.lambda_async("
_INVOKES = "SET accepted = lambda_async("
_WRITES = "SET accepted = lambda_udf.lambda_async("


def check(connection: MySQLConnectionAbstract, options: argparse.Namespace) -> None:
    """Raises InstallError for a schema of a newer release or of somebody else, and a missing account."""
    tables = _tables(connection)
    if "schema_version" in tables:
        ((version,),) = execute(connection, "SELECT COALESCE(MAX(version), 0) FROM lambda_udf.schema_version")
        if version > VERSION:
            raise InstallError(
                f"the schema lambda_udf has version {version}, and this release knows {VERSION}; "
                "install with the newer release"
            )
    elif execute(
        connection, "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'lambda_udf'"
    ) and (tables or _routines(connection)):
        raise InstallError("the server has a schema lambda_udf that is not of lambda-udf; rename or drop it")
    account: Account | None = options.outbox_account
    if account and not account_exists(connection, account):
        raise InstallError(
            f"there is no account {account} on this server; as an administrator: "
            f"CREATE USER {account} IDENTIFIED BY '…'"
        )


def grant_delivery(steps: Steps, account: Account) -> None:
    """The rights that delivering needs, and none else."""
    steps.sql(f"let {account} deliver the outbox", *(f"GRANT {right} TO {account}" for right in DELIVERY))


def settle_procedure(steps: Steps, script: str, *, through_outbox: bool) -> None:
    """Makes mysql.lambda_async write into the outbox, or invoke as `script` (install.sql) has it.

    A routine's body can only be changed by creating it anew, and grants on it go with the old one: they are
    read before and given again after."""
    ((writes,),) = execute(
        steps.connection,
        "SELECT COALESCE(MAX(LOCATE('lambda_udf.lambda_async(', ROUTINE_DEFINITION) > 0), FALSE)"
        " FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'mysql' AND ROUTINE_NAME = 'lambda_async'",
    )
    if bool(writes) == through_outbox:
        return
    (create,) = (sql for sql in sql_script.statements(script) if sql.startswith(_PROCEDURE))
    if through_outbox:
        create = create.replace(_INVOKES, _WRITES)
    what = "write into the outbox" if through_outbox else "invoke"
    grants = _grants_on_procedure(steps.connection)
    steps.sql(
        f"make mysql.lambda_async {what}", "DROP PROCEDURE IF EXISTS mysql.lambda_async", create, *grants
    )


def _grants_on_procedure(connection: MySQLConnectionAbstract) -> list[str]:
    rows = execute(
        connection,
        "SELECT User, Host, CAST(Proc_priv AS CHAR) FROM mysql.procs_priv"
        " WHERE Db = 'mysql' AND Routine_name = 'lambda_async' AND Routine_type = 'PROCEDURE'",
    )
    return [_grant_again(Account(user, host), rights.split(",")) for user, host, rights in rows]


def _grant_again(account: Account, rights: list[str]) -> str:
    """`rights` as mysql.procs_priv has them: Execute, Alter Routine, Grant."""
    named = ", ".join(right.upper() for right in rights if right != "Grant")
    option = " WITH GRANT OPTION" if "Grant" in rights else ""
    return f"GRANT {named or 'USAGE'} ON PROCEDURE mysql.lambda_async TO {account}{option}"


def refuse_unless_empty(connection: MySQLConnectionAbstract) -> None:
    """Raises InstallError if uninstalling would lose rows. uninstall.sql looks again, without a gap."""
    held = []
    for table in (name for name in _KEPT if name in _tables(connection)):
        ((count,),) = execute(connection, f"SELECT COUNT(*) FROM lambda_udf.{table}")  # noqa: S608
        held += [f"{count} in {table}"] * bool(count)
    if held:
        raise InstallError(
            f"the outbox is not empty ({', '.join(held)}), so nothing was changed; let the sidecar deliver "
            "the events and take what is dead or kept, or lose all of it with --drop-outbox"
        )


def empty(steps: Steps) -> None:
    """Loses whatever the outbox holds."""
    there = [table for table in _KEPT if table in _tables(steps.connection)]
    if there:
        steps.sql("lose what the outbox holds", *(f"TRUNCATE TABLE lambda_udf.{table}" for table in there))


def _tables(connection: MySQLConnectionAbstract) -> set[str]:
    rows = execute(
        connection, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'lambda_udf'"
    )
    return {name for (name,) in rows}


def _routines(connection: MySQLConnectionAbstract) -> set[str]:
    rows = execute(
        connection, "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'lambda_udf'"
    )
    return {name for (name,) in rows}

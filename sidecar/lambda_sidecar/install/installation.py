"""The statements that bring functions and component to a server: those of install.sql, and one before.

Asks the server whether it has the component; changes nothing."""

from __future__ import annotations

from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.install import sql_script
from lambda_sidecar.install.connection import execute
from lambda_sidecar.install.options import quoted
from lambda_sidecar.install.server_state import COMPONENT

INSTALL_COMPONENT = f"INSTALL COMPONENT {quoted(COMPONENT)}"
_CALL = "CALL mysql.lambda_udf_install()"


def install_statements(connection: MySQLConnectionAbstract) -> list[str]:
    """In a procedure, as install.sql installs it, the component could not create its table
    (performance_schema.lambda_udf_calls): MySQL lets no procedure do so. Found there already, it stays."""
    statements = sql_script.statements(sql_script.read("install.sql"))
    if (COMPONENT,) not in execute(connection, "SELECT component_urn FROM mysql.component"):
        statements.insert(statements.index(_CALL), INSTALL_COMPONENT)
    return statements

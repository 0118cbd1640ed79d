"""INSTALL COMPONENT for a test, and everything as it was afterwards.

Knows the component's names; asserts nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import mysql.connector
from tests.support.stack import Stack

INSTALL = "INSTALL COMPONENT 'file://lambda_udf'"
UNINSTALL = "UNINSTALL COMPONENT 'file://lambda_udf'"
VARIABLES = (
    "batch_concurrency",
    "connect_timeout_ms",
    "function_error",
    "map_concurrency",
    "mode",
    "result_max_bytes",
    "socket",
    "timeout_ms",
)


@contextlib.contextmanager
def installed_component(stack: Stack) -> Iterator[None]:
    """The component is there, with every variable at its default; afterwards it is gone again, and so is
    what was granted and persisted."""
    stack.query(INSTALL)
    try:
        yield
    finally:
        with contextlib.suppress(mysql.connector.Error):  # a test may have uninstalled it itself
            stack.query(UNINSTALL)
        stack.query("DELETE FROM mysql.global_grants WHERE PRIV = 'INVOKE_LAMBDA'")
        stack.query("FLUSH PRIVILEGES")
        for name in VARIABLES:
            stack.query(f"RESET PERSIST IF EXISTS lambda_udf.{name}")


def status(stack: Stack) -> dict[str, int]:
    """The counters, without their common prefix."""
    rows = stack.query("SHOW GLOBAL STATUS LIKE 'Lambda_udf%'")
    return {name.removeprefix("Lambda_udf_"): int(value) for name, value in rows}


def variables(stack: Stack) -> dict[str, str]:
    """The global values, without their common prefix."""
    rows = stack.query("SHOW GLOBAL VARIABLES LIKE 'lambda_udf%'")
    return {name.removeprefix("lambda_udf."): value for name, value in rows}

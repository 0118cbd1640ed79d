"""A server with the outbox and its delivery account, and a sidecar that delivers it.

Knows the schema's script and the least rights; asserts nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.checkout import ROOT
from tests.support.stack import Library, Stack, start_stack

from lambda_sidecar.outbox.account_check import RIGHTS

USER = "lambda_outbox"
GRANTS = (
    *(f"GRANT {', '.join(rights)} ON lambda_udf.{table} TO {USER}" for table, (_, rights) in RIGHTS.items()),
    f"GRANT SELECT ON lambda_udf.schema_version TO {USER}",
    f"GRANT SELECT ON performance_schema.replication_group_members TO {USER}",
)


def mysql_socket(directory: Path) -> Path:
    """Of the mysqld that start_stack starts in `directory`."""
    return directory / "mysql/mysql.sock"


@contextlib.contextmanager
def outbox_stack(
    mysql_home: Path, directory: Path, *, outbox: dict[str, Any] | None = None, **settings: Any
) -> Iterator[Stack]:
    """`outbox` are more keys of [outbox]; `settings` are start_stack's."""
    table = {"mysql_socket": str(mysql_socket(directory)), **(outbox or {})}
    with start_stack(mysql_home, directory, Library.PLAIN, outbox=table, **settings) as stack:
        install(stack)
        yield stack


def install(stack: Stack) -> None:
    """The schema, and the account with its rights."""
    script = (ROOT / "udf/sql/install.sql").read_text()
    grants = ";\n".join([f"CREATE USER {USER}", *GRANTS])
    done = stack.mysqld.client(input=f"{script}\n{grants};\n")
    assert done.returncode == 0, done.stderr

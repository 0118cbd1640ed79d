"""The inventory of a database: the objects with SQL in them, and who holds what.

Only data; does not know where it comes from (server.py, dump.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lambda_sidecar.install.options import Account
from lambda_sidecar.migrate.grants import Holdings

# Schemas whose objects are MySQL's, Amazon's, or ours.
SYSTEM_SCHEMAS = frozenset({"mysql", "sys", "information_schema", "performance_schema", "lambda_udf"})


@dataclass(frozen=True)
class SqlObject:
    """kind     procedure, function, trigger, event or view
    definer  None if it is not known
    invoker  whether it has SQL SECURITY INVOKER
    text     its body; None if the account that reads may not see it"""

    kind: str
    schema: str
    name: str
    definer: Account | None
    text: str | None
    invoker: bool = False
    sql_mode: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.kind} {self.schema}.{self.name}" if self.schema else f"{self.kind} {self.name}"

    @property
    def is_routine(self) -> bool:
        return self.kind in ("procedure", "function")

    @property
    def runs_as_caller(self) -> bool:
        """Whether it needs the session's privileges. A view does, with DEFINER or without
        (docs/access.md)."""
        return self.kind == "view" or (self.is_routine and self.invoker)


@dataclass(frozen=True)
class Inventory:
    """grant_lines  SHOW GRANTS of each account
    holdings     what they grant; None if grants are not known
    sql_modes    the other places with a sql_mode, each with its modes
    unread       one sentence for each thing that could not be read"""

    objects: tuple[SqlObject, ...]
    grant_lines: Mapping[Account, tuple[str, ...]] = field(default_factory=dict)
    holdings: Holdings | None = None
    sql_modes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


def modes(text: str) -> frozenset[str]:
    """A sql_mode as its parts."""
    return frozenset(part.strip().upper() for part in text.split(",") if part.strip())


def account(text: str) -> Account:
    """user@host as information_schema writes a definer: the last @ divides."""
    user, _, host = text.rpartition("@")
    return Account(user, host.lower())

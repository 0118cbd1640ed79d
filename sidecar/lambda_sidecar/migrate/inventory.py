"""What a database has: the objects with SQL in them, and who holds what.

Only data; where it comes from is server.py's and dump.py's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lambda_sidecar.install.options import Account
from lambda_sidecar.migrate.grants import Holdings

# Theirs are MySQL's, Amazon's, or ours.
SYSTEM_SCHEMAS = frozenset({"mysql", "sys", "information_schema", "performance_schema", "lambda_udf"})


@dataclass(frozen=True)
class SqlObject:
    """kind     procedure, function, trigger, event or view
    definer  None: not known
    invoker  SQL SECURITY INVOKER
    text     its body; None: the account that reads may not see it"""

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
        """Whether the privilege is the session's. A view's is, DEFINER or not (docs/access.md)."""
        return self.kind == "view" or (self.is_routine and self.invoker)


@dataclass(frozen=True)
class Inventory:
    """grant_lines  SHOW GRANTS of each account
    holdings     what they say; None: grants are not known
    sql_modes    where else a sql_mode stands: a place and its modes
    unread       what could not be read, each as one sentence"""

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

"""Every key of the sidecar's configuration, as the code knows them.

Knows dataclasses; nothing of documents."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from lambda_sidecar.config.config import Config


def dataclass_in(hint: Any) -> type | None:
    """The dataclass that a field's type is, or may be, or is a tuple of."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    return next(filter(None, map(dataclass_in, typing.get_args(hint))), None)


def configuration_tables() -> dict[str, type]:
    """The dataclass of every table by its name; "" is the top level."""
    hints = typing.get_type_hints(Config)
    return {"": Config} | {name: made for name, hint in hints.items() if (made := dataclass_in(hint))}


def configuration_keys() -> dict[str, set[str]]:
    """Every key, by the name of its table; a table is no key."""
    tables = configuration_tables()
    return {
        table: {field.name for field in dataclasses.fields(made)} - (set(tables) if table == "" else set())
        for table, made in tables.items()
    }

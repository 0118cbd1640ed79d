"""Typed values out of TOML tables and environment variables, each checked against its field's type.

Knows dataclasses and their fields' types; nothing of what may be set."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_NAMES = {
    Path: "a path",
    float: "a number",
    int: "a whole number",
    str: "a string",
    bool: "true or false",
}


class ConfigError(Exception):
    """The configuration is wrong; the text names the file or variable, and the key."""


def read_table(cls: type, table: Mapping[str, Any], *, where: str, base: Path) -> dict[str, Any]:
    """The arguments of the dataclass `cls` out of a TOML table, each checked against its field's type.
    `where` begins every message. Raises ConfigError."""
    known = typing.get_type_hints(cls)
    values = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key '{key}'; known are {', '.join(sorted(known))}")
        values[key] = convert(value, known[key], where=f"{where}: {key}", base=base)
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise ConfigError(f"{where}: '{field.name}' is missing")
    return values


def convert(value: Any, wanted: Any, *, where: str, base: Path) -> Any:
    """TOML's value as the type `wanted`; a relative path is relative to `base`. Raises ConfigError."""
    wanted = _certain(wanted)
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: a table is expected")
        values = read_table(wanted, value, where=where, base=base)
        try:
            return wanted(**values)
        except ValueError as error:  # it checks its own values
            raise ConfigError(f"{where}: {error}") from None
    if wanted is Path and isinstance(value, str) and value and "\0" not in value:  # TOML can write it
        return base / value
    if wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ConfigError(f"{where}: a finite number is expected, not {value!r}")
        return float(value)
    if wanted is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if wanted in (str, bool) and type(value) is wanted:
        return value
    if typing.get_origin(wanted) is tuple and isinstance(value, list):
        item = typing.get_args(wanted)[0]
        return tuple(
            convert(entry, item, where=f"{where} {number}", base=base)
            for number, entry in enumerate(value, 1)
        )
    name = _NAMES.get(wanted, "a list")
    raise ConfigError(f"{where}: {name} is expected, not {value!r}")


def _certain(wanted: Any) -> Any:
    """Unions are only ever "something or None", and neither TOML nor the environment has a null."""
    if isinstance(wanted, types.UnionType):
        return next(kind for kind in typing.get_args(wanted) if kind is not types.NoneType)
    return wanted


def from_text(text: str, wanted: Any, *, where: str, base: Path) -> Any:
    """As `convert`, out of an environment variable, in which spaces separate the entries of a list."""
    value: Any = text
    wanted = _certain(wanted)
    if wanted in (int, float):
        try:
            value = wanted(text)
        except ValueError:
            raise ConfigError(f"{where}: {_NAMES[wanted]} is expected, not {text!r}") from None
    elif wanted is bool:
        value = {"true": True, "false": False}.get(text, text)
    elif typing.get_origin(wanted) is tuple:
        value = text.split()
    return convert(value, wanted, where=where, base=base)

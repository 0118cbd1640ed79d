"""packaging/systemd/sidecar.toml against the code: every key, and the defaults that it shows.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkout import ROOT
from tests.support.configuration_keys import configuration_keys, configuration_tables

from lambda_sidecar.config.config import Config, load_config
from lambda_sidecar.testing.sidecar import toml_text

EXAMPLE = ROOT / "packaging/systemd/sidecar.toml"
NO_DEFAULT = ("No default", "Required")


def uncommented() -> dict[str, Any]:
    """The example with every setting in force."""
    return tomllib.loads(re.sub(r"^#(?=\w|\[)", "", EXAMPLE.read_text(), flags=re.MULTILINE))


def tables() -> dict[str, dict[str, Any]]:
    """Its values by table; "" is the top level. Each list of tables has one."""
    every = uncommented()
    nested = {name: every[name] for name in configuration_tables() if name}
    top = {key: value for key, value in every.items() if key not in nested}
    return {"": top} | {
        name: table[0] if isinstance(table, list) else table for name, table in nested.items()
    }


def defaults() -> list[tuple[str, str, Any]]:
    """Table, key and the code's default, None where there is none."""
    return [
        (table, field.name, None if field.default is dataclasses.MISSING else field.default)
        for table, made in configuration_tables().items()
        for field in dataclasses.fields(made)
        if table or field.name not in configuration_tables()
    ]


def test_as_it_stands_it_changes_nothing() -> None:
    assert load_config(EXAMPLE, {}) == Config()


def test_it_names_every_key_and_no_other() -> None:
    assert {table: set(values) for table, values in tables().items()} == configuration_keys()


@pytest.mark.parametrize(("table", "key", "default"), defaults())
def test_it_shows_the_codes_default_or_says_that_there_is_none(table: str, key: str, default: Any) -> None:
    text = EXAMPLE.read_text().split(
        f"#[{table}]\n" if table in ("local", "metrics", "outbox") else f"#[[{table}]]\n"
    )[-1]
    above = re.search(rf"^(# .*)\n#{key} = ", text, re.MULTILINE)
    assert above is not None
    assert any(words in above[1] for words in NO_DEFAULT) == (default is None)
    if default is not None:
        shown = tables()[table][key]
        if isinstance(default, Path | tuple):
            shown = type(default)(shown)
        assert shown == default


@pytest.mark.parametrize("left_out", ["local", "roles"])
def test_all_of_it_can_be_set_but_roles_not_with_functions_on_this_machine(
    tmp_path: Path, left_out: str
) -> None:
    settings = uncommented()
    del settings["outbox"]["host"]  # it and mysql_socket exclude each other
    without = {"local"} if left_out == "local" else {"role_rules", "aws_default_lambda_role"}
    path = tmp_path / "sidecar.toml"
    path.write_text(toml_text({key: value for key, value in settings.items() if key not in without}))
    (tmp_path / "functions").mkdir()
    config = load_config(path, {})
    assert (config.local is None, config.role_rules is None) == (left_out == "local", left_out == "roles")

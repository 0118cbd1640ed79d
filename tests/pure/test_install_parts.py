"""The parts of install and uninstall: accounts, the scripts as statements, the package that carries them.

Each test's name is the sentence that it proves; no server."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from lambda_sidecar.install import library_file, options, sql_script
from lambda_sidecar.install.errors import InstallError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app", "'app'@'%'"),
        ("app@localhost", "'app'@'localhost'"),
        ("app@LocalHost", "'app'@'localhost'"),
        ("'app'@'%'", "'app'@'%'"),
        ("`app`@`10.0.0.%`", "'app'@'10.0.0.%'"),
        ("'o''brien'@'%'", "'o''brien'@'%'"),
        ("''@localhost", "''@'localhost'"),
        (r"'a\'@'%'", r"'a\\'@'%'"),
    ],
)
def test_an_account_reads_as_in_sql(text: str, expected: str) -> None:
    assert str(options.account(text)) == expected


@pytest.mark.parametrize("text", ["", "a b", "a@b@c", "'a", "a@", "'a'; DROP USER b", "'a' @'b'"])
def test_what_is_no_account_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        options.account(text)


def test_a_script_splits_at_its_delimiters() -> None:
    text = "-- a; comment\nSELECT 1;\n\nDELIMITER //\nBEGIN\n  -- why;\n  SELECT 2;\nEND//\ndelimiter ;\nSELECT\n  3;\n"
    assert sql_script.statements(text) == ["SELECT 1", "BEGIN\n  SELECT 2;\nEND", "SELECT\n  3"]


def test_a_script_that_ends_inside_a_statement_is_an_error() -> None:
    with pytest.raises(ValueError, match="SELECT 1"):
        sql_script.statements("SELECT 1\n-- no end")


def test_uninstall_drops_each_function_that_install_creates() -> None:
    names = sql_script.functions(sql_script.read("install.sql"))
    assert {"lambda_sync", "lambda_async"} <= set(names)
    dropped = sql_script.statements(sql_script.read("uninstall.sql"))
    assert {f"DROP FUNCTION IF EXISTS {name}" for name in names} <= set(dropped)


def test_a_library_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"there is no library .*/none\.so; name it with --library FILE"):
        library_file.find(tmp_path / "none.so")


def test_a_copy_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    place = tmp_path / "lambda_udf.so"
    place.write_bytes(b"old")
    with pytest.raises(InstallError, match="could not be copied"):
        library_file.copy(tmp_path, place)
    assert [path.name for path in tmp_path.iterdir()] == ["lambda_udf.so"]
    assert place.read_bytes() == b"old"

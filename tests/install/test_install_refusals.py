"""The checks that stop lambda-sidecar install and uninstall before anything is changed.

Each test's name is the sentence that it proves; after each of them the server is as it was before."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mysql.connector
import pytest
from tests.support.component import status
from tests.support.installation import Bare, Outcome, settled
from tests.support.stack import execute
from tests.support.waiting import wait_until

CALL = "SELECT lambda_sync('Echo', '1')"
WAITS = """SELECT lambda_sync('Sleep', '{"seconds": 30}')"""
UNINSTALL_SQL = Path(__file__).parents[2] / "udf/sql/uninstall.sql"


# ---- calls in flight ----


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits three seconds for a call that does not end."""
    monkeypatch.setattr("lambda_sidecar.install.idle._WAIT_SECONDS", 0.1)


def attempts(bare: Bare) -> Iterator[Outcome]:
    yield bare.install("--library", bare.other_build())
    yield bare.uninstall()


@pytest.mark.usefixtures("impatient")
def test_calls_in_flight_refuse_it_and_nothing_is_changed(bare: Bare) -> None:
    before = settled(bare)
    with contextlib.closing(bare.connect()) as connection, ThreadPoolExecutor(1) as pool:
        running = pool.submit(execute, connection, WAITS)
        wait_until(lambda: status(bare)["in_flight"] == 1, what="a call in flight")
        for refused in attempts(bare):
            assert refused.status == 1
            assert "1 statement(s) are in lambda functions now, so nothing was changed" in refused.err
            assert settled(bare) == before
            assert bare.value(CALL) == "1"
        by_hand = bare.mysqld.client(input=UNINSTALL_SQL.read_text())
        assert by_hand.returncode == 1
        assert "ERROR 1644 (45000)" in by_hand.stderr
        assert "Calls of lambda functions are in flight" in by_hand.stderr
        for left in ("lambda_udf_uninstall", "lambda_udf_uninstall_outbox"):
            bare.query(f"DROP PROCEDURE mysql.{left}")  # as the next run of the script would
        assert settled(bare) == before
        bare.query(f"KILL QUERY {connection.connection_id}")
        assert isinstance(running.exception(), mysql.connector.Error)


@pytest.mark.usefixtures("impatient")
def test_a_statement_that_is_in_a_function_between_calls_refuses_it_too(bare: Bare) -> None:
    before = settled(bare)
    with contextlib.closing(bare.connect()) as connection, ThreadPoolExecutor(1) as pool:
        running = pool.submit(execute, connection, "SELECT SLEEP(30), lambda_sync('Echo', '1')")
        wait_until(lambda: _executing(bare, connection.connection_id), what="the statement runs")
        for refused in attempts(bare):
            assert refused.status == 1
            assert settled(bare) == before
        bare.query(f"KILL {connection.connection_id}")
        assert isinstance(running.exception(), mysql.connector.Error)


def _executing(bare: Bare, connection: int | None) -> bool:
    rows = bare.query("SELECT id FROM information_schema.processlist WHERE state = 'User sleep'")
    return (connection,) in rows


# ---- a server that takes no changes ----


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_read_only_server_is_not_changed_and_the_steps_are_printed(bare: Bare, command: str) -> None:
    if command == "install":
        assert bare.uninstall().status == 0
    before = bare.snapshot()
    bare.query("SET GLOBAL super_read_only = ON")
    try:
        refused = bare.install() if command == "install" else bare.uninstall()
        after = bare.snapshot()
    finally:
        bare.query("SET GLOBAL super_read_only = OFF")
        bare.query("SET GLOBAL read_only = OFF")
    assert refused.status == 1
    assert refused.err == "lambda-sidecar: the server is read-only; nothing was changed\n"
    assert after == before
    for expected in (
        "SET GLOBAL super_read_only = OFF;",
        f"lambda-sidecar {command} …",
        "COMPONENT 'file://lambda_udf'",
    ):
        assert expected in refused.out
    if command == "install":
        assert f"copy {bare.library.path} to {bare.place}" in refused.out


def test_read_only_stops_an_account_that_may_not_write_then_and_no_other(bare: Bare) -> None:
    bare.query("CREATE USER boss@localhost")
    bare.query("GRANT ALL ON *.* TO boss@localhost WITH GRANT OPTION")
    bare.query("REVOKE SUPER, CONNECTION_ADMIN ON *.* FROM boss@localhost")
    bare.query("SET GLOBAL read_only = ON")
    try:
        refused = bare.install("--user", "boss")
        allowed = bare.install()
    finally:
        bare.query("SET GLOBAL read_only = OFF")
        bare.query("DROP USER boss@localhost")
    assert refused.status == 1
    assert "The server is read_only: nothing was changed." in refused.out
    assert allowed.status == 0


# ---- the other checks before a change ----


def test_functions_of_these_names_from_elsewhere_are_left_alone(bare: Bare) -> None:
    assert bare.uninstall().status == 0
    elsewhere = bare.mysqld.plugin_dir / "elsewhere.so"
    shutil.copy(bare.library.path, elsewhere)
    bare.query("CREATE FUNCTION lambda_sync RETURNS STRING SONAME 'elsewhere.so'")
    before = bare.snapshot()
    refused = bare.install()
    assert refused.status == 1
    assert "(lambda_sync of elsewhere.so); drop them first" in refused.err
    assert bare.snapshot() == before
    bare.query("DROP FUNCTION lambda_sync")
    elsewhere.unlink()


def test_an_account_that_is_not_there_is_found_before_anything_is_done(bare: Bare) -> None:
    assert bare.uninstall().status == 0
    before = bare.snapshot()
    refused = bare.install("--grant", "app@localhost")
    assert (refused.status, refused.out) == (1, "")
    assert "there is no account 'app'@'localhost' on this server" in refused.err
    assert bare.snapshot() == before


def test_a_server_whose_files_are_not_here_gets_its_steps_printed(bare: Bare) -> None:
    """auto.cnf tells: here it is hidden, as on another machine."""
    assert bare.uninstall().status == 0
    before = bare.snapshot()
    hidden = bare.mysqld.datadir / "auto.cnf"
    hidden.rename(hidden.with_suffix(".away"))
    try:
        refused = bare.install()
    finally:
        hidden.with_suffix(".away").rename(hidden)
    assert refused.status == 1
    assert f"run there: install -m 0755 {bare.library.path} {bare.place}; then this again" in refused.err
    assert bare.snapshot() == before


def test_a_plugin_dir_that_may_not_be_written_gets_its_steps_printed(
    bare: Bare, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bare.uninstall().status == 0
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everything
    refused = bare.install()
    assert refused.status == 1
    assert f"{bare.mysqld.plugin_dir} may not be written by this account" in refused.err
    shutil.copy(bare.library.path, bare.place)
    assert bare.install().status == 0
    assert bare.install("--no-copy").status == 0
    assert bare.uninstall().status == 1
    assert bare.uninstall("--no-remove").status == 0
    bare.place.unlink()

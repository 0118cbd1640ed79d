"""What lambda-sidecar install and uninstall do with the outbox: its account, its procedure, its rows.

Each test's name is the sentence that it proves; after each of them the server is as it was before."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator

import mysql.connector
import pytest
from tests.support.checkout import ROOT
from tests.support.installation import TABLES_OF_THE_OUTBOX, Bare, Outcome, installed
from tests.support.stack import execute
from tests.support.waiting import wait_until

from lambda_sidecar.outbox import election
from lambda_sidecar.outbox.schema import VERSION

ASYNC = "SELECT lambda_udf.lambda_async('Echo', '1')"
CALL = "CALL mysql.lambda_async('Echo', '1')"
UNINSTALL_SQL = (ROOT / "udf/sql/uninstall.sql").read_text()
TABLES = ("outbox", "outbox_waiting", "outbox_dead", "outbox_results")


@pytest.fixture
def courier(bare: Bare) -> Iterator[None]:
    """An account that may deliver."""
    bare.query("CREATE USER courier@localhost")
    assert bare.install("--outbox-account", "courier@localhost").status == 0
    yield
    bare.query("DROP USER courier@localhost")


def ids(bare: Bare) -> list[int]:
    return [id for (id,) in bare.query("SELECT id FROM lambda_udf.outbox ORDER BY id")]


def fill(bare: Bare, table: str) -> None:
    values = {
        "outbox": "(function_name, payload) VALUES ('f', '1')",
        "outbox_waiting": "(id, function_name, payload, caller) VALUES (1, 'f', '1', 'a@b')",
        "outbox_dead": "(id, function_name, payload, caller, error) VALUES (1, 'f', '1', 'a@b', 'gone')",
        "outbox_results": "(outbox_id, function_name, caller, status_code) VALUES (1, 'f', 'a@b', 200)",
    }
    bare.query(f"INSERT INTO lambda_udf.{table} {values[table]}")


def assert_done(done: Outcome) -> None:
    assert (done.status, done.err) == (0, "")


# ---- the account that delivers ----


def test_the_delivery_account_may_deliver_and_nothing_else(bare: Bare, courier: None) -> None:
    bare.query(ASYNC)
    with contextlib.closing(bare.connect(user="courier", database=None, autocommit=False)) as connection:
        execute(connection, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        claim = "SELECT id, payload, caller FROM lambda_udf.outbox ORDER BY id LIMIT 9 FOR UPDATE SKIP LOCKED"
        assert execute(connection, claim) == [(1, "1", "root@localhost")]
        for table in ("outbox_waiting", "outbox_dead", "outbox_results"):
            key = "outbox_id" if table == "outbox_results" else "id"
            columns, values = ("status_code", "200") if table == "outbox_results" else ("payload", "'1'")
            extra = (", error", ", 'e'") if table == "outbox_dead" else ("", "")
            execute(
                connection,
                f"""INSERT INTO lambda_udf.{table} ({key}, function_name, caller, {columns}{extra[0]})
                    VALUES (1, 'f', 'a@b', {values}{extra[1]})""",
            )
            execute(connection, f"SELECT * FROM lambda_udf.{table} FOR UPDATE SKIP LOCKED")
            execute(connection, f"UPDATE lambda_udf.{table} SET function_name = 'g'")
            execute(connection, f"DELETE FROM lambda_udf.{table}")
        execute(
            connection,
            """INSERT INTO lambda_udf.outbox_deduplication (caller, function_name, deduplication_key, outbox_id)
               VALUES ('a@b', 'f', 'k', 1) ON DUPLICATE KEY UPDATE seen_at = NOW(6)""",
        )
        execute(connection, "DELETE FROM lambda_udf.outbox_deduplication")
        execute(connection, "DELETE FROM lambda_udf.outbox WHERE id = 1")
        connection.commit()
        for allowed in (
            "SELECT version FROM lambda_udf.schema_version",
            f"SELECT GET_LOCK({election.LOCK}, 0)",
            "SELECT MEMBER_ROLE FROM performance_schema.replication_group_members",
            "SELECT @@server_uuid, @@read_only, @@super_read_only",
        ):
            execute(connection, allowed)
        for refused in (
            "INSERT INTO lambda_udf.outbox (function_name, payload) VALUES ('f', '1')",
            "UPDATE lambda_udf.outbox SET payload = '2'",
            "UPDATE lambda_udf.outbox_lock SET token = ''",
            "TRUNCATE TABLE lambda_udf.outbox_dead",
            "SELECT * FROM lambda_udf.outbox_status",
            ASYNC,
            "CALL lambda_udf.outbox_redrive(NULL)",
            "SELECT lambda_sync('Echo', '1')",
            "SELECT User FROM mysql.user",
        ):
            with pytest.raises(mysql.connector.Error) as error:
                execute(connection, refused)
            assert error.value.errno in (1142, 1227, 1370), refused


def test_a_delivery_account_that_is_not_there_is_found_before_anything_is_done(bare: Bare) -> None:
    before = bare.snapshot()
    refused = bare.install("--outbox-account", "courier@localhost")
    assert (refused.status, refused.out) == (1, "")
    assert (
        "there is no account 'courier'@'localhost' on this server; as an administrator: "
        "CREATE USER 'courier'@'localhost' IDENTIFIED BY '…'"
    ) in refused.err
    assert bare.snapshot() == before


def test_uninstall_takes_the_rights_of_the_delivery_account_and_of_readers(bare: Bare, courier: None) -> None:
    bare.query("GRANT SELECT ON lambda_udf.outbox_status TO app@'%' WITH GRANT OPTION")
    bare.query("GRANT INSERT (function_name) ON lambda_udf.outbox TO app@'%'")
    bare.query("GRANT EXECUTE ON PROCEDURE lambda_udf.outbox_redrive TO app@'%' WITH GRANT OPTION")
    assert_done(bare.uninstall())
    kept = "SELECT COUNT(*) FROM mysql.{} WHERE Db = 'lambda_udf'"
    assert [bare.value(kept.format(table)) for table in ("tables_priv", "columns_priv", "procs_priv")] == [
        0
    ] * 3
    assert_done(bare.install())
    # Not of the schema, and so not of what went with it.
    bare.query("REVOKE SELECT ON performance_schema.replication_group_members FROM courier@localhost")
    grants = bare.query("SHOW GRANTS FOR courier@localhost")
    assert grants == [("GRANT USAGE ON *.* TO `courier`@`localhost`",)]


# ---- the procedure ----


def test_the_procedure_writes_into_the_outbox_or_invokes_as_the_last_install_says(bare: Bare) -> None:
    bare.query("GRANT EXECUTE, ALTER ROUTINE ON PROCEDURE mysql.lambda_async TO app@'%' WITH GRANT OPTION")
    grants = bare.query("SHOW GRANTS FOR app@'%'")
    definer = bare.query("SHOW GRANTS FOR lambda_udf@localhost")
    told = bare.install("--procedure-through-outbox", "--dry-run")
    assert "SET accepted = lambda_udf.lambda_async(lambda_function_ARN, lambda_function_input);" in told.out
    for _ in range(2):
        assert_done(bare.install("--procedure-through-outbox"))
        with contextlib.closing(bare.connect(user="app", database=None, autocommit=False)) as connection:
            execute(connection, CALL)
            connection.rollback()
            execute(connection, CALL)
            connection.commit()
    assert (
        bare.query("SELECT function_name, payload, caller FROM lambda_udf.outbox")
        == [("Echo", "1", "lambda_udf@localhost")] * 2
    )
    assert bare.record.payloads("Echo") == []
    # Another build of the library changes nothing of it.
    assert_done(bare.install("--procedure-through-outbox", "--library", bare.other_build()))
    assert bare.query("SHOW GRANTS FOR app@'%'") == grants
    assert bare.query("SHOW GRANTS FOR lambda_udf@localhost") == definer
    bare.query("TRUNCATE TABLE lambda_udf.outbox")
    assert_done(bare.install())
    bare.query(CALL)
    assert (ids(bare), bare.record.payloads("Echo")) == ([], [1])
    assert bare.query("SHOW GRANTS FOR app@'%'") == grants
    bare.query("REVOKE ALL PRIVILEGES, GRANT OPTION FROM app@'%'")


# ---- nothing is lost silently ----


@pytest.mark.parametrize("table", TABLES)
def test_uninstall_refuses_while_the_outbox_holds_something(bare: Bare, table: str) -> None:
    fill(bare, table)
    before = bare.snapshot()
    refused = bare.uninstall()
    assert (refused.status, refused.out) == (1, "")
    assert f"the outbox is not empty (1 in {table}), so nothing was changed" in refused.err
    assert bare.snapshot() == before
    by_hand = bare.mysqld.client(input=UNINSTALL_SQL)
    assert "ERROR 1644 (45000)" in by_hand.stderr
    assert "then run this again" in by_hand.stderr
    for left in ("lambda_udf_uninstall", "lambda_udf_uninstall_outbox"):
        bare.query(f"DROP PROCEDURE mysql.{left}")  # as the next run of the script would
    after = bare.snapshot()
    # ALTER TABLE has made the table anew, with and without the constraint.
    assert {**after, TABLES_OF_THE_OUTBOX: None} == {**before, TABLES_OF_THE_OUTBOX: None}
    bare.query(ASYNC)
    told = bare.uninstall("--drop-outbox", "--dry-run")
    assert f"TRUNCATE TABLE lambda_udf.{table};" in told.out
    assert_done(bare.uninstall("--drop-outbox"))


def test_what_others_have_put_into_the_schema_is_not_dropped(bare: Bare) -> None:
    bare.query("CREATE VIEW lambda_udf.mine AS SELECT 1 AS one")
    refused = bare.uninstall()
    assert refused.status == 1
    assert "The schema lambda_udf holds what is not of lambda-udf; move it: mine" in refused.err
    assert bare.value("SELECT one FROM lambda_udf.mine") == 1
    bare.query(ASYNC)
    bare.query("TRUNCATE TABLE lambda_udf.outbox")
    bare.query("DROP VIEW lambda_udf.mine")


def test_an_event_that_is_not_committed_yet_when_uninstall_looks_is_not_lost(bare: Bare) -> None:
    outcome: list[Outcome] = []
    with contextlib.closing(bare.connect(autocommit=False)) as connection:
        execute(connection, ASYNC)
        thread = threading.Thread(target=lambda: outcome.append(bare.uninstall()))
        thread.start()
        waits = "SELECT 1 FROM information_schema.processlist WHERE state = 'Waiting for table metadata lock'"
        wait_until(lambda: bare.query(waits), what="uninstall waits for the transaction")
        connection.commit()
        thread.join()
    assert outcome[0].status == 1
    assert "lambda_udf.outbox holds events; let the sidecar deliver them" in outcome[0].err
    assert ids(bare) == [1]
    bare.query("TRUNCATE TABLE lambda_udf.outbox")


def test_an_uninstallation_that_was_cut_off_is_taken_back_by_install_and_ended_by_uninstall(
    bare: Bare,
) -> None:
    left = "ALTER TABLE lambda_udf.outbox ADD CONSTRAINT lambda_udf_is_being_uninstalled CHECK (FALSE)"
    bare.query(left)
    with pytest.raises(mysql.connector.Error, match="lambda_udf_is_being_uninstalled"):
        bare.query(ASYNC)
    assert_done(bare.install())
    bare.query(ASYNC)
    bare.query("TRUNCATE TABLE lambda_udf.outbox")
    bare.query(left)
    assert_done(bare.uninstall())


# ---- other versions ----


def test_an_installation_without_the_outbox_gets_it_and_keeps_everything_else(bare: Bare) -> None:
    before = bare.query("SELECT * FROM mysql.global_grants")
    bare.query("DROP DATABASE lambda_udf")
    bare.query("DROP FUNCTION lambda_outbox_hint")
    assert_done(bare.install("--library", bare.other_build()))
    bare.query(ASYNC)
    assert ids(bare) == [1]
    assert bare.query("SELECT version FROM lambda_udf.schema_version") == [(VERSION,)]
    assert bare.query("SELECT * FROM mysql.global_grants") == before
    bare.query("TRUNCATE TABLE lambda_udf.outbox")


def test_a_schema_of_version_1_becomes_the_one_of_a_new_installation_and_keeps_its_events(bare: Bare) -> None:
    shown = bare.query("SHOW CREATE TABLE lambda_udf.outbox_waiting")
    fill(bare, "outbox_waiting")
    bare.query(
        "ALTER TABLE lambda_udf.outbox_waiting DROP KEY of_function,"
        " STATS_PERSISTENT = DEFAULT, STATS_AUTO_RECALC = DEFAULT"
    )
    bare.query("UPDATE lambda_udf.schema_version SET version = 1")
    for _ in range(2):
        assert_done(bare.install())
        assert bare.query("SHOW CREATE TABLE lambda_udf.outbox_waiting") == shown
    versions = bare.query("SELECT version FROM lambda_udf.schema_version ORDER BY version")
    assert versions == [(1,), (VERSION,)]
    assert bare.value("SELECT COUNT(*) FROM lambda_udf.outbox_waiting") == 1
    bare.query("DELETE FROM lambda_udf.schema_version WHERE version = 1")
    bare.query("TRUNCATE TABLE lambda_udf.outbox_waiting")


def test_a_schema_whose_names_had_no_dots_takes_them_after_an_install_and_keeps_its_events(
    bare: Bare,
) -> None:
    shown = bare.query("SHOW CREATE TABLE lambda_udf.outbox")
    constraint = "function_name_must_be_a_name_or_a_partial_or_full_ARN"
    fill(bare, "outbox")
    bare.query(
        f"""ALTER TABLE lambda_udf.outbox DROP CHECK {constraint}, ADD CONSTRAINT {constraint} CHECK (
              JSON_SCHEMA_VALID('{{"maxLength": 170, "pattern": "^[a-zA-Z0-9_-]+$"}}', JSON_QUOTE(function_name)))"""
    )
    dotted = (
        "INSERT INTO lambda_udf.outbox (function_name, payload) VALUES ('orders.new:$LATEST.PUBLISHED', '1')"
    )
    with pytest.raises(mysql.connector.Error, match=constraint):
        bare.query(dotted)
    for _ in range(2):
        assert_done(bare.install())
        assert comparable(bare.query("SHOW CREATE TABLE lambda_udf.outbox")) == comparable(shown)
    bare.query(dotted)
    assert ids(bare)[0] == 1
    assert len(ids(bare)) == 2
    bare.query("TRUNCATE TABLE lambda_udf.outbox")


def comparable(shown: list[tuple[str, str]]) -> str:
    """Without the next id."""
    ((_, text),) = shown
    return re.sub(r" AUTO_INCREMENT=\d+", "", text)


def test_events_and_settings_outlive_another_build_of_the_library(bare: Bare) -> None:
    for table in TABLES:
        fill(bare, table)
    assert_done(bare.install("--library", bare.other_build()))
    assert [bare.value(f"SELECT COUNT(*) FROM lambda_udf.{table}") for table in TABLES] == [1, 1, 1, 1]
    assert_done(bare.uninstall("--drop-outbox"))


def test_a_library_that_does_not_load_leaves_the_hint_function_too(bare: Bare) -> None:
    broken = bare.mysqld.directory / "broken.so"
    broken.write_bytes(b"not a library")
    failed = bare.install("--library", broken)
    assert failed.err.endswith("the old library serves again\n")
    assert bare.value("SELECT ret FROM mysql.func WHERE name = 'lambda_outbox_hint'") == 2
    assert bare.value("SELECT lambda_outbox_hint() IS NULL") == 0


def test_a_schema_of_a_newer_release_is_left_alone(bare: Bare) -> None:
    bare.query(f"INSERT INTO lambda_udf.schema_version (version) VALUES ({VERSION + 1})")
    before = bare.snapshot()
    refused = bare.install()
    assert (refused.status, refused.out) == (1, "")
    assert f"the schema lambda_udf has version {VERSION + 1}, and this release knows {VERSION}" in refused.err
    assert bare.snapshot() == before
    bare.query(f"DELETE FROM lambda_udf.schema_version WHERE version = {VERSION + 1}")


def test_a_schema_of_this_name_that_is_somebody_elses_is_left_alone(server: Bare) -> None:
    with installed(server):
        assert_done(server.uninstall())
        server.query("CREATE DATABASE lambda_udf")
        server.query("CREATE TABLE lambda_udf.theirs (n INT)")
        refused = server.install()
        assert (refused.status, refused.out) == (1, "")
        assert "a schema lambda_udf that is not of lambda-udf" in refused.err
        server.query("DROP DATABASE lambda_udf")


# ---- the session that installs ----


def test_the_schema_is_the_same_whatever_the_installing_session_and_the_server_have_set(bare: Bare) -> None:
    shown = {name: bare.query(f"SHOW CREATE {name}") for name in _OBJECTS}
    assert_done(bare.uninstall())
    settings = (
        "SET GLOBAL sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'",
        "SET GLOBAL character_set_server = latin1",
        "SET GLOBAL explicit_defaults_for_timestamp = OFF",
        "SET GLOBAL sql_require_primary_key = ON",
        "SET GLOBAL sql_generate_invisible_primary_key = ON",
        "SET GLOBAL innodb_default_row_format = 'compact'",
    )
    try:
        for statement in settings:
            bare.query(statement)
        bare.place.write_bytes(bare.library.path.read_bytes())
        script = (ROOT / "udf/sql/install.sql").read_text()
        by_hand = bare.mysqld.client("--default-character-set=latin1", input=script)
        assert by_hand.returncode == 0, by_hand.stderr
    finally:
        for statement in settings:
            bare.query(statement.split(" = ")[0] + " = DEFAULT")
    assert {name: bare.query(f"SHOW CREATE {name}") for name in _OBJECTS} == shown


_OBJECTS = (
    *(
        f"TABLE lambda_udf.{table}"
        for table in (*TABLES, "outbox_deduplication", "outbox_lock", "schema_version")
    ),
    "VIEW lambda_udf.outbox_status",
    "FUNCTION lambda_udf.lambda_async",
    "FUNCTION lambda_udf.outbox_redriven",
    "PROCEDURE lambda_udf.outbox_redrive",
    "PROCEDURE mysql.lambda_async",
    "DATABASE lambda_udf",
)

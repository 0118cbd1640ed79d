"""lambda-sidecar install and uninstall on a server that knows nothing of lambda-udf.

Each test's name is the sentence that it proves; after each of them the server is as it was before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import mysql.connector
import pytest
from tests.support.component import variables
from tests.support.installation import Bare, run_plain, start_bare
from tests.support.stack import Library, execute
from tests.support.waiting import wait_until

CALL = "SELECT lambda_sync('Echo', '1')"
# 1,048,574 bytes; Lambda takes 1,048,576 for an Event.
LARGE = '"' + "\N{OWL}" * 262143 + '"'
PASSWORD = "Sesame-42"


@pytest.fixture(scope="module")
def server(library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    with start_bare(mysql_home, tmp_path_factory.mktemp(f"bare-{library.value}"), library) as bare:
        bare.query("CREATE USER app@'%', reader@localhost IDENTIFIED BY 'x'")
        bare.query("CREATE ROLE other")
        bare.query("GRANT other TO app@'%'")
        bare.query("SET DEFAULT ROLE other TO app@'%'")
        yield bare


@pytest.fixture
def bare(server: Bare) -> Iterator[Bare]:
    server.reset()
    before = server.snapshot()
    yield server
    assert server.uninstall().status == 0
    assert server.snapshot() == before


def test_install_twice_and_uninstall_twice_leave_everything_as_before(bare: Bare) -> None:
    before = bare.snapshot()
    first = bare.install()
    assert (first.status, first.err) == (0, "")
    assert bare.value(CALL) == "1"
    assert bare.place.stat().st_mode & 0o777 == 0o755
    installed = bare.snapshot()
    second = bare.install()
    assert (second.status, second.err) == (0, "")
    assert bare.snapshot() == installed
    for name, value in (
        ("connect_timeout_ms", "2000"),
        ("function_error", "'return'"),
        ("mode", "'invoke'"),
        ("socket", f"'{bare.sidecar.socket}'"),
        ("timeout_ms", "9000"),
    ):
        bare.query(f"SET PERSIST lambda_udf.{name} = {value}")
    bare.query("GRANT INVOKE_LAMBDA ON *.* TO app@'%', reader@localhost WITH GRANT OPTION")
    bare.query("GRANT AWS_LAMBDA_ACCESS TO reader@localhost WITH ADMIN OPTION")
    bare.query("SET DEFAULT ROLE ALL TO reader@localhost")
    bare.query("GRANT EXECUTE ON PROCEDURE mysql.lambda_async TO app@'%'")
    for _ in range(2):
        done = bare.uninstall()
        assert (done.status, done.err) == (0, "")
        # WITH GRANT OPTION gave the account that option for every privilege; the account has none else.
        bare.query("REVOKE GRANT OPTION ON *.* FROM app@'%', reader@localhost")
        assert bare.snapshot() == before


def test_installing_again_keeps_who_may_do_what(bare: Bare) -> None:
    bare.install("--grant", "'app'@'%'", "--default-role", "--socket-of-sidecar", bare.sidecar.socket)
    bare.query("GRANT EXECUTE ON PROCEDURE mysql.lambda_async TO reader@localhost")
    before = bare.snapshot()
    assert bare.install().status == 0
    assert bare.snapshot() == before


def test_the_table_of_calls_is_there_after_an_installation_and_after_an_upgrade(bare: Bare) -> None:
    """MySQL creates none for a component that is installed in a procedure, as install.sql does it."""
    for options in ((), ("--library", bare.other_build())):
        assert bare.install(*options).status == 0
        assert bare.value("SELECT COUNT(*) FROM performance_schema.lambda_udf_calls") == 0


def test_dry_run_prints_every_step_and_changes_nothing(bare: Bare) -> None:
    before = bare.snapshot()
    told = bare.install("--dry-run", "--grant", "app", "--default-role", "--socket-of-sidecar", "/run/s.sock")
    assert (told.status, told.err) == (0, "")
    for expected in (
        f"copy {bare.library.path} to {bare.place}",
        "CREATE FUNCTION IF NOT EXISTS lambda_sync   RETURNS STRING SONAME 'lambda_udf.so';",
        "INSTALL COMPONENT 'file://lambda_udf';",
        "GRANT 'AWS_LAMBDA_ACCESS'@'%' TO 'app'@'%';",
        "SET DEFAULT ROLE 'other'@'%', 'AWS_LAMBDA_ACCESS'@'%' TO 'app'@'%';",
        "SET PERSIST lambda_udf.socket = '/run/s.sock';",
    ):
        assert expected in told.out
    assert bare.snapshot() == before
    bare.install()
    installed = bare.snapshot()
    for told in (bare.uninstall("--dry-run"), bare.install("--dry-run", "--library", bare.other_build())):
        assert told.status == 0
        assert "UNINSTALL COMPONENT 'file://lambda_udf';" in told.out
    assert bare.snapshot() == installed


def test_a_granted_account_can_call_at_its_next_login_and_keeps_its_other_roles(bare: Bare) -> None:
    assert bare.install("--grant", "'app'@'%'", "--default-role").status == 0
    with contextlib.closing(bare.connect(user="app", database=None)) as connection:
        assert execute(connection, CALL) == [("1",)]
        ((roles,),) = execute(connection, "SELECT CURRENT_ROLE()")
    assert roles == "`AWS_LAMBDA_ACCESS`@`%`,`other`@`%`"


def test_verify_invokes_a_function_and_reports_one_that_fails(bare: Bare) -> None:
    done = bare.install("--verify", "Echo")
    assert done.status == 0, done
    assert bare.record.payloads("Echo") == [{}]
    failed = bare.install("--verify", "Nowhere")
    assert failed.status == 1
    assert (
        "installed, but calling Nowhere failed: lambda_sync UDF failed; Lambda API returned error"
        in failed.err
    )


def test_the_socket_is_persisted(bare: Bare) -> None:
    assert bare.install("--socket-of-sidecar", "/run/elsewhere/s.sock", "--without-sidecar").status == 0
    assert variables(bare)["socket"] == "/run/elsewhere/s.sock"
    bare.mysqld.stop()
    bare.mysqld.start()
    assert variables(bare)["socket"] == "/run/elsewhere/s.sock"


def test_execute_on_the_procedure_is_all_that_its_caller_needs(bare: Bare) -> None:
    bare.install()
    bare.query("GRANT EXECUTE ON PROCEDURE mysql.lambda_async TO app@'%'")
    with contextlib.closing(bare.connect(user="app", database=None)) as connection:
        execute(connection, "CALL mysql.lambda_async(%s, %s)", ("Echo", LARGE))
        with pytest.raises(mysql.connector.Error) as refused:
            execute(connection, "SELECT lambda_async('Echo', '1')")
    assert refused.value.errno == 1227
    (payload,) = bare.record.payloads("Echo")
    assert payload == LARGE.strip('"')
    bare.query("REVOKE EXECUTE ON PROCEDURE mysql.lambda_async FROM app@'%'")
    app = bare.connect(user="app", database=None)
    with contextlib.closing(app), pytest.raises(mysql.connector.Error) as refused:
        execute(app, "CALL mysql.lambda_async('Echo', '1')")
    assert refused.value.errno == 1370


def test_the_procedures_definer_may_invoke_and_run_it_and_nobody_can_be_it(bare: Bare) -> None:
    """What SECURITY.md says of lambda_udf@localhost."""
    bare.install()
    grants = {row[0] for row in bare.query("SHOW GRANTS FOR lambda_udf@localhost")}
    assert grants == {
        "GRANT USAGE ON *.* TO `lambda_udf`@`localhost`",
        "GRANT INVOKE_LAMBDA ON *.* TO `lambda_udf`@`localhost`",
        "GRANT EXECUTE ON PROCEDURE `mysql`.`lambda_async` TO `lambda_udf`@`localhost`",
        "GRANT SELECT (`created_at`, `function_name`, `options`), INSERT (`function_name`, `options`, `payload`)"
        " ON `lambda_udf`.`outbox` TO `lambda_udf`@`localhost`",
        "GRANT SELECT (`attempts`, `created_at`, `due_at`, `function_name`, `id`), INSERT"
        " ON `lambda_udf`.`outbox_waiting` TO `lambda_udf`@`localhost`",
        "GRANT SELECT, DELETE ON `lambda_udf`.`outbox_dead` TO `lambda_udf`@`localhost`",
        "GRANT EXECUTE ON FUNCTION `lambda_udf`.`lambda_async` TO `lambda_udf`@`localhost`",
        "GRANT EXECUTE ON FUNCTION `lambda_udf`.`outbox_redriven` TO `lambda_udf`@`localhost`",
        "GRANT EXECUTE ON PROCEDURE `lambda_udf`.`outbox_redrive` TO `lambda_udf`@`localhost`",
    }
    with pytest.raises(mysql.connector.Error, match="Account is locked"):
        bare.connect(user="lambda_udf", database=None)
    holders = bare.query(
        "SELECT User, Host FROM mysql.procs_priv WHERE Db = 'mysql' AND Routine_name = 'lambda_async'"
    )
    assert holders == [("lambda_udf", "localhost")]


def test_execute_on_everything_includes_the_procedure_and_the_sidecar_hears_its_definer(bare: Bare) -> None:
    bare.install()
    bare.query("GRANT EXECUTE ON *.* TO app@'%'")
    try:
        app = bare.connect(user="app", database=None)
        with contextlib.closing(app), pytest.raises(mysql.connector.Error, match="ResourceNotFoundException"):
            execute(app, "CALL mysql.lambda_async('Nowhere', '1')")
    finally:
        bare.query("REVOKE EXECUTE ON *.* FROM app@'%'")
    line = "account='lambda_udf'@'localhost'"
    wait_until(lambda: bare.sidecar.log_contains(line), what=line)


# ---- who connects, and how ----


@pytest.mark.parametrize("way", ["MYSQL_PWD", "option file", "prompt"])
def test_a_password_comes_from_anywhere_but_the_command_line_and_is_never_printed(
    bare: Bare, way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare.query(f"CREATE USER boss@localhost IDENTIFIED BY '{PASSWORD}'")
    bare.query("GRANT ALL ON *.* TO boss@localhost WITH GRANT OPTION")
    arguments: list[str | Path] = ["--user", "boss", "--socket", bare.mysqld.socket]
    if way == "MYSQL_PWD":
        monkeypatch.setenv("MYSQL_PWD", PASSWORD)
    elif way == "option file":
        file = tmp_path / "admin.cnf"
        file.write_text(f"[client]\nuser = boss\npassword = '{PASSWORD}'\nsocket={bare.mysqld.socket}\n")
        arguments = ["--defaults-file", file]
    else:
        monkeypatch.setattr("getpass.getpass", lambda prompt: PASSWORD)
        arguments.append("--password")
    try:
        done = run_plain("install", "--library", bare.library.path, *arguments)
        refused = run_plain("install", "--socket", bare.mysqld.socket, "--user", "nobody")
    finally:
        bare.query("DROP USER boss@localhost")
        monkeypatch.delenv("MYSQL_PWD", raising=False)
    assert (done.status, done.err) == (0, "")
    assert refused.status == 1
    assert f"no connection to MySQL at {bare.mysqld.socket} as nobody" in refused.err
    assert PASSWORD not in done.out + refused.out + refused.err


def test_who_is_refused_without_a_password_is_shown_the_option_that_asks_for_it(bare: Bare) -> None:
    """Of an account that there is: for any other name the server makes up a way to prove itself."""
    bare.query("CREATE USER guarded@localhost IDENTIFIED BY 'a password'")
    try:
        refused = run_plain("install", "--no-defaults", "--socket", bare.mysqld.socket, "--user", "guarded")
    finally:
        bare.query("DROP USER guarded@localhost")
    assert refused.err.endswith("(using password: NO); --password asks for it\n")


@pytest.mark.parametrize(
    "arguments", [["--grant", "a b"], ["--socket-of-sidecar", "s.sock"], ["--nonsense"], ["--port", "x"]]
)
def test_wrong_arguments_are_refused_with_status_2(arguments: list[str]) -> None:
    assert run_plain("install", *arguments).status == 2

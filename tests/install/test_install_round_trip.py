"""The end of install, and `check --mysql`: what keeps calls from getting through is found there, and not by SQL.

Each test's name is the sentence that it proves; each of the lines ends in the next step."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.account import REGION, ROLE
from tests.support.aws_sidecar import aws_sidecar, variables
from tests.support.contract_server import OldSidecar, serve
from tests.support.installation import Bare, Outcome, run_plain, start_bare
from tests.support.mysql_impostor import FULL_AUTHENTICATION, impostor
from tests.support.stack import Library, local_config
from tests.support.unread_output import run_unread

from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess
from lambda_sidecar.version import version

ALL_INSTALLED = "everything is installed, but calls would fail: the lines that begin with FAIL say why"


@pytest.fixture(scope="module")
def server(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    """With one build of the library: the commands are looked at here, and lambda_ping() by its own tests."""
    with start_bare(mysql_home, tmp_path_factory.mktemp("round-trip"), Library.PLAIN) as bare:
        yield bare


def failures(done: Outcome) -> list[str]:
    return [line for line in done.out.splitlines() if line.startswith("FAIL")]


def check(bare: Bare, *arguments: str | Path) -> Outcome:
    """`check --mysql` beside a sidecar, which is the bare server's own unless the arguments say otherwise."""
    named = arguments if "--socket" in arguments else ("--socket", bare.sidecar.socket, *arguments)
    server = ("--mysql", "--no-defaults", "--mysql-socket", bare.mysqld.socket)
    done = subprocess.run(
        [sys.executable, "-m", "lambda_sidecar.cli", "check", *named, *server],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def socket_variable(bare: Bare, path: Path) -> Iterator[None]:
    bare.query("SET GLOBAL lambda_udf.connect_timeout_ms = 100")
    bare.query(f"SET GLOBAL lambda_udf.socket = '{path}'")
    try:
        yield
    finally:
        bare.query("SET GLOBAL lambda_udf.connect_timeout_ms = DEFAULT")
        bare.query("SET GLOBAL lambda_udf.socket = DEFAULT")


def test_both_end_with_a_round_trip_and_say_that_it_succeeded(bare: Bare) -> None:
    line = (
        f"ok    round trip: mysqld reaches the sidecar over {bare.sidecar.socket}; it has version {version()}"
    )
    calls = bare.record.count()
    for done in (bare.install(), check(bare)):
        assert (done.status, done.err) == (0, "")
        assert line in done.out.splitlines()
        assert "-     credentials: none are needed: [local] answers every call on this machine" in done.out
    assert bare.record.count() == calls


def test_no_sidecar_is_found_by_both(bare: Bare) -> None:
    bare.query("SET GLOBAL lambda_udf.connect_timeout_ms = 100")
    bare.sidecar.stop()
    try:
        done, checked = bare.install(), check(bare)
        without = bare.install("--without-sidecar")
    finally:
        bare.sidecar.start()
        bare.query("SET GLOBAL lambda_udf.connect_timeout_ms = DEFAULT")
    why = f"lambda_ping UDF failed; sidecar unavailable: {bare.sidecar.socket}: No such file or directory"
    line = f"FAIL  round trip: {why}; next: start the sidecar (systemctl start lambda-sidecar)"
    assert failures(done)[0].startswith(line)
    assert len(failures(done)) == 1
    assert (done.status, ALL_INSTALLED in done.err) == (1, True)
    assert failures(checked)[0].startswith(f"FAIL  socket: {bare.sidecar.socket}: is not there")
    assert failures(checked)[-1].startswith(line)
    assert checked.status == 1
    assert (without.status, without.err, failures(without)) == (0, "", [])


def test_a_wrong_socket_variable_is_found_by_both(bare: Bare, tmp_path: Path) -> None:
    with socket_variable(bare, tmp_path / "wrong.sock"):
        done, checked = bare.install(), check(bare)
    why = f"lambda_ping UDF failed; sidecar unavailable: {tmp_path}/wrong.sock: No such file or directory"
    (line,) = failures(done)
    assert line.startswith(f"FAIL  round trip: {why}; next: start the sidecar")
    assert "lambda-sidecar install --socket-of-sidecar PATH" in line
    assert failures(checked) == [
        f"FAIL  round trip: {why}; next: SET PERSIST lambda_udf.socket = '{bare.sidecar.socket}'"
    ]
    assert (done.status, checked.status) == (1, 1)


def test_install_names_the_socket_of_a_sidecar_that_answers_where_one_is_looked_for(
    bare: Bare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_SIDECAR_SOCKET", str(bare.sidecar.socket))
    with socket_variable(bare, tmp_path / "wrong.sock"):
        (line,) = failures(bare.install())
    assert line.endswith(f"; next: SET PERSIST lambda_udf.socket = '{bare.sidecar.socket}'")


def test_another_sidecar_than_the_one_that_was_asked_is_found(bare: Bare, tmp_path: Path) -> None:
    with SidecarProcess(tmp_path, local_config(free_port())) as other:
        done = check(bare, "--socket", other.socket)
    assert failures(done) == [
        f"FAIL  round trip: mysqld reaches another sidecar, over {bare.sidecar.socket}, than the one on "
        f"{other.socket}; next: SET PERSIST lambda_udf.socket = '{other.socket}'"
    ]


@pytest.mark.parametrize("kind", ["no credentials", "no STS"])
def test_what_the_service_lacks_is_found_by_both_whatever_the_shell_has(
    bare: Bare, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables(tmp_path, "http://127.0.0.1:1", "http://127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    with service(tmp_path, kind) as socket, socket_variable(bare, socket):
        done, checked = bare.install(), check(bare, "--socket", socket)
    expected = {
        "no credentials": "FAIL  credentials: Lambda API returned error: Missing Credentials: Cannot instantiate "
        "Lambda Client; next: give the service credentials (",
        "no STS": "FAIL  credentials: found, but STS is out of reach: STS at http://127.0.0.1:",
    }[kind]
    for each in (done, checked):
        (line,) = failures(each)
        assert line.startswith(expected)
        assert "; next: " in line
        assert f"ok    round trip: mysqld reaches the sidecar over {socket}" in each.out
        assert each.status == 1
    assert ALL_INSTALLED in done.err


@contextlib.contextmanager
def service(directory: Path, kind: str) -> Iterator[Path]:
    """A sidecar that lacks it; its socket."""
    if kind == "no STS":
        sts = f"http://127.0.0.1:{free_port()}"
        with aws_sidecar(directory, sts_url=sts, aws_default_lambda_role=ROLE + "one") as aws:
            yield aws.sidecar.socket
        return
    environment = variables(directory, "http://127.0.0.1:1", "http://127.0.0.1:1")
    environment |= {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    with SidecarProcess(directory, {"region": REGION}, environment=environment) as sidecar:
        yield sidecar.socket


def test_an_older_sidecar_is_told_as_such(bare: Bare, tmp_path: Path) -> None:
    with serve(OldSidecar(), tmp_path / "old.sock") as socket, socket_variable(bare, socket):
        done = check(bare)
    assert failures(done) == [
        "FAIL  round trip: lambda_ping UDF failed; unknown invocation type; next: restart the sidecar, so that "
        "the installed release runs (systemctl restart lambda-sidecar)"
    ]


def test_an_older_library_is_told_as_such(bare: Bare) -> None:
    bare.query("DROP FUNCTION lambda_ping")
    done = check(bare)
    assert bare.install().status == 0
    assert failures(done) == [
        "FAIL  round trip: the server has no lambda_ping(); next: run lambda-sidecar install"
    ]


def test_an_account_that_may_not_invoke_makes_no_round_trip_and_that_is_no_failure(bare: Bare) -> None:
    bare.query("CREATE USER visitor@localhost")
    try:
        done = check(bare, "--user", "visitor")
    finally:
        bare.query("DROP USER visitor@localhost")
    assert (
        "WARN  round trip: Access denied; you need (at least one of) the Invoke Lambda privilege(s) for this "
        "operation; next: to have it made, connect as an account with SUPER or AWS_LAMBDA_ACCESS"
    ) in done.out.splitlines()
    assert (done.status, failures(done)) == (0, [])


def test_a_server_without_the_component_and_a_mode_that_leaves_calls_out_are_found(bare: Bare) -> None:
    bare.query("SET GLOBAL lambda_udf.mode = 'deny'")
    denied = check(bare)
    with socket_variable(bare, Path("/nowhere/s")):
        replica = bare.install()
    bare.query("UNINSTALL COMPONENT 'file://lambda_udf'")
    missing = check(bare)
    assert bare.install().status == 0
    assert (
        "WARN  mode: lambda_udf.mode is 'deny': every call is refused; next: SET PERSIST lambda_udf.mode = 'invoke'"
        in denied.out.splitlines()
    )
    assert (denied.status, failures(denied)) == (0, [])
    assert (replica.status, failures(replica)) == (0, [])
    assert "WARN  round trip: lambda_ping UDF failed; sidecar unavailable: /nowhere/s: " in replica.out
    assert failures(missing) == [
        "FAIL  round trip: lambda-udf's component is not installed on this server; next: run lambda-sidecar install"
    ]


def without_override(mysql_home: Path, home: Path) -> Path:
    """The same servers, but root's mysqld obeys the rights of files, as that of any account does."""
    (home / "bin").mkdir(parents=True)
    for program in (mysql_home / "bin").iterdir():
        (home / "bin" / program.name).symlink_to(program)
    mysqld = home / "bin/mysqld"
    mysqld.unlink()
    command = f"exec setpriv --bounding-set=-dac_override,-dac_read_search {mysql_home}/bin/mysqld"
    mysqld.write_text(f'#!/bin/sh\n{command} "$@"\n')
    mysqld.chmod(0o755)
    if (mysql_home / "root").exists():
        (home / "root").symlink_to(mysql_home / "root")
    return home


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give the socket to another account")
def test_a_socket_of_another_group_than_mysqlds_is_found_by_both(mysql_home: Path, tmp_path: Path) -> None:
    home = without_override(mysql_home, tmp_path / "home")
    with start_bare(home, tmp_path, Library.PLAIN) as bare:
        os.chown(bare.sidecar.socket, *pwd.getpwnam("nobody")[2:4])
        done, checked = bare.install(), check(bare)
        group = bare.sidecar.socket.group()
    why = f"lambda_ping UDF failed; sidecar unavailable: {bare.sidecar.socket}: Permission denied"
    for each in (done, checked):
        (line,) = failures(each)
        assert line.startswith(
            f"FAIL  round trip: {why}; next: let mysqld's account open it (belongs to nobody, group {group}, "
            "mode 0660): its group must be the socket's (Group= in the sidecar's unit)"
        )
        assert each.status == 1
    assert ALL_INSTALLED in done.err


# ---- other servers, and other ends ----


@pytest.mark.parametrize("greeted", ["5.5.5-10.11.6-MariaDB-0+deb12u1", "11.4.2-MariaDB"])
def test_mariadb_is_refused_in_one_sentence_before_anything_is_sent(greeted: str) -> None:
    with impostor(FULL_AUTHENTICATION, None, version=greeted) as made:
        for command in ("install", "uninstall"):
            done = run_plain(
                command,
                "--no-defaults",
                "--host",
                "127.0.0.1",
                "--port",
                str(made.port),
                "--ssl-mode",
                "DISABLED",
            )
            own = greeted.removeprefix("5.5.5-")
            assert done.err == (
                f"lambda-sidecar: this server is MariaDB ({own}), and lambda-udf is for MySQL 8.0.29 or newer\n"
            )
            assert (done.status, done.out) == (1, "")
        assert made.received == b""


def test_a_default_role_for_nobody_is_refused() -> None:
    done = run_plain("install", "--default-role")
    assert (done.status, done.out) == (2, "")
    assert done.err == "lambda-sidecar: --default-role is for the accounts of --grant, and there are none\n"


def test_an_installation_goes_on_to_its_end_where_nobody_reads_its_output(server: Bare) -> None:
    server.reset()
    library = ("--library", server.library.path)
    done = run_unread("install", "--no-defaults", "--socket", server.mysqld.socket, *library)
    try:
        assert (done.returncode, done.stderr) == (0, "")
        assert server.value("SELECT lambda_sync('Echo', '1')") == "1"
    finally:
        assert server.uninstall().status == 0


def test_a_second_uninstall_says_that_nothing_is_left(server: Bare) -> None:
    server.reset()
    assert server.install().status == 0
    first, second = server.uninstall(), server.uninstall()
    assert (first.status, second.status) == (0, 0)
    assert "nothing left" not in first.out
    assert second.out == "nothing left: this server has nothing of lambda-udf\n"


@pytest.mark.parametrize(
    ("left", "gone"),
    [
        ("CREATE ROLE AWS_LAMBDA_ACCESS", "DROP ROLE AWS_LAMBDA_ACCESS"),
        ("CREATE DATABASE lambda_udf", "DROP DATABASE lambda_udf"),
        ("CREATE PROCEDURE mysql.lambda_udf_install() DO 1", "DROP PROCEDURE mysql.lambda_udf_install"),
        ("CREATE USER lambda_udf@localhost", "DROP USER lambda_udf@localhost"),
    ],
)
def test_as_long_as_anything_is_left_it_does_not_say_so(server: Bare, left: str, gone: str) -> None:
    server.reset()
    server.query(left)
    try:
        told = server.uninstall("--dry-run")
    finally:
        server.query(gone)
    assert "nothing left" not in told.out
    assert "run uninstall.sql" in told.out

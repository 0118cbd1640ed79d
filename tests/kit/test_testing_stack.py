"""make up, make sql, make down and make demo: a whole stack, private, repaired, and gone without trace.

Knows the commands' promises, not what the library's functions answer beyond a ping."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import mysql.connector
import pytest
from examples.checkout import CHECKOUT, mysql_home
from examples.playground import stop_all
from tests.support.ports import free_port

from lambda_sidecar.testing import mysqld, sidecar
from lambda_sidecar.testing.process import ServerProcess

PING = "SELECT lambda_sync('BasicTestLambda', '{\"operation\": \"ping\"}')"


class Commands:
    """`python -m examples.playground` on a folder and a port of its own."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.port = free_port()

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-W",
            "error",
            "-m",
            "examples.playground",
            "--run",
            str(self.run),
            *arguments,
        ]
        return subprocess.run(
            command,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            stdin=subprocess.DEVNULL,
            env=os.environ | environment,
        )

    def up(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self("up", "--port", str(self.port), *arguments, **environment)

    def process(self, identity: tuple[str, ...]) -> ServerProcess:
        found = ServerProcess.find(identity)
        assert found is not None, f"no process with {identity}"
        return found


@pytest.fixture
def commands(folder: Path) -> Iterator[Commands]:
    made = Commands(folder / ".run")
    yield made
    stop_all(made.run)


@pytest.fixture
def stack(commands: Commands) -> Commands:
    done = commands.up()
    assert (done.returncode, done.stderr) == (0, "")
    return commands


def test_up_serves_sql_and_is_private(stack: Commands) -> None:
    done = stack("sql", LAMBDA_UDF_SQL=PING)
    assert done.returncode == 0, done.stderr
    assert '"message": "pong"' in done.stdout
    assert stack("sql", "SELECT nothing").returncode == 1
    assert {name: oct((stack.run / name).stat().st_mode)[-3:] for name in (".", "my.cnf")} == {
        ".": "700",
        "my.cnf": "600",
    }


def test_up_brings_the_table_of_calls(stack: Commands) -> None:
    shown = stack(
        "sql", "SELECT COUNT(*) AS calls FROM performance_schema.lambda_udf_calls WHERE phase = 'sent'"
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "0" in shown.stdout


def test_tcp_wants_the_password_of_my_cnf(stack: Commands) -> None:
    client = [
        str(mysql_home() / "bin" / "mysql"),
        f"--defaults-file={stack.run}/my.cnf",
        "--execute=SELECT CURRENT_USER()",
    ]
    done = subprocess.run(client, capture_output=True, text=True, check=False)
    assert "root@127.0.0.1" in done.stdout, done.stderr
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(mysql.connector.Error, match="Access denied"):
            mysql.connector.connect(host=host, port=stack.port, user="root", password="")


def test_a_second_up_says_that_it_runs_and_what_it_does_not_change(stack: Commands, folder: Path) -> None:
    again = stack.up("--functions", str(folder))
    assert again.returncode == 0
    assert "runs already" in again.stdout
    assert "another FUNCTIONS" in again.stdout


@pytest.mark.parametrize("killed", [mysqld.identity, sidecar.identity])
def test_up_repairs_a_stack_that_lost_a_process(
    stack: Commands, killed: Callable[[Path], tuple[str, ...]]
) -> None:
    stack.process(killed(stack.run)).kill()
    done = stack.up()
    assert done.returncode == 0, done.stderr
    assert "pong" in stack("sql", PING).stdout


def test_down_removes_everything_and_is_fine_with_nothing(stack: Commands) -> None:
    assert "Stopped" in stack("down").stdout
    assert not stack.run.exists()
    for identity in (mysqld.identity(stack.run), sidecar.identity(stack.run)):
        assert ServerProcess.find(identity) is None
    assert stack("down").returncode == 0
    sql = stack("sql", "SELECT 1")
    assert (sql.returncode, "make up" in sql.stderr) == (1, True)


def test_down_finds_what_lost_its_folder(stack: Commands) -> None:
    (stack.run / "mysqld.pid").unlink()
    stack.run.rename(stack.run.with_name("elsewhere"))
    assert "Stopped" in stack("down").stdout
    assert ServerProcess.find(mysqld.identity(stack.run)) is None


def test_an_up_that_fails_leaves_nothing(commands: Commands) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", commands.port))
        taken.listen()
        done = commands.up()
    assert done.returncode == 1
    assert f"port {commands.port}" in done.stderr
    broken = commands.run.with_name("broken.so")
    broken.write_bytes(b"")
    done = commands.up("--library", str(broken))
    assert (done.returncode, "Can't open shared library" in done.stderr) == (1, True), done.stderr
    assert not commands.run.exists()
    assert stop_all(commands.run) == 0


@pytest.mark.parametrize(
    ("arguments", "function", "region", "path"),
    [
        ((), "BasicTestLambda", None, "BasicTestLambda"),
        (
            ("--function-name-format", "name"),
            "210987654321:function:BasicTestLambda",
            "eu-west-1",
            "BasicTestLambda",
        ),
    ],
)
def test_up_with_an_endpoint_calls_it_under_the_name_that_was_typed_with_placeholder_credentials(
    commands: Commands, arguments: tuple[str, ...], function: str, region: str | None, path: str
) -> None:
    environment = {} if region is None else {"AWS_REGION": region}
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        port = endpoint.getsockname()[1]
        up = commands.up("--endpoint", f"http://127.0.0.1:{port}", *arguments, **environment)
        assert up.returncode == 0
        endpoint.settimeout(20)
        sql = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "examples.playground",
                "--run",
                str(commands.run),
                "sql",
                PING.replace("BasicTestLambda", function),
            ],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            text=True,
        )
        with sql, endpoint.accept()[0] as connection:
            connection.settimeout(20)
            received = b""
            while b"ping" not in received:
                received += connection.recv(65536)
            body = json.dumps({"from": "elsewhere"}).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            answer = sql.communicate(timeout=20)[0]
    assert "elsewhere" in answer
    assert b"Credential=placeholder/" in received
    assert received.startswith(f"POST /2015-03-31/functions/{path}/invocations HTTP/1.1\r\n".encode())
    assert f"/{region or 'us-east-1'}/lambda/aws4_request".encode() in received


def test_the_demo_shows_all_and_leaves_nothing(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "examples.demo"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    for shown in (
        "VERSION()",
        "pong",
        "Grüße aus MySQL 🐬",
        '"StatusCode": 202',
        '"customer": "Ada"',
        "ROLLBACK",
        '"customer": "Barbara"',
        '"customer": "Edsger"',
        "one after the other they would take 100 s",
        "enrich.sql fills columns with lambda_map",
        '"subject": "Email subject"',
        "ERROR 3200",
    ):
        assert shown in done.stdout
    assert list(folder.iterdir()) == []

"""make up, make sql, make down and make demo: a whole stack, private, repaired, and gone without trace.

Knows the commands' promises, not what the library's functions answer beyond a ping."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import shlex
import socket
import subprocess
import sys
import unicodedata
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import mysql.connector
import pytest
from examples.checkout import CHECKOUT, FUNCTIONS, mysql_home
from examples.playground import stop_all
from examples.terminal import RED, indented, painted

from lambda_sidecar.testing import mysqld, sidecar
from lambda_sidecar.testing.ports import free_port
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


def test_up_brings_the_table_of_calls_which_shows_one_that_failed(stack: Commands) -> None:
    assert stack("sql", "SELECT lambda_sync('Nowhere', '1')").returncode == 1
    shown = stack("sql", "SELECT function_name, phase FROM performance_schema.lambda_udf_calls")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.search(r"\| Nowhere +\| failed +\|", shown.stdout)


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


def test_a_second_up_says_that_it_runs_what_it_serves_and_what_it_does_not_change(
    stack: Commands, folder: Path
) -> None:
    served = f"Calls go to the functions in {FUNCTIONS}:\n  BasicTestLambda, Big, Echo,"
    for arguments in (("--functions", str(folder)), ("--endpoint", "http://127.0.0.1:9")):
        again = stack.up(*arguments)
        assert again.returncode == 0
        assert "runs already" in again.stdout
        assert "another FUNCTIONS" in again.stdout
        assert served in again.stdout
        assert f"Calls go to {arguments[1]}" not in again.stdout
        assert f"Calls go to the functions in {arguments[1]}" not in again.stdout
    again = stack.up()
    assert served in again.stdout
    assert "Note:" not in again.stdout


def test_up_says_which_folders_are_not_served_and_shows_the_way_to_output_and_invocations(
    commands: Commands, folder: Path
) -> None:
    functions = folder / "functions"
    for name, code in (
        ("Prints", "def lambda_handler(event, context):\n    print('got', event)\n"),
        ("docs", ""),
    ):
        (functions / name).mkdir(parents=True)
        (functions / name / ("lambda_function.py" if code else "README.md")).write_text(code)
    up = commands.up("--functions", str(functions))
    assert f"Calls go to the functions in {functions}:\n  Prints\n" in up.stdout
    assert f"Note: {functions}/docs is not served: it has no lambda_function.py" in up.stdout
    assert commands("sql", "SELECT lambda_sync('Prints', '7')").returncode == 0
    assert "Prints: got 7" in (commands.run / "sidecar.log").read_text()
    shown = up.stdout.partition("Invocations so far: ")[2].partition("\nLogs: ")[0]
    assert shown.startswith("curl ")
    curl = shlex.split(shown.replace("\\\n", " "))
    name, value = curl[curl.index("-sH") + 1].split(": ")
    request = urllib.request.Request(curl[-1], headers={name: value})  # noqa: S310  of our own making
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        (invocation,) = json.load(answer)
    assert (invocation["function"], invocation["payload"]) == ("Prints", "7")


@pytest.mark.parametrize("name", ["BasicTestLambda", "Mine"])
def test_the_statement_that_up_shows_calls_a_function_that_is_served(
    commands: Commands, folder: Path, name: str
) -> None:
    function = folder / "functions" / name
    function.mkdir(parents=True)
    (function / "lambda_function.py").write_text("def lambda_handler(event, context):\n    return 'served'\n")
    up = commands.up("--functions", str(function.parent))
    (shown,) = re.findall(r"^  make sql Q=(\".+\")$", up.stdout, re.MULTILINE)
    done = commands("sql", *shlex.split(shown))
    assert (done.returncode, "served" in done.stdout) == (0, True), done.stderr


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


def test_the_demo_shows_all_in_colour_on_a_terminal_of_80_columns_and_leaves_nothing(folder: Path) -> None:
    reader, writer = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "examples.demo"],
        cwd=CHECKOUT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(folder), "TERM": "xterm", "NO_COLOR": ""},
    ) as running:
        os.close(writer)
        received = b""
        with contextlib.suppress(OSError):  # EIO: the end of a terminal that nobody has open (pty(7))
            while chunk := os.read(reader, 65536):
                received += chunk
        os.close(reader)
        assert running.stderr is not None
        assert running.stderr.read() == ""
    assert running.returncode == 0
    text = received.decode().replace("\r\n", "\n")
    assert "\x1b[1;36m== A stock MySQL ==\x1b[0m\n" in text
    lines = re.sub("\x1b\\[[0-9;]*m", "", text).splitlines()
    assert [line for line in lines if width(line) > 80 or not line.isprintable()] == []
    words = " ".join("\n".join(lines).split())
    for part in (
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
        assert part in words
    assert list(folder.iterdir()) == []


def width(line: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in line)


def test_text_is_in_colour_only_on_a_terminal_that_can_and_shall(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert painted("text", RED) == "text"
    monkeypatch.setattr(sys, "stdout", terminal)
    assert painted("text", RED) == "\x1b[31mtext\x1b[0m"
    for name, value in (("TERM", "dumb"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
        assert painted("text", RED) == "text"


def test_long_text_is_broken_at_80_columns() -> None:
    lines = indented("Grüße 🐬 " * 40)
    assert {width(line) <= 80 for line in lines} == {True}
    assert " ".join(line.strip() for line in lines) == ("Grüße 🐬 " * 40).strip()

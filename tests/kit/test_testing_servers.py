"""The classes that start one real server, mysqld or sidecar: ready when they say so, gone afterwards.

Knows neither the library nor a call through it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.checkout import mysql_home
from tests.support.waiting import wait_until

from lambda_sidecar.testing import mysqld, sidecar
from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.process import ServerError, ServerProcess
from lambda_sidecar.testing.sidecar import SidecarProcess, toml_text


@pytest.fixture(scope="module")
def home() -> Path:
    return mysql_home()


@pytest.fixture
def server(home: Path, folder: Path) -> Iterator[Mysqld]:
    with Mysqld(home, folder) as running:
        yield running


def test_a_server_is_private_and_serves_root_on_its_socket(server: Mysqld) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_USER(), @@skip_networking, @@plugin_dir, @@log_bin")
        assert cursor.fetchone() == ("root@localhost", 1, f"{server.plugin_dir}/", 0)
    assert server.directory.stat().st_mode & 0o077 == 0
    assert server.log_contains("ready for connections")


def test_the_client_passes_text_of_every_plane_and_its_status(server: Mysqld) -> None:
    done = server.client("--skip-column-names", "--default-character-set=utf8mb4", input="SELECT 'ß🐬'")
    assert (done.returncode, done.stdout) == (0, "ß🐬\n")
    done = server.client("--execute=SELECT nothing")
    assert done.returncode == 1
    assert "Unknown column" in done.stderr
    assert "alive" in server.client("ping", program="mysqladmin").stdout


def test_a_killed_server_starts_again_with_its_data(server: Mysqld) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE kept")
    server.kill()
    assert not server.running
    # As if another process had got the number of the killed one by now.
    (server.directory / "mysql.sock.lock").write_text(f"{os.getpid()}\n")
    server.start()
    with server.connect(database="kept") as connection:
        assert connection.is_connected()


def test_every_server_has_its_own_uuid(home: Path, folder: Path, server: Mysqld) -> None:
    with Mysqld(home, folder / "b") as other, other.connect() as one, server.connect() as two:
        uuids = set()
        for connection in (one, two):
            with connection.cursor() as cursor:
                cursor.execute("SELECT @@server_uuid")
                uuids.add(cursor.fetchone())
    assert len(uuids) == 2


def test_options_of_the_caller_win(home: Path, folder: Path) -> None:
    options = ["--log-bin", "--performance-schema=ON", "--max-connections=17"]
    server = Mysqld(home, folder, options=options)
    with server, server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@log_bin, @@performance_schema, @@max_connections")
        assert cursor.fetchone() == (1, 1, 17)


def test_a_server_that_cannot_start_says_why_and_is_gone(home: Path, folder: Path) -> None:
    server = Mysqld(home, folder, options=["--no-such-option"])
    with pytest.raises(ServerError, match="unknown option '--no-such-option'"):
        server.start()
    assert not server.running
    assert ServerProcess.find(mysqld.identity(folder)) is None


def test_a_path_too_long_for_a_socket_is_named(home: Path, folder: Path) -> None:
    with pytest.raises(ServerError, match=f"107 are allowed.*{'x' * 100}"):
        Mysqld(home, folder / ("x" * 100))


def test_servers_die_with_the_process_that_started_them(home: Path, folder: Path) -> None:
    # Started by a thread that ends at once: it is the process that counts, not the thread.
    script = f"""
import os, signal, threading
from pathlib import Path
from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.sidecar import SidecarProcess
servers = [Mysqld(Path({str(home)!r}), Path({str(folder)!r})), SidecarProcess(Path({str(folder)!r}), {{}})]
for server in servers:
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    assert server.running
print("started", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "started\n"), done.stderr
    for identity in (mysqld.identity(folder), sidecar.identity(folder)):
        wait_until(lambda identity=identity: ServerProcess.find(identity) is None)  # type: ignore[misc]


def test_a_sidecar_starts_is_killed_and_restarts(folder: Path) -> None:
    with SidecarProcess(folder, {"region": "eu-west-1"}) as running:
        assert running.socket == folder / "sidecar.sock"
        first = running.pid
        running.kill()
        assert not running.answers()
        assert running.start().pid != first
        assert running.restart().answers()
    assert not running.running


def test_a_sidecar_that_refuses_its_configuration_says_why(folder: Path) -> None:
    with pytest.raises(ServerError, match="no_such_key"):
        SidecarProcess(folder, "no_such_key = 1\n").start()


def test_toml_text_is_read_back_as_it_was() -> None:
    table = {
        "text": 'a "quoted" \\ line\n\x7f ß🐬',
        "list": ["a", "b"],
        "number": 1.5,
        "flag": True,
        "local": {"functions": "/x", "deep": {"er": 1}},
        "allow": [{"account": "a'@'%"}, {"account": "b", "more": {"x": 2}}],
    }
    assert tomllib.loads(toml_text(table)) == table

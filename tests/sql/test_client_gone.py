"""A client that dies ends its call, at once and in the sidecar too; sessions without a client of their own call on.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import mysql.connector
import pytest
from tests.support.component import installed_component, status
from tests.support.replication import hang_up_on_replicas
from tests.support.stack import Library, Stack, start_stack
from tests.support.waiting import wait_until
from tests.support.x_protocol import XSession

from lambda_sidecar.testing.ports import free_port

SLEEP = """SELECT lambda_sync('Sleep', '{"seconds": 8}')"""
# MySQL's own SLEEP() ends after up to 5 s.
GONE_SECONDS = 0.3 + 0.7
WAYS = {
    "Unix socket": lambda stack: [f"--socket={stack.mysqld.socket}"],
    "TCP": lambda stack: ["--host=127.0.0.1", f"--port={stack.mysqld.port}", "--ssl-mode=DISABLED"],
    "TLS": lambda stack: ["--host=127.0.0.1", f"--port={stack.mysqld.port}", "--ssl-mode=REQUIRED"],
}


def x_socket(stack: Stack) -> Path:
    return stack.mysqld.directory / "x.sock"


@pytest.fixture(scope="module")
def reachable(
    library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A mysqld with TCP, TLS, X Protocol and a binary log of statements."""
    directory = tmp_path_factory.mktemp(f"reachable-{library.value}")
    options = (
        "--server-id=1",
        "--log-bin=binlog",
        "--binlog-format=STATEMENT",
        "--log-bin-trust-function-creators=ON",
        "--loose-mysqlx=ON",
        f"--loose-mysqlx-port={free_port()}",
        f"--loose-mysqlx-socket={directory / 'mysql/x.sock'}",
    )
    with start_stack(mysql_home, directory, library, port=free_port(), options=options) as stack:
        for host in ("127.0.0.1", "localhost"):
            stack.query(f"CREATE USER tester@'{host}'")
            stack.query(f"GRANT ALL ON *.* TO tester@'{host}'")
        yield stack


@pytest.fixture
def tcp(reachable: Stack) -> Stack:
    reachable.reset()
    return reachable


@contextlib.contextmanager
def client(stack: Stack, way: str, sql: str) -> Iterator[subprocess.Popen[bytes]]:
    """The mysql program while its statement's call is at the function."""
    program = subprocess.Popen(
        [stack.mysqld.home / "bin/mysql", "--no-defaults", "--user=tester", *WAYS[way](stack), "-e", sql],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until(lambda: stack.record.requests()["open"] == 1 or program.poll() is not None)
        assert program.poll() is None, program.communicate()
        yield program
    finally:
        program.kill()
        program.communicate()


def sessions_of_the_client(stack: Stack) -> list[object]:
    return stack.query("SELECT id FROM performance_schema.processlist WHERE user = 'tester'")


# ---- clients ----


@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_is_killed_ends_its_session_and_its_call_at_once(tcp: Stack, way: str) -> None:
    with client(tcp, way, SLEEP) as program:
        assert sessions_of_the_client(tcp)
        program.kill()
        died = time.monotonic()
        wait_until(lambda: not sessions_of_the_client(tcp), what="the session's end")
        seconds = time.monotonic() - died
    assert seconds < GONE_SECONDS
    wait_until(lambda: tcp.record.requests()["open"] == 0, seconds=1, what="the sidecar drops the call")
    (call,) = tcp.record.calls("Sleep")
    assert call["client_connected"] is False


def test_the_locks_of_a_client_that_is_killed_are_free_at_once(tcp: Stack) -> None:
    tcp.query("CREATE TABLE test.t (id INT PRIMARY KEY, answer TEXT)")
    tcp.query("INSERT INTO test.t VALUES (1, NULL)")
    waiting = SLEEP.removeprefix("SELECT ")
    with client(tcp, "TCP", f"UPDATE test.t SET answer = {waiting} WHERE id = 1") as program:
        program.kill()
        died = time.monotonic()
        tcp.query("UPDATE test.t SET answer = 'mine' WHERE id = 1")
        assert time.monotonic() - died < GONE_SECONDS
    assert tcp.value("SELECT answer FROM test.t") == "mine"


def test_no_handler_of_a_procedure_goes_on_for_a_client_that_is_gone(tcp: Stack) -> None:
    tcp.query(
        f"""CREATE PROCEDURE test.stubborn() BEGIN
             DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET @caught = 'yes';
             {SLEEP} INTO @answer;
             SELECT lambda_sync('Echo', '"went on"') INTO @answer;
           END"""
    )
    with client(tcp, "Unix socket", "CALL test.stubborn()") as program:
        program.kill()
        wait_until(lambda: not sessions_of_the_client(tcp), what="the session's end")
    assert tcp.record.calls("Echo") == []


def test_the_end_of_a_client_is_counted_by_its_kind(tcp: Stack) -> None:
    with installed_component(tcp):
        before = status(tcp)
        with client(tcp, "TCP", SLEEP) as program:
            program.kill()
            wait_until(lambda: status(tcp)["errors_client_gone"] == before["errors_client_gone"] + 1)
        after = status(tcp)
    assert after["in_flight"] == 0
    assert after["errors_killed"] == before["errors_killed"]


def test_the_binary_log_knows_that_a_statement_did_not_end_well_whose_client_has_gone(tcp: Stack) -> None:
    """MyISAM keeps the rows so far, so MySQL logs the statement; with error 1317, but without a KILL, it would log it
    as one that succeeded, and a replica would end up with other rows and say nothing."""
    tcp.query("CREATE TABLE test.kept (id INT, answer TEXT) ENGINE = MyISAM")
    sql = f"""INSERT INTO test.kept SELECT n, IF(n = 1, lambda_sync('Echo', '1'), ({SLEEP}))
              FROM (VALUES ROW(1), ROW(2)) AS t (n)"""
    with client(tcp, "TCP", sql) as program:
        wait_until(lambda: tcp.record.calls("Sleep"), what="the second row's call")
        program.kill()
        wait_until(lambda: not sessions_of_the_client(tcp), what="the session's end")
    assert tcp.query("SELECT id FROM test.kept") == [(1,)]
    ((file, *_),) = tcp.query("SHOW BINARY LOG STATUS")
    log = tcp.mysqld.client(str(tcp.mysqld.datadir / file), program="mysqlbinlog").stdout
    codes = re.findall(r"error_code=(\d+)\s(?:(?!error_code).)*?INSERT INTO test\.kept", log, re.DOTALL)
    assert codes == ["3200"]


def test_a_client_that_waits_gets_its_answer(tcp: Stack) -> None:
    with client(tcp, "TLS", """SELECT lambda_sync('Sleep', '{"seconds": 1}')""") as program:
        output, _ = program.communicate(timeout=20)
    assert program.returncode == 0, output


# ---- sessions that have no client, or none of the classic protocol ----


def test_a_session_of_the_x_protocol_invokes(tcp: Stack) -> None:
    with XSession(x_socket(tcp)) as session:
        assert session.rows("SELECT lambda_sync('Echo', '1')") == [b"1"]
        assert session.rows("SELECT lambda_sync('Sleep', JSON_OBJECT('seconds', 1)) IS NOT NULL AS s") != []


def test_a_client_of_the_x_protocol_that_goes_leaves_the_server_and_the_call_as_they_are(tcp: Stack) -> None:
    with XSession(x_socket(tcp)) as session:
        session.start("""SELECT lambda_sync('Sleep', '{"seconds": 1}')""")
        wait_until(lambda: tcp.record.requests()["open"] == 1, what="the call at the function")
    wait_until(lambda: tcp.record.requests()["open"] == 0, what="the call's end")
    (call,) = tcp.record.calls("Sleep")
    assert call["client_connected"] is True
    assert tcp.value("SELECT lambda_sync('Echo', '1')") == "1"


def test_an_event_invokes_though_it_has_no_client(tcp: Stack) -> None:
    tcp.query("CREATE TABLE test.answers (answer TEXT)")
    tcp.query(
        """CREATE EVENT test.soon ON SCHEDULE AT CURRENT_TIMESTAMP
           DO INSERT INTO test.answers VALUES (lambda_sync('Sleep', '{"seconds": 0.2}'))"""
    )
    wait_until(lambda: tcp.value("SELECT COUNT(*) FROM test.answers") == 1, what="the event's answer")
    assert len(tcp.record.calls("Sleep")) == 1


def test_the_servers_init_file_invokes_though_it_has_no_client(
    library: Library, mysql_home: Path, tmp_path: Path
) -> None:
    init_file = tmp_path / "init.sql"
    init_file.write_text("")
    with start_stack(mysql_home, tmp_path, library, options=(f"--init-file={init_file}",)) as stack:
        stack.query("CREATE TABLE test.answers (answer TEXT)")
        init_file.write_text("INSERT INTO test.answers VALUES (lambda_sync('Echo', '\"at the start\"'));\n")
        stack.mysqld.restart()
        assert stack.query("SELECT answer FROM test.answers") == [('"at the start"',)]


@pytest.mark.parametrize("format_", ["STATEMENT", "ROW"])
def test_a_replicas_applier_invokes_as_its_triggers_fire_and_a_dead_client_of_the_source_stops_nothing(
    library: Library, mysql_home: Path, tmp_path: Path, format_: str
) -> None:
    log = ("--log-bin=binlog", f"--binlog-format={format_}", "--log-bin-trust-function-creators=ON")
    with (
        start_stack(
            mysql_home, tmp_path / "source", library, port=free_port(), options=("--server-id=1", *log)
        ) as source,
        start_stack(mysql_home, tmp_path / "replica", library, options=("--server-id=2",)) as replica,
    ):
        source.query("CREATE USER replica@'127.0.0.1' IDENTIFIED BY 'r'")
        source.query("GRANT REPLICATION SLAVE ON *.* TO replica@'127.0.0.1'")
        ((file, position, *_),) = source.query("SHOW BINARY LOG STATUS")
        replica.query(
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {source.mysqld.port},"
            f" SOURCE_USER = 'replica', SOURCE_PASSWORD = 'r', SOURCE_LOG_FILE = '{file}',"
            f" SOURCE_LOG_POS = {position}, GET_SOURCE_PUBLIC_KEY = 1"
        )
        replica.query("START REPLICA")
        source.query("CREATE TABLE test.t (id INT PRIMARY KEY)")
        source.query(
            "CREATE TRIGGER test.told BEFORE INSERT ON test.t FOR EACH ROW"
            """ SET @answer = lambda_sync('Sleep', '{"seconds": 0.2}')"""
        )
        source.query("INSERT INTO test.t VALUES (1)")
        wait_until(lambda: _rows(replica) == [(1,)], what="the row on the replica")
        assert len(replica.record.calls("Sleep")) == (1 if format_ == "STATEMENT" else 0)
        replica.query("STOP REPLICA")
        hang_up_on_replicas(source.query)


def _rows(stack: Stack) -> list[object]:
    try:
        return stack.query("SELECT id FROM test.t")
    except mysql.connector.Error:  # not created there yet
        return []

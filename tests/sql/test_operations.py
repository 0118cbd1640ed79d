"""What docs/replication.md and docs/operations.md claim: replication in each format, dumps, and a library that does not load.

Each test's name is the sentence that it proves. mysqld's own behaviour is tried, so one build of the library will do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mysql.connector
import pytest
from tests.support.checkout import ROOT
from tests.support.stack import Library, Record, execute, local_config
from tests.support.waiting import wait_until

from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess

SQL = ROOT / "udf/sql"
TRIGGER = """CREATE TRIGGER test.fires AFTER INSERT ON test.t FOR EACH ROW
             SELECT lambda_async('Echo', NEW.n) INTO @result"""


def query(server: Mysqld, *statements: str) -> list[Any]:
    """Runs them in one session; the rows of the last."""
    rows: list[Any] = []
    with contextlib.closing(server.connect()) as connection:
        for sql in statements:
            rows = execute(connection, sql)
    return rows


def script(server: Mysqld, name: str) -> None:
    done = server.client(input=(SQL / name).read_text())
    assert done.returncode == 0, done.stderr


def error_of(server: Mysqld, sql: str) -> int:
    with pytest.raises(mysql.connector.Error) as raised:
        query(server, "USE test", sql)
    return raised.value.errno


@dataclass(frozen=True)
class Topology:
    """A source with GTIDs and its replica, each with the library, on one sidecar."""

    source: Mysqld
    replica: Mysqld
    record: Record

    def caught_up(self) -> bool:
        """Whether the replica gets to where the source is now; False after some seconds."""
        ((executed,),) = query(self.source, "SELECT @@gtid_executed")
        ((timed_out,),) = query(self.replica, f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{executed}', 10)")
        return bool(timed_out == 0)

    def stopped_with(self) -> int:
        rows = query(
            self.replica,
            """SELECT MAX(LAST_ERROR_NUMBER)
               FROM performance_schema.replication_applier_status_by_worker""",
        )
        number: int = rows[0][0]
        return number

    def calls_of(self, *statements: str) -> int:
        """How many invocations the statements cause on both servers together."""
        self.record.clear()
        query(self.source, *statements)
        assert self.caught_up()
        return self.record.count()


def server(home: Path, directory: Path, socket: Path, **options: Any) -> Mysqld:
    return Mysqld(
        home,
        directory,
        library=Library.PLAIN.path,
        performance_schema=True,
        environment={"LAMBDA_UDF_SOCKET": str(socket)},
        **options,
    )


@pytest.fixture(scope="module")
def topology(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    directory = tmp_path_factory.mktemp("topology")
    lambda_port, port = free_port(), free_port()
    sidecar = SidecarProcess(directory / "sidecar", local_config(lambda_port))
    gtid = ("--log-bin=bin", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--event-scheduler=ON")
    source = server(mysql_home, directory / "1", sidecar.socket, port=port, options=(*gtid, "--server-id=1"))
    replica = server(mysql_home, directory / "2", sidecar.socket, options=(*gtid, "--server-id=2"))
    with sidecar, replica, source:
        for each in (replica, source):
            script(each, "install.sql")
        query(
            source,
            "CREATE USER replica@'127.0.0.1' IDENTIFIED BY 'secret'",
            "GRANT REPLICATION SLAVE ON *.* TO replica@'127.0.0.1'",
            "CREATE DATABASE test",
            "CREATE TABLE test.t (n INT, answer TEXT)",
            TRIGGER,
        )
        query(
            replica,
            f"""CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port},
                SOURCE_USER = 'replica', SOURCE_PASSWORD = 'secret', SOURCE_AUTO_POSITION = 1,
                GET_SOURCE_PUBLIC_KEY = 1""",
            "START REPLICA",
        )
        yield Topology(source, replica, Record(lambda_port))
        source.kill()  # with a replica that listens it takes 10 s to stop


@pytest.mark.parametrize(("format", "calls"), [("ROW", 1), ("MIXED", 1), ("STATEMENT", 2)])
def test_only_statement_format_invokes_again_on_a_replica(
    topology: Topology, format: str, calls: int
) -> None:
    set_format = f"SET SESSION binlog_format = '{format}'"
    assert topology.calls_of(set_format, "INSERT INTO test.t (n) VALUES (1)") == calls


def test_skip_on_the_replica_spares_the_second_call_and_stores_null_there(topology: Topology) -> None:
    query(topology.replica, "SET GLOBAL lambda_udf.mode = 'skip'")
    calls = topology.calls_of(
        "SET SESSION binlog_format = 'STATEMENT'", "INSERT INTO test.t SELECT 2, lambda_sync('Echo', '7')"
    )
    assert calls == 2  # the value and the trigger, on the source
    answer = "SELECT answer FROM test.t WHERE n = 2"
    assert (query(topology.source, answer), query(topology.replica, answer)) == ([("7",)], [(None,)])
    query(topology.replica, "SET GLOBAL lambda_udf.mode = 'invoke'")


def test_events_are_disabled_on_a_replica(topology: Topology) -> None:
    query(topology.source, "CREATE EVENT test.e ON SCHEDULE EVERY 1 YEAR DO SELECT 1 INTO @one")
    assert topology.caught_up()
    status = "SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_NAME = 'e'"
    assert query(topology.replica, status) == [("REPLICA_SIDE_DISABLED",)]


def test_install_and_uninstall_write_nothing_to_the_binary_log(topology: Topology) -> None:
    before = query(topology.source, "SELECT @@gtid_executed")
    script(topology.source, "uninstall.sql")
    script(topology.source, "install.sql")
    assert query(topology.source, "SELECT @@gtid_executed") == before


def test_rows_need_no_library_on_the_replica_but_the_privilege_needs_the_component(
    topology: Topology,
) -> None:
    script(topology.replica, "uninstall.sql")
    assert topology.calls_of("INSERT INTO test.t (n) VALUES (3)") == 1
    query(topology.source, "CREATE USER app@localhost", "GRANT INVOKE_LAMBDA ON *.* TO app@localhost")
    wait_until(lambda: topology.stopped_with() == 1149, what="the replica stopped")
    script(topology.replica, "install.sql")
    query(topology.replica, "START REPLICA")
    assert topology.caught_up()


def test_a_library_that_does_not_load_fails_writes_views_and_dumps_until_it_is_back(
    mysql_home: Path, tmp_path: Path
) -> None:
    port = free_port()
    sidecar = SidecarProcess(tmp_path / "sidecar", local_config(port))
    alone = server(mysql_home, tmp_path / "mysql", sidecar.socket)
    with sidecar, alone:
        script(alone, "install.sql")
        view = "CREATE VIEW test.v AS SELECT lambda_sync('Echo', '1') AS answer"
        query(alone, "CREATE DATABASE test", "CREATE TABLE test.t (n INT)", TRIGGER, view)
        alone.stop()
        alone.library = None  # or it would be copied there again
        library = alone.plugin_dir / "lambda_udf.so"
        library.rename(tmp_path / "lambda_udf.so")
        alone.start()
        assert alone.log_contains("Can't open shared library 'lambda_udf.so'")
        statements = ("INSERT INTO t VALUES (1)", "SELECT * FROM v", "CALL mysql.lambda_async('Echo', '1')")
        assert [error_of(alone, sql) for sql in statements] == [1305, 1584, 1370]
        assert error_of(alone, "SELECT @@lambda_udf.mode") == 1193
        assert query(alone, "SELECT * FROM test.t") == []
        dumped = alone.client("test", program="mysqldump")
        assert (dumped.returncode, "1584" in dumped.stderr) == (2, True)
        (tmp_path / "lambda_udf.so").rename(library)
        again = alone.client(input=(SQL / "install.sql").read_text())
        assert "ERROR 1026" in again.stderr
        alone.restart()
        query(alone, "INSERT INTO test.t VALUES (1)")
        assert Record(port).payloads("Echo") == [1]


def test_a_dump_with_views_cannot_be_imported_before_the_functions_are_there(
    topology: Topology, mysql_home: Path, tmp_path: Path
) -> None:
    query(topology.source, "CREATE VIEW test.v AS SELECT lambda_sync('Echo', '1') AS answer")
    dumped = topology.source.client(
        "--set-gtid-purged=OFF", "--routines", "--events", "--databases", "test", program="mysqldump"
    )
    assert dumped.returncode == 0, dumped.stderr
    with server(mysql_home, tmp_path / "new", tmp_path / "none.sock") as new:
        refused = new.client(input=dumped.stdout)
        assert "ERROR 1584" in refused.stderr
        assert error_of(new, "INSERT INTO t (n) VALUES (1)") == 1305
        script(new, "install.sql")
        imported = new.client(input=dumped.stdout)
        assert imported.returncode == 0, imported.stderr

"""lambda-sidecar install and uninstall on the source of a replica that knows nothing of the library.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.installation import run
from tests.support.replication import hang_up_on_replicas
from tests.support.stack import Library, execute
from tests.support.waiting import wait_until

from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.ports import free_port

GTID = ("--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--log-bin=binlog", "--binlog-format=ROW")


def query(mysqld: Mysqld, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(mysqld.connect()) as connection:
        return execute(connection, sql)


@pytest.fixture(scope="module")
def source_and_replica(
    mysql_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Mysqld, Mysqld]]:
    directory = tmp_path_factory.mktemp("replication")
    source = Mysqld(mysql_home, directory / "source", port=free_port(), options=("--server-id=1", *GTID))
    replica = Mysqld(mysql_home, directory / "replica", options=("--server-id=2", *GTID))
    with source, replica:
        query(source, "CREATE USER replica@'127.0.0.1' IDENTIFIED BY 'r'")
        query(source, "GRANT REPLICATION SLAVE ON *.* TO replica@'127.0.0.1'")
        query(source, "CREATE DATABASE test")
        query(source, "CREATE TABLE test.marks (mark INT PRIMARY KEY)")
        query(
            replica,
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {source.port},"
            " SOURCE_USER = 'replica', SOURCE_PASSWORD = 'r', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1",
        )
        query(replica, "START REPLICA")
        yield source, replica
        query(replica, "STOP REPLICA")
        hang_up_on_replicas(functools.partial(query, source))


def arrives(source: Mysqld, replica: Mysqld, mark: int) -> None:
    """A new row of the source reaches the replica, and replication runs on."""
    query(source, f"INSERT INTO test.marks VALUES ({mark})")
    wait_until(lambda: _marked(replica, mark), what=f"mark {mark} on the replica")
    with contextlib.closing(replica.connect()) as connection, connection.cursor(dictionary=True) as cursor:
        cursor.execute("SHOW REPLICA STATUS")
        (status,) = cursor.fetchall()
    assert isinstance(status, dict)
    assert (status["Replica_IO_Running"], status["Replica_SQL_Running"]) == ("Yes", "Yes")
    assert status["Last_Error"] == ""


def _marked(replica: Mysqld, mark: int) -> bool:
    tables = query(replica, "SELECT 1 FROM information_schema.tables WHERE table_name = 'marks'")
    return bool(tables and query(replica, f"SELECT 1 FROM test.marks WHERE mark = {mark}"))


def test_a_replica_without_the_library_replicates_through_install_and_uninstall(
    source_and_replica: tuple[Mysqld, Mysqld], tmp_path: Path
) -> None:
    source, replica = source_and_replica
    arrives(source, replica, 1)
    ((before,),) = query(source, "SELECT @@GLOBAL.gtid_executed")
    query(source, "CREATE USER app@'%'")
    arrives(source, replica, 2)
    ((installing,),) = query(source, "SELECT @@GLOBAL.gtid_executed")
    assert installing != before
    library = Library.PLAIN.path
    other = tmp_path / "other.so"
    other.write_bytes(library.read_bytes() + b"another build")
    for arguments in (
        ("install", "--library", library, "--grant", "app", "--default-role"),
        ("install", "--library", other),
        ("install", "--library", library, "--socket-of-sidecar", "/run/s.sock"),
    ):
        done = run(arguments[0], source, *arguments[1:], "--without-sidecar")
        assert (done.status, done.err) == (0, ""), done
    assert query(source, "SELECT @@GLOBAL.gtid_executed") == [(installing,)]
    arrives(source, replica, 3)
    assert run("uninstall", source).status == 0
    arrives(source, replica, 4)
    assert query(replica, "SELECT * FROM mysql.func") == []
    assert (
        query(replica, "SELECT User FROM mysql.user WHERE User IN ('AWS_LAMBDA_ACCESS', 'lambda_udf')") == []
    )


def test_a_read_only_replica_that_is_made_writable_for_it_replicates_on_and_invents_no_gtid(
    source_and_replica: tuple[Mysqld, Mysqld],
) -> None:
    source, replica = source_and_replica
    arrives(source, replica, 10)
    query(replica, "SET GLOBAL super_read_only = ON")
    assert run("install", replica, "--library", Library.PLAIN.path).status == 1
    ((before,),) = query(replica, "SELECT @@GLOBAL.gtid_executed")
    query(replica, "SET GLOBAL super_read_only = OFF")
    assert run("install", replica, "--library", Library.PLAIN.path, "--without-sidecar").status == 0
    assert query(replica, "SELECT @@GLOBAL.gtid_executed") == [(before,)]
    query(replica, "SET GLOBAL super_read_only = ON")
    arrives(source, replica, 11)
    query(replica, "SET GLOBAL super_read_only = OFF")
    assert run("uninstall", replica).status == 0
    arrives(source, replica, 12)

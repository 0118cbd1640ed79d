"""A source and its replica, each with a sidecar: the source dies, the replica is promoted and delivers on.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos import size
from tests.chaos.book import Book, compare, doubled_by_one_sidecar
from tests.chaos.endpoint import TAKEN, Answer, Request, counting_endpoint
from tests.chaos.events import TABLES
from tests.chaos.load import load
from tests.chaos.outbox_server import OutboxServer
from tests.support.waiting import wait_until

from lambda_sidecar.testing.ports import free_port

GTID = ("--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--log-bin=binlog", "--binlog-format=ROW")


@contextlib.contextmanager
def source_and_replica(
    mysql_home: Path, directory: Path, url: str
) -> Iterator[tuple[OutboxServer, OutboxServer]]:
    """Both with the schema and a deliverer; the replica is read-only and replicates."""
    source = OutboxServer(
        mysql_home, directory / "source", url, port=free_port(), options=("--server-id=1", *GTID)
    )
    replica = OutboxServer(mysql_home, directory / "replica", url, options=("--server-id=2", *GTID))
    with source, replica:
        source.start_mysqld()
        replica.start_mysqld()
        source.query("CREATE USER replica@'127.0.0.1' IDENTIFIED BY 'r'")
        source.query("GRANT REPLICATION SLAVE ON *.* TO replica@'127.0.0.1'")
        replica.query("SET GLOBAL super_read_only = ON")
        replica.query(
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {source.mysqld.port},"
            " SOURCE_USER = 'replica', SOURCE_PASSWORD = 'r', SOURCE_AUTO_POSITION = 1,"
            " GET_SOURCE_PUBLIC_KEY = 1"
        )
        replica.query("START REPLICA")
        for statement in TABLES:
            source.query(statement)
        yield source, replica


def promote(replica: OutboxServer) -> None:
    """Of a source that is dead: what has been received is applied first."""
    replica.query("STOP REPLICA IO_THREAD")
    received = "SELECT RECEIVED_TRANSACTION_SET FROM performance_schema.replication_connection_status"
    replica.query(f"SELECT WAIT_FOR_EXECUTED_GTID_SET(({received}), 60)")
    replica.query("STOP REPLICA")
    replica.query("SET GLOBAL super_read_only = OFF")
    replica.query("SET GLOBAL read_only = OFF")


@pytest.mark.parametrize("number", range(size.amount(short=1, full=10)))
def test_a_promoted_replica_delivers_all_that_was_committed_and_replicated(
    number: int, mysql_home: Path, tmp_path: Path
) -> None:
    seed = size.seed() + number
    size.report("failover", seed=seed)
    choices, book = random.Random(seed), Book()

    def answer(_: Request) -> Answer:
        return Answer(TAKEN.status, choices.uniform(0, 0.1))

    with (
        counting_endpoint(answer) as endpoint,
        source_and_replica(mysql_home, tmp_path, endpoint.url) as (source, replica),
    ):
        replica_key = replica.start_sidecar()
        wait_until(lambda: replica.sidecar.log_contains("the server is read-only"), what="the reason")
        source_key = source.start_sidecar()
        with load(2, seed, source, book):
            wait_until(lambda: len(endpoint.accepted) > 300, seconds=60, what="deliveries")
            time.sleep(choices.uniform(0, 1))  # the moment is the experiment
            if number % 2:  # what is committed from now on never reaches the replica
                replica.query("STOP REPLICA IO_THREAD")
                time.sleep(choices.uniform(0, 0.5))
            source.mysqld.kill()
            source.sidecar.kill()
        assert {each.sidecar for each in endpoint.accepted} == {source_key}
        promote(replica)
        left = replica.left()
        with load(1, seed, replica, book, name="afterwards") as (client,):
            # It waits, too, while as much is left as there may be.
            wait_until(lambda: client.transactions > 50, seconds=60, what="writing goes on")
        replica.wait_until_empty(120)
        replicated = {event for (event,) in replica.query("SELECT event FROM test.marks")}
    by_source = {each.event for each in endpoint.accepted if each.sidecar == source_key}
    by_replica = {each.event for each in endpoint.accepted if each.sidecar == replica_key}
    found = compare(book, endpoint)
    size.report(
        "failover",
        seed=seed,
        committed=len(book.committed),
        committed_and_not_replicated=len(book.committed - replicated),
        replicated=len(replicated),
        left_at_promotion=left,
        delivered_by_source=len(by_source),
        delivered_by_replica=len(by_replica),
        lost=len(replicated - by_source - by_replica),
        by_both=len(by_source & by_replica),
        durable_started_twice=len(found.started_twice & book.durable),
    )
    assert replicated <= by_source | by_replica
    assert found.altered == set()
    assert found.started_twice & book.durable == set()
    assert left and by_replica
    # What went again was delivered by the source, and its deletion had not been replicated.
    assert found.doubled == by_source & by_replica
    assert len(by_source & by_replica) <= left
    assert doubled_by_one_sidecar(endpoint.accepted) == []

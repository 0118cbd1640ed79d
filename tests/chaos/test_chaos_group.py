"""A group of three servers (Group Replication, single primary), each with a sidecar: who delivers, and when.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.chaos import size
from tests.chaos.endpoint import TAKEN, Answer, Endpoint, Request, counting_endpoint
from tests.chaos.outbox_server import OutboxServer
from tests.support.waiting import wait_until

from lambda_sidecar.testing.ports import free_port

MEMBERS = 3
MEMBER = (
    "SELECT MEMBER_STATE, MEMBER_ROLE FROM performance_schema.replication_group_members"
    " WHERE MEMBER_ID = @@server_uuid OR MEMBER_ID = ''"
)


class Held:
    """While it is closed, Lambda takes an event at once and answers a second later: it is under way."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def answer(self, _: Request) -> Answer:
        return Answer(TAKEN.status, 1.0) if self.closed.is_set() else TAKEN


class Group:
    """`servers` in the order in which they joined: the first one is the primary at first."""

    def __init__(self, servers: list[OutboxServer], keys: list[str], endpoint: Endpoint) -> None:
        self.servers = servers
        self.keys = keys
        self.endpoint = endpoint

    def send(self, server: OutboxServer, name: str, count: int) -> set[str]:
        """So many events, in one transaction; their names."""
        events = [f"{name}-{number}" for number in range(count)]
        rows = ", ".join(f"('f', '{json.dumps({'event': event})}')" for event in events)
        server.query(f"INSERT INTO lambda_udf.outbox (function_name, payload) VALUES {rows}")
        return set(events)

    def deliverers(self, events: set[str]) -> Counter[str]:
        """How many acceptances of these events there were from each sidecar, by its key."""
        return Counter(each.sidecar for each in self.endpoint.accepted if each.event in events)

    def primaries(self) -> list[int]:
        """The place of the primary among the servers; none while there is none, or nobody knows of it."""
        running = [number for number, server in enumerate(self.servers) if server.mysqld.running]
        return [n for n in running if self.servers[n].query(MEMBER) == [("ONLINE", "PRIMARY")]]


def options(number: int, name: str, ports: list[int]) -> tuple[str, ...]:
    seeds = ",".join(f"127.0.0.1:{port}" for port in ports)
    return (
        *(f"--server-id={number + 1}", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--log-bin=binlog"),
        *("--report-host=127.0.0.1", "--plugin-load-add=group_replication.so"),
        f"--loose-group-replication-group-name={name}",
        f"--loose-group-replication-local-address=127.0.0.1:{ports[number]}",
        f"--loose-group-replication-group-seeds={seeds}",
        "--loose-group-replication-start-on-boot=OFF",
        "--loose-group-replication-recovery-get-public-key=ON",
        "--loose-group-replication-exit-state-action=OFFLINE_MODE",
        "--loose-group-replication-member-expel-timeout=0",
    )


def join(server: OutboxServer, *, is_first: bool) -> None:
    server.query(f"SET GLOBAL group_replication_bootstrap_group = {int(is_first)}")
    server.query("START GROUP_REPLICATION USER = 'replica', PASSWORD = 'r'")
    server.query("SET GLOBAL group_replication_bootstrap_group = 0")


def prepare(server: OutboxServer) -> None:
    """It can join."""
    server.start_mysqld()
    server.query_unlogged("CREATE USER replica@'127.0.0.1' IDENTIFIED BY 'r'")
    server.query_unlogged("GRANT REPLICATION SLAVE ON *.* TO replica@'127.0.0.1'")


def wait_for(server: OutboxServer, state: str, role: str) -> None:
    """As the member sees itself."""
    wait_until(
        lambda: server.query(MEMBER) == [(state, role)],
        seconds=40,
        what=f"{state}, {role}, and not {server.query(MEMBER)}",
    )


@pytest.fixture(scope="module")
def held() -> Held:
    return Held()


@pytest.fixture(scope="module")
def group(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory, held: Held) -> Iterator[Group]:
    """All are ONLINE, and one of the sidecars delivers."""
    if not (mysql_home / "root/usr/lib/mysql/plugin/group_replication.so").exists():
        pytest.skip("needs group_replication.so in an unpacked MySQL")
    directory = tmp_path_factory.mktemp("group")
    name, ports = str(uuid.uuid4()), [free_port() for _ in range(MEMBERS)]
    with contextlib.ExitStack() as stack:
        endpoint = stack.enter_context(counting_endpoint(held.answer))
        servers = [
            stack.enter_context(
                OutboxServer(
                    mysql_home,
                    directory / str(number),
                    endpoint.url,
                    port=free_port(),
                    options=options(number, name, ports),
                )
            )
            for number in range(MEMBERS)
        ]
        for server in servers:
            # A member that has lost its group would wait for it, and a sidecar for a server that is dead.
            stack.callback(server.mysqld.kill)
            stack.callback(server.sidecar.kill)
        with ThreadPoolExecutor() as pool:
            list(pool.map(prepare, servers))
            for number, server in enumerate(servers):
                join(server, is_first=number == 0)
        for number, server in enumerate(servers):
            wait_for(server, "ONLINE", "PRIMARY" if number == 0 else "SECONDARY")
        keys = [server.start_sidecar() for server in servers]
        wait_until(lambda: servers[0].sidecar.log_contains("outbox: delivers"), what="the primary's delivers")
        yield Group(servers, keys, endpoint)


def state(server: OutboxServer) -> str:
    """Of the server's sidecar, as it has logged it."""
    return server.sidecar.log_text().rpartition("outbox.candidacy: outbox: ")[2].partition("\n")[0]


def make_writable(server: OutboxServer) -> None:
    """As somebody may do by mistake; returns when the server's sidecar has seen it, and does not deliver."""
    wait_until(lambda: state(server) == "the server is read-only", what="it is read-only")
    server.query("SET GLOBAL super_read_only = OFF")
    server.query("SET GLOBAL read_only = OFF")
    wait_until(lambda: state(server) == "the server is not the primary of its group", what="the reason")


def test_only_the_primarys_sidecar_delivers_also_where_a_secondary_takes_writes(
    group: Group, held: Held
) -> None:
    primary, secondary, _ = group.servers
    make_writable(secondary)
    held.closed.set()
    events = group.send(primary, "alone", 200)
    wait_until(lambda: secondary.left() > 0, what="the events are on the secondary too")
    held.closed.clear()
    primary.wait_until_empty(20)
    assert group.deliverers(events) == {group.keys[0]: len(events)}
    secondary.query("SET GLOBAL super_read_only = ON")


def test_when_the_primary_dies_the_next_ones_sidecar_delivers_what_is_left(group: Group, held: Held) -> None:
    first, *others = group.servers
    held.closed.set()
    events = group.send(first, "left", 300)
    wait_until(lambda: group.deliverers(events), what="some are under way")
    wait_until(lambda: all(server.left() for server in others), what="they are on each member")
    first.mysqld.kill()
    held.closed.clear()
    (number,) = wait_until(group.primaries, seconds=40, what="another primary")
    group.servers[number].wait_until_empty(40)
    taken = [each for each in group.endpoint.accepted if each.event in events]
    times = Counter(each.event for each in taken)
    by_first = {each.event for each in taken if each.sidecar == group.keys[0]}
    doubled = {event for event, count in times.items() if count > 1}
    size.report("group", by_first=len(by_first), by_both=len(doubled))
    assert set(times) == events
    assert {each.sidecar for each in taken} == {group.keys[0], group.keys[number]}
    assert by_first != events
    assert doubled <= by_first  # Lambda had them, and their deletion was not committed
    assert max(times.values()) <= 2


def test_a_member_that_has_left_the_group_with_an_error_delivers_nothing(group: Group) -> None:
    (number,) = group.primaries()
    member, primary = group.servers[2 if number != 2 else 1], group.servers[number]
    primary.query("CREATE DATABASE test")
    primary.query("CREATE TABLE test.once (id INT PRIMARY KEY)")
    wait_until(
        lambda: member.query("SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'test'"),
        what="the table",
    )
    member.query("SET GLOBAL super_read_only = OFF")
    member.query_unlogged("INSERT INTO test.once VALUES (1)")
    primary.query("INSERT INTO test.once VALUES (1)")  # at which the member's applier fails
    wait_until(lambda: "offline mode" in state(member), what="it has left, and lets nobody in")
    member.query("SET GLOBAL offline_mode = OFF")
    wait_for(member, "ERROR", "")
    make_writable(member)
    member.query_unlogged(
        """INSERT INTO lambda_udf.outbox (function_name, payload) VALUES ('f', '{"event": "of-error"}')"""
    )
    events = group.send(primary, "after", 20)
    primary.wait_until_empty(20)
    assert group.deliverers(events) == {group.keys[number]: len(events)}
    assert group.deliverers({"of-error"}) == {}
    assert member.left() == 1

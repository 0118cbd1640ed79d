"""kill -9 under load, of the sidecar and of mysqld: nothing is lost, and doubles have their one reason.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.chaos import size
from tests.chaos.book import Book, Comparison, compare, doubled_by_one_sidecar
from tests.chaos.endpoint import (
    FAILED,
    TAKEN,
    THROTTLED,
    Answer,
    Endpoint,
    Policy,
    Request,
    counting_endpoint,
)
from tests.chaos.events import TABLES
from tests.chaos.load import load
from tests.chaos.outbox_server import OutboxServer, outbox_server
from tests.support.waiting import wait_until

CLIENTS = 2


def moods(seed: int) -> Policy:
    """Most events are taken after some milliseconds, so that every kill meets events that are at Lambda."""
    choices = random.Random(seed)

    def answer(_: Request) -> Answer:
        kind = choices.choices((TAKEN, THROTTLED, FAILED), (980, 10, 10))[0]
        return Answer(kind.status, choices.uniform(0, 0.03), kind.headers, takes=kind.takes)

    return answer


def test_however_often_the_sidecar_is_killed_nothing_is_lost_and_only_what_was_at_lambda_is_sent_again(
    mysql_home: Path, tmp_path: Path
) -> None:
    seed, kills = size.seed(), size.amount(short=10, full=1_000)
    size.report("sidecar", seed=seed, kills=kills)
    moments, book = random.Random(seed), Book()
    with (
        counting_endpoint(moods(seed)) as endpoint,
        outbox_server(mysql_home, tmp_path, endpoint.url) as server,
    ):
        create(server)
        with load(CLIENTS, seed, server, book):
            for _ in range(kills):
                seen = len(endpoint.accepted)
                if moments.random() < 0.9:  # the others die while they start
                    wait_until(lambda: len(endpoint.accepted) > seen, seconds=60, what="a delivery")  # noqa: B023
                time.sleep(moments.uniform(0, 0.3))  # the moment is the experiment
                server.sidecar.kill()
                server.start_sidecar()
        found = arrived(server, book, endpoint)
    report("sidecar", seed, kills, book, endpoint, found)
    assert (found.lost, found.invented, found.altered) == (set(), set(), set())
    assert found.started_twice & durable(book) == set()
    # Each process has sent an event once, unless it has not heard that it was accepted.
    assert doubled_by_one_sidecar(endpoint.accepted) == []


def test_however_often_mysqld_is_killed_nothing_is_lost_and_nothing_is_sent_twice(
    mysql_home: Path, tmp_path: Path
) -> None:
    seed, kills = size.seed(), size.amount(short=2, full=50)
    size.report("mysqld", seed=seed, kills=kills)
    moments, book = random.Random(seed), Book()
    with (
        counting_endpoint(moods(seed)) as endpoint,
        outbox_server(mysql_home, tmp_path, endpoint.url) as server,
    ):
        create(server)
        with load(CLIENTS, seed, server, book):
            for _ in range(kills):
                seen = len(endpoint.accepted)
                wait_until(lambda: len(endpoint.accepted) > seen + 20, seconds=60, what="deliveries")  # noqa: B023
                time.sleep(moments.uniform(0, 0.5))  # the moment is the experiment
                server.mysqld.kill()
                server.mysqld.start()
        found = arrived(server, book, endpoint)
    report("mysqld", seed, kills, book, endpoint, found)
    assert (found.lost, found.invented, found.altered) == (set(), set(), set())
    # The sidecar has outlived all of it, and knows what it has sent.
    assert found.doubled == set()


def create(server: OutboxServer) -> None:
    for statement in TABLES:
        server.query(statement)


def arrived(server: OutboxServer, book: Book, endpoint: Endpoint) -> Comparison:
    """After the last event."""
    server.wait_until_empty(300)
    book.resolve({event for (event,) in server.query("SELECT event FROM test.marks")})
    return compare(book, endpoint)


def durable(book: Book) -> set[str]:
    """Events whose option says that they are to be started once."""
    return book.durable & book.committed


def report(scenario: str, seed: int, kills: int, book: Book, endpoint: Endpoint, found: Comparison) -> None:
    size.report(
        scenario,
        seed=seed,
        kills=kills,
        committed=len(book.committed),
        not_committed=len(book.undone),
        refused_by_Lambda=endpoint.refused.total(),
        lost=len(found.lost),
        invented=len(found.invented),
        altered=len(found.altered),
        doubled=len(found.doubled),
        doubles=found.doubles,
        durable=len(durable(book)),
        durable_doubled=len(found.doubled & durable(book)),
        durable_started_twice=len(found.started_twice & durable(book)),
    )

"""Transactions that end at random, while the sidecar delivers: what was committed arrives, and nothing else.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from tests.chaos import size
from tests.chaos.book import Book, compare
from tests.chaos.endpoint import FAILED, TAKEN, THROTTLED, Answer, Request, counting_endpoint
from tests.chaos.events import TABLES
from tests.chaos.outbox_server import outbox_server
from tests.chaos.random_ends import Kills, RandomEnds

CLIENTS = 4


def test_of_transactions_with_random_ends_exactly_the_committed_events_arrive_as_they_were_written(
    mysql_home: Path, tmp_path: Path
) -> None:
    seed, transactions = size.seed(), size.amount(short=200, full=10_000)
    size.report("transactions", seed=seed, transactions=transactions)
    choices, answers, book = random.Random(seed), random.Random(seed), Book()

    def answer(_: Request) -> Answer:
        return answers.choices((TAKEN, Answer(seconds=0.02), THROTTLED, FAILED), (70, 27, 2, 1))[0]

    with (
        counting_endpoint(answer) as endpoint,
        outbox_server(mysql_home, tmp_path, endpoint.url) as server,
    ):
        for statement in (*TABLES, f"INSERT INTO test.pairs (id) VALUES {pairs()}"):
            server.query(statement)
        kills = Kills(choices, transactions, max(1, transactions // 1_000), server)
        clients = [
            RandomEnds(number, seed, transactions // CLIENTS, server, book, kills)
            for number in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert [client.defect for client in clients] == [None] * CLIENTS
        server.wait_until_empty(300)
        unknown = len(book.unknown)
        book.resolve({event for (event,) in server.query("SELECT event FROM test.marks")})
    found = compare(book, endpoint)
    ends = sum((client.ends for client in clients), Counter[str]())
    size.report(
        "transactions",
        ends=dict(ends),
        kills_of_mysqld=kills.number,
        events=len(book.payloads),
        committed=len(book.committed),
        not_answered_COMMIT_or_lost=unknown,
        refused_by_Lambda=endpoint.refused.total(),
        lost=len(found.lost),
        invented=len(found.invented),
        altered=len(found.altered),
        doubles=found.doubles,
        started_twice=len(found.started_twice),
    )
    assert book.committed and book.undone and kills.number
    assert (found.lost, found.invented, found.altered) == (set(), set(), set())
    # The sidecar has outlived all of it, and knows what it has sent.
    assert found.doubled == set()


def pairs() -> str:
    """Two rows for each client's deadlocks."""
    return ", ".join(f"({number})" for number in range(2 * CLIENTS))

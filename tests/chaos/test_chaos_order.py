"""Events with a group_key, written by sessions that commit across each other, to a Lambda that often fails.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.chaos import size
from tests.chaos.endpoint import (
    FAILED,
    HANGS_UP,
    TAKEN,
    TAKES_AND_HANGS_UP,
    THROTTLED,
    Answer,
    Request,
    counting_endpoint,
)
from tests.chaos.outbox_server import OutboxServer, outbox_server
from tests.support.stack import execute

from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.outbox import new_rows
from lambda_sidecar.outbox.session import connect

KEYS = 8
FUNCTIONS = ("ledger", "stock")
SLOW = Answer(seconds=0.2)
MOODS = {TAKEN: 930, SLOW: 30, THROTTLED: 15, FAILED: 10, HANGS_UP: 5, TAKES_AND_HANGS_UP: 10}
INSERT = "INSERT INTO lambda_udf.outbox (function_name, payload, options) VALUES (%s, %s, %s)"


class Writer(threading.Thread):
    """The only one that writes its key's events: numbers from 0 on, some to a transaction, some rolled back."""

    def __init__(self, key: int, seed: int, rows: int, server: OutboxServer) -> None:
        super().__init__(name=f"key {key}")
        self._key, self._rows, self._server = key, rows, server
        self._choices = random.Random(f"{seed} {key}")
        self.defect: BaseException | None = None

    def run(self) -> None:
        try:
            with closing(self._server.connect()) as connection:
                written = 0
                while written < self._rows:
                    execute(connection, "START TRANSACTION")
                    ends_well = self._choices.random() < 0.8
                    count = min(self._choices.randrange(1, 6), self._rows - written)
                    for number in range(written, written + count):
                        self._insert(connection, f"{self._key}:{number if ends_well else 'undone'}")
                    execute(connection, "COMMIT" if ends_well else "ROLLBACK")
                    written += count if ends_well else 0
        except BaseException as error:
            self.defect = error

    def _insert(self, connection: object, event: str) -> None:
        function = self._choices.choice(FUNCTIONS)
        options = {"group_key": f"key {self._key}", "delay_seconds": self._choices.choice((0, 0, 0, 0.05))}
        execute(connection, INSERT, (function, json.dumps({"event": event}), json.dumps(options)))  # type: ignore[arg-type]


def test_the_order_within_each_key_holds_at_a_lambda_that_throttles_fails_hangs_up_and_is_slow(
    mysql_home: Path, tmp_path: Path
) -> None:
    seed, rows = size.seed(), size.amount(short=100, full=1_000)
    size.report("order", seed=seed, keys=KEYS, rows=rows)
    moods = random.Random(seed)
    unheard = Counter[str]()

    def answer(request: Request) -> Answer:
        (mood,) = moods.choices(list(MOODS), list(MOODS.values()))
        if mood is TAKES_AND_HANGS_UP:
            unheard[request.event] += 1
        return mood

    with (
        counting_endpoint(answer) as endpoint,
        outbox_server(mysql_home, tmp_path, endpoint.url) as server,
    ):
        writers = [Writer(key, seed, rows, server) for key in range(KEYS)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert [writer.defect for writer in writers] == [None] * KEYS
        server.wait_until_empty(60 + rows)
    orders: list[list[int]] = [[] for _ in range(KEYS)]
    for each in endpoint.accepted:
        key, _, number = each.event.partition(":")
        orders[int(key)].append(int(number))
    doubles = Counter({event: times - 1 for event, times in endpoint.times_accepted().items() if times > 1})
    size.report(
        "order",
        seed=seed,
        accepted=len(endpoint.accepted),
        refused=dict(endpoint.refused),
        accepted_but_unheard=unheard.total(),
        doubles=doubles.total(),
    )
    assert [sorted(set(order)) for order in orders] == [list(range(rows))] * KEYS
    # Also of what is sent again: the next of a key goes when the one before has left the outbox.
    assert [order for order in orders if order != sorted(order)] == []
    assert doubles == unheard
    assert endpoint.refused.keys() == {0, 429, 500}


async def test_a_row_that_is_written_and_not_committed_is_met_by_its_lock(
    mysql_home: Path, tmp_path: Path
) -> None:
    """By this the deliverer knows how long it has to look for an id that is missing."""
    with OutboxServer(mysql_home, tmp_path, "http://127.0.0.1:9") as server:
        server.start_mysqld()
        session = await connect(OutboxSettings(mysql_socket=server.mysqld.socket))
        with closing(server.connect()) as writer, closing(server.connect()) as other:
            row = ("f", "{}", None)
            for _ in range(2):
                execute(other, INSERT, row)
            execute(writer, "START TRANSACTION")
            execute(writer, INSERT, row)
            execute(other, INSERT, row)
            before = await new_rows.settled_up_to(session, 0, 1)
            during = await new_rows.settled_up_to(session, 2, 4)
            execute(writer, "ROLLBACK")
            afterwards = await new_rows.settled_up_to(session, 0, 4)
        await session.close()
    assert (before, during, afterwards) == (1, None, 4)

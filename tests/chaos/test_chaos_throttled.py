"""A function that is throttled for long: the others do not notice, and it gets everything afterwards.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.chaos import size
from tests.chaos.endpoint import TAKEN, THROTTLED, Answer, Endpoint, Request, counting_endpoint
from tests.chaos.outbox_server import OutboxServer, outbox_server
from tests.support.stack import execute
from tests.support.waiting import wait_until

INSERT = "INSERT INTO lambda_udf.outbox (function_name, payload) VALUES (%s, %s)"
# A probe each so many seconds.
PROBE_SECONDS = 0.05
# The throttled function's rows: at once at the start, and then so many each second.
BACKLOG, ROWS_PER_SECOND = 3_000, 20
# A machine that also runs other tests does not measure less than this.
NOISE_SECONDS = 0.005


def write(connection: MySQLConnectionAbstract, function: str, event: str) -> None:
    execute(connection, INSERT, (function, json.dumps({"event": event})))


def probe(server: OutboxServer, endpoint: Endpoint, name: str, seconds: float) -> float:
    """The median time in seconds from a commit of another function's event to its acceptance."""
    committed: dict[str, float] = {}
    with closing(server.connect()) as connection:
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(committed) < 20:
            event = f"{name} {len(committed)}"
            call = "SELECT lambda_udf.lambda_async('brisk', %s)"
            execute(connection, call, (json.dumps({"event": event}),))
            committed[event] = time.monotonic()
            time.sleep(PROBE_SECONDS)  # the pace is part of the measurement
    accepted = wait_until(lambda: _accepted(endpoint, committed), seconds=60, what="all probes")
    return statistics.median(max(0.0, accepted[event] - moment) for event, moment in committed.items())


def _accepted(endpoint: Endpoint, committed: dict[str, float]) -> dict[str, float]:
    """Moments, when all are there."""
    accepted = {each.event: each.moment for each in endpoint.accepted if each.event in committed}
    return accepted if len(accepted) == len(committed) else {}


@contextmanager
def rows_of_the_throttled(server: OutboxServer, written: list[str]) -> Iterator[None]:
    """More and more of them while the block runs."""
    stop = threading.Event()

    def run() -> None:
        with closing(server.connect()) as connection:
            while not stop.wait(1 / ROWS_PER_SECOND):
                written.append(f"throttled {len(written)}")
                write(connection, "throttled", written[-1])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_throttled_function_does_not_slow_the_others_and_has_everything_in_the_end(
    mysql_home: Path, tmp_path: Path
) -> None:
    seconds = size.amount(short=10, full=600)
    is_throttled = threading.Event()
    is_throttled.set()
    written: list[str] = []

    def answer(request: Request) -> Answer:
        return THROTTLED if request.function == "throttled" and is_throttled.is_set() else TAKEN

    with (
        counting_endpoint(answer) as endpoint,
        outbox_server(mysql_home, tmp_path, endpoint.url) as server,
    ):
        alone = probe(server, endpoint, "before", min(seconds / 2, 30))
        with closing(server.connect(autocommit=False)) as connection:
            for _ in range(BACKLOG):
                written.append(f"throttled {len(written)}")
                write(connection, "throttled", written[-1])
            execute(connection, "COMMIT")
        with rows_of_the_throttled(server, written):
            beside = probe(server, endpoint, "during", seconds)
        refused = endpoint.refused[429]
        assert not any(each.function == "throttled" for each in endpoint.accepted)
        is_throttled.clear()
        began = time.monotonic()
        server.wait_until_empty(700)
        took = time.monotonic() - began
    size.report(
        "throttled",
        seconds=seconds,
        alone_p50_ms=round(alone * 1000, 2),
        beside_p50_ms=round(beside * 1000, 2),
        rows_of_the_throttled=len(written),
        answers_429=refused,
        seconds_until_all_had_arrived=round(took, 1),
    )
    times = endpoint.times_accepted()
    assert {event: times[event] for event in written} == dict.fromkeys(written, 1)
    assert refused
    assert beside <= max(2 * alone, alone + NOISE_SECONDS)

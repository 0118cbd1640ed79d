"""Calls while everything around them fails at random: none is carried out twice, and what was answered was carried out.

Counted at the endpoint. Each test's name is the sentence that it proves."""

from __future__ import annotations

import random
from pathlib import Path

from tests.chaos import size
from tests.chaos.call_faults import call_faults
from tests.chaos.calls import CallBook, Caller
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
from tests.support.component import INSTALL
from tests.support.stack import Library, start_stack

CALLERS = 6
# A pause of the sidecar is shorter, and its restart; what is slower than that times out.
TIMEOUT_MS, TOO_SLOW_SECONDS = 3_000, 3.3
THROTTLED_AT_ONCE = Answer(429, headers=THROTTLED.headers.replace("1", "0"), takes=False)
MOODS = {TAKEN: 9_000, THROTTLED_AT_ONCE: 100, FAILED: 50, HANGS_UP: 50, TAKES_AND_HANGS_UP: 50}


def test_whatever_befalls_them_no_call_is_carried_out_twice_and_every_answered_one_was_once(
    mysql_home: Path, tmp_path: Path
) -> None:
    seed, count = size.seed(), size.amount(short=1_500, full=100_000)
    size.report("calls", seed=seed, calls=count)
    moods = random.Random(seed)

    def answer(_: Request) -> Answer:
        if moods.random() < 0.0003:
            return Answer(seconds=TOO_SLOW_SECONDS)
        if moods.random() < 0.05:
            return Answer(seconds=moods.uniform(0, 0.1))
        return moods.choices(list(MOODS), list(MOODS.values()))[0]

    book = CallBook()
    with (
        counting_endpoint(answer) as endpoint,
        start_stack(
            mysql_home, tmp_path, Library.PLAIN, endpoint_url=endpoint.url, log_level="info", drain_seconds=5
        ) as stack,
    ):
        stack.query(INSTALL)
        stack.query(f"SET GLOBAL lambda_udf.timeout_ms = {TIMEOUT_MS}")
        callers = [Caller(number, seed, count // CALLERS, stack, book) for number in range(CALLERS)]
        with call_faults(seed, stack, callers) as faults:
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
        assert [caller.defect for caller in callers] == [None] * CALLERS
        assert stack.mysqld.log_text().count("ready for connections") == 1
    times = endpoint.times_accepted()
    size.report("calls", faults=dict(faults.number))
    size.report(
        "calls",
        answered=len(book.answered),
        failed=len(book.failed),
        failed_and_surely_not_carried_out=len(book.undone),
        carried_out_though_failed=len(book.failed & set(times)),
        refused_by_Lambda=dict(endpoint.refused),
        lost=len(book.answered - set(times)),
        doubled=sum(number > 1 for number in times.values()),
    )
    for end, number in book.ends.most_common():
        size.report("calls", ended=end, number=number)
    assert book.answered and book.failed and faults.number
    assert book.answered - set(times) == set()
    assert {event: number for event, number in times.items() if number > 1} == {}
    assert book.undone & set(times) == set()

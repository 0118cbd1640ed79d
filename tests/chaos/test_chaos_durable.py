"""Calls with a durable execution's name, while connections break and the sidecar dies: each gets its answer, and each
starts one execution.

Counted at the endpoint. Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.chaos import size
from tests.chaos.cutting_endpoint import CuttingEndpoint, cutting_endpoint
from tests.support.component import INSTALL
from tests.support.stack import Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

SESSIONS = 16
# Calls that are under way when the sidecar is killed, each on a line of its own.
AT_ONCE = 8
# A machine that also runs other tests: far longer than all attempts take.
TIMEOUT_MS = 120_000
SQL = "SELECT lambda_invoke('Order', %s, %s)"


@contextlib.contextmanager
def durable_stack(mysql_home: Path, directory: Path, seed: int) -> Iterator[tuple[CuttingEndpoint, Stack]]:
    with (
        cutting_endpoint(seed) as endpoint,
        start_stack(
            mysql_home, directory, Library.PLAIN, endpoint_url=endpoint.url, log_level="info"
        ) as stack,
    ):
        stack.query(INSTALL)
        stack.query(f"SET GLOBAL lambda_udf.timeout_ms = {TIMEOUT_MS}")
        stack.query("SET GLOBAL lambda_udf.connect_timeout_ms = 30000")
        yield endpoint, stack


def call(stack: Stack, numbers: list[int]) -> dict[int, int]:
    """The answers to so many calls, one after the other in one session."""
    answers = {}
    with contextlib.closing(stack.connect()) as connection:
        for number in numbers:
            options = json.dumps({"durable_execution_name": f"order-{number}"})
            ((document,),) = execute(connection, SQL, (json.dumps({"order": number}), options))
            answers[number] = json.loads(document)["Payload"]["done"]
    return answers


@pytest.fixture(name="seed")
def _seed() -> int:
    return size.seed()


def test_calls_whose_connection_is_cut_at_a_random_byte_get_their_answers_and_start_one_execution_each(
    mysql_home: Path, tmp_path: Path, seed: int
) -> None:
    count = size.amount(short=160, full=1_000)
    size.report("durable", seed=seed, calls=count)
    numbers = list(range(count))
    with (
        durable_stack(mysql_home, tmp_path, seed) as (endpoint, stack),
        ThreadPoolExecutor(SESSIONS) as sessions,
    ):
        parts = sessions.map(lambda first: call(stack, numbers[first::SESSIONS]), range(SESSIONS))
        answers = {number: answer for part in parts for number, answer in part.items()}
    size.report(
        "durable",
        answers=len(answers),
        executions=endpoint.executions.total(),
        requests=endpoint.requests,
        cut_within_the_request=endpoint.cuts["request"],
        cut_within_the_answer=endpoint.cuts["answer"],
    )
    assert answers == {number: number for number in numbers}
    assert endpoint.executions == {f"order-{number}": 1 for number in numbers}
    assert endpoint.cuts["answer"] >= count
    assert endpoint.cuts["request"] > 0


def test_calls_whose_sidecar_is_killed_get_their_answers_and_start_one_execution_each(
    mysql_home: Path, tmp_path: Path, seed: int
) -> None:
    rounds = size.amount(short=16, full=200) // AT_ONCE
    answers: dict[int, int] = {}
    with (
        durable_stack(mysql_home, tmp_path, seed) as (endpoint, stack),
        ThreadPoolExecutor(AT_ONCE) as sessions,
    ):
        endpoint.cuts_answers = False
        for first in range(0, rounds * AT_ONCE, AT_ONCE):
            endpoint.hold()
            calls = [sessions.submit(call, stack, [number]) for number in range(first, first + AT_ONCE)]
            wait_until(lambda: endpoint.held == AT_ONCE, seconds=60, what="all calls at the endpoint")
            stack.sidecar.kill()
            endpoint.release()
            stack.sidecar.start()
            for each in calls:
                answers |= each.result()
    size.report(
        "durable", kills=rounds, answers=len(answers), executions=endpoint.executions.total(),
        requests=endpoint.requests,
    )  # fmt: skip
    assert answers == {number: number for number in range(rounds * AT_ONCE)}
    assert set(endpoint.executions.values()) == {1}
    assert endpoint.executions.total() == rounds * AT_ONCE
    assert endpoint.requests == 2 * rounds * AT_ONCE

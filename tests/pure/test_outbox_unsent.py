"""An event that has no slot or no credentials in its time was not sent: that is no attempt, however often.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import math

import pytest
from botocore.credentials import ReadOnlyCredentials
from tests.pure.test_throttling import DEFAULTS
from tests.support.permuting_loop import run_in_order

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.rules import AccessRules
from lambda_sidecar.access.settings import AccessSettings
from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.aws.credentials import PlaceholderCredentials
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.concurrency.slots import Concurrency, Share
from lambda_sidecar.outbox.attempt import attempt
from lambda_sidecar.outbox.clock import ServerClock
from lambda_sidecar.outbox.row import Row
from lambda_sidecar.outbox.verdict import UNSENT_SECONDS, Dead, Later


class NeverCome(PlaceholderCredentials):
    async def get(self, *_: object) -> ReadOnlyCredentials:
        await asyncio.get_running_loop().create_future()
        raise AssertionError


async def _at_work(_: Invocation, __: ReadOnlyCredentials) -> InvocationResult:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


def verdicts(pipeline: Pipeline, clock: ServerClock) -> list[tuple[float, Later | Dead]]:
    """Of three attempts, of which a row has no more, and when each ended."""
    row = Row(1, "f", b"{}", Account("app", "%"), 0.0, 2, caller="app@%")

    async def main() -> list[tuple[float, Later | Dead]]:
        found = []
        for _ in range(3):
            verdict = await attempt(row, pipeline, Share(), {}, clock, max_attempts=3, lease=lambda: math.inf)
            assert isinstance(verdict, Later | Dead)
            found.append((clock.now(), verdict))
        assert (row.attempts == 0) == all(isinstance(each, Later) for _, each in found)
        return found

    return run_in_order(main, 1)


@pytest.mark.parametrize("lacks", ["a slot", "credentials"])
def test_a_row_that_is_not_sent_for_a_minute_is_tried_again_soon_and_never_given_up(lacks: str) -> None:
    concurrency = Concurrency(1, None)
    credentials = NeverCome() if lacks == "credentials" else PlaceholderCredentials()
    policy = Policy(DEFAULTS, AccessRules(AccessSettings(), DEFAULTS))
    pipeline = Pipeline(_at_work, credentials, policy, concurrency)
    if lacks == "a slot":
        assert concurrency.take("somebody else's") is not None
    for ended, verdict in verdicts(pipeline, ServerClock()):
        assert isinstance(verdict, Later)
        assert verdict.error == "timed out after 60000 ms"
        assert UNSENT_SECONDS / 2 - 0.1 <= verdict.at - ended <= UNSENT_SECONDS


def test_a_row_that_was_sent_and_has_no_answer_for_a_minute_is_given_up_in_the_end() -> None:
    policy = Policy(DEFAULTS, AccessRules(AccessSettings(), DEFAULTS))
    pipeline = Pipeline(_at_work, PlaceholderCredentials(), policy, Concurrency(1, None))
    found = [verdict for _, verdict in verdicts(pipeline, ServerClock())]
    assert [type(each) for each in found] == [Later, Later, Dead]
    assert found[-1] == Dead("given up after 3 attempts: timed out after 60000 ms")

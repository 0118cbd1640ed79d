"""How long a function is expected to need, and when that is doubted.

Quick: no process, no socket. Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import time

from lambda_sidecar.concurrency.durations import SAMPLES, Estimate
from lambda_sidecar.concurrency.slots import Concurrency, Share, Shed, Slot

# Of the one that runs when the test waits in vain.
PATIENCE_SECONDS = 5.0


def test_an_estimate_that_nobody_meets_is_tried_and_forgotten_when_it_is_out_of_date() -> None:
    estimate = Estimate()
    for _ in range(SAMPLES):
        estimate.note(60.0, answered=False)  # an outage
    assert not estimate.is_met(50.0, now=1000.0)
    assert not estimate.is_met(50.0, now=1059.0)
    assert estimate.is_met(50.0, now=1060.0), "none has ended for a minute"
    assert not estimate.is_met(50.0, now=1060.0), "one is enough"
    estimate.note(0.1, answered=True)
    assert estimate.seconds == 0.1
    assert estimate.is_met(50.0, now=1061.0)


def test_a_trial_that_shows_what_was_known_changes_nothing() -> None:
    estimate = Estimate()
    for _ in range(SAMPLES):
        estimate.note(60.0, answered=True)
    assert not estimate.is_met(50.0, now=1000.0)
    assert estimate.is_met(50.0, now=1060.0)
    estimate.note(50.0, answered=False)
    assert estimate.seconds == 60.0
    assert not estimate.is_met(50.0, now=1200.0), "the minute begins anew with what is refused next"
    assert not estimate.is_met(50.0, now=1259.0)
    assert estimate.is_met(50.0, now=1260.0)


async def test_a_function_that_has_become_quick_gets_slots_though_others_never_leave_one_free() -> None:
    slots = Concurrency(1, None)
    estimate = Estimate()
    estimate.note(0.05, answered=False)
    busy = slots.take("other")
    refused, give_up = 0, time.monotonic() + PATIENCE_SECONDS
    while True:
        assert time.monotonic() < give_up
        deadline = time.monotonic() + 0.04
        call = asyncio.create_task(slots.wait("f", "app", Share(), deadline=deadline, need=estimate))
        in_line = asyncio.create_task(
            slots.wait("other", "app", Share(), deadline=deadline + 60, need=Estimate())
        )
        await asyncio.sleep(0)
        assert busy is not None
        slots.give_back(busy)
        (outcome,) = await asyncio.gather(call, return_exceptions=True)
        if isinstance(outcome, Slot):
            break
        assert isinstance(outcome, Shed)
        refused += 1
        busy = await in_line
    assert refused > 0
    estimate.note(0.001, answered=True)
    slots.give_back(outcome)
    slots.give_back(await in_line)
    assert estimate.seconds == 0.001
    assert slots.running == 0

"""A task that speaks to MySQL ends when it is to, also where its connector loses the cancellation.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import time

import pytest

from lambda_sidecar.outbox import ending
from lambda_sidecar.outbox.ending import end


async def packet_after_packet(answers: asyncio.Queue[bytes], seen: list[bytes]) -> None:
    """As the connector reads. Before 3.12, wait_for() gives a packet that is there in place of a cancellation;
    from then on it does not, and the same is done here."""
    while True:
        waiting = asyncio.ensure_future(answers.get())
        try:
            await asyncio.wait([waiting])
        except asyncio.CancelledError:
            if not waiting.done():
                waiting.cancel()
                raise
        seen.append(waiting.result())


async def test_a_task_that_loses_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "AGAIN_SECONDS", 0.01)
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    seen: list[bytes] = []
    task = asyncio.create_task(packet_after_packet(answers, seen))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answers.put_nowait(b"a packet")
    await asyncio.sleep(0)  # the queue's getter has it, and the task does not know yet
    await asyncio.wait_for(end(task), 5)
    assert (task.cancelled(), seen) == (True, [b"a packet"])


async def test_a_task_that_fails_at_its_end_and_one_that_was_done_raise_nothing() -> None:
    async def fails() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError

    async def is_done() -> None:
        raise KeyError

    tasks = [asyncio.create_task(fails()), asyncio.create_task(is_done())]
    await asyncio.sleep(0)
    began = time.monotonic()
    await end(*tasks)
    assert all(task.done() for task in tasks)
    assert time.monotonic() - began < ending.AGAIN_SECONDS


async def test_to_end_nothing_takes_no_time() -> None:
    await asyncio.wait_for(end(), 1)

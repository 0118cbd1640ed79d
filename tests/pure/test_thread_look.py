"""A look that hangs: it holds one thread, none of the event loop's, and its askers get an answer all the same.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lambda_sidecar.calls.finding import Finding, Findings, Verdict
from lambda_sidecar.process.thread_look import ThreadLook

LATE = Finding(Verdict.WARNING, "group", "no answer")


class Hanging:
    """A look that finds one thing, but not before the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.threads: list[threading.Thread] = []

    def __call__(self, findings: Findings) -> None:
        self.threads.append(threading.current_thread())
        self.gate.wait()
        findings.ok("group", "nobody")


async def found(look: ThreadLook) -> list[str]:
    texts: list[Finding] = []
    await look.look(Findings(texts.append))
    return [each.text for each in texts]


async def test_all_who_ask_while_it_hangs_share_one_thread_and_are_told_in_time() -> None:
    hanging = Hanging()
    look = ThreadLook(hanging, 0.05, LATE)
    try:
        assert await asyncio.gather(*(found(look) for _ in range(20))) == [["no answer"]] * 20
        assert await found(look) == ["no answer"]
        (thread,) = hanging.threads
        assert thread.daemon  # the process' end does not wait for it
    finally:
        hanging.gate.set()


async def test_askers_that_go_take_nothing_from_the_others_and_the_next_look_is_a_new_one() -> None:
    hanging = Hanging()
    look = ThreadLook(hanging, 60, LATE)
    gone, stays = asyncio.create_task(found(look)), asyncio.create_task(found(look))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    hanging.gate.set()
    assert await stays == ["nobody"]
    assert await found(look) == ["nobody"]
    assert len(hanging.threads) == 2


async def test_what_it_raises_is_raised_for_who_asked() -> None:
    def broken(_findings: Findings) -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        await found(ThreadLook(broken, 60, LATE))

"""How work on large texts shares the event loop with everything else.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.text import pacer
from lambda_sidecar.text.pacer import AT_ONCE, PAUSE, SHORT_SECONDS, Pacer, at_once


def work(log: list[str], name: str, steps: int, seconds: float = 0.0) -> Generator[None, None, str]:
    """Each step holds the loop so long, at least."""
    for number in range(steps):
        log.append(f"{name}{number}")
        hold(seconds)
        yield
    return name


def hold(seconds: float) -> None:
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        pass


def busy(seconds: float, log: list[tuple[float, float]]) -> Generator[None, None, None]:
    """One step that holds the loop so long, and when it began and ended."""
    began = time.monotonic()
    hold(seconds)
    log.append((began, time.monotonic()))
    yield


async def turns(log: list[str], until: asyncio.Future[None]) -> None:
    """Everything else on the loop."""
    while not until.done():
        log.append("other")
        await asyncio.sleep(0)


def test_small_work_is_done_at_once() -> None:
    async def main() -> list[str]:
        log: list[str] = []
        asyncio.get_running_loop().call_soon(log.append, "other")
        assert at_once(work(log, "a", 3)) == "a"
        return list(log)

    assert asyncio.run(main()) == ["a0", "a1", "a2"]


def test_between_two_steps_of_large_work_the_loop_goes_on() -> None:
    async def main() -> list[str]:
        log: list[str] = []
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        other = asyncio.ensure_future(turns(log, done))
        assert await Pacer().run(work(log, "a", 3, SHORT_SECONDS)) == "a"
        done.set_result(None)
        await other
        return log

    log = asyncio.run(main())
    places = [log.index(f"a{number}") for number in range(3)]
    assert all("other" in log[one:two] for one, two in pairwise(places))


def test_steps_that_are_short_together_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def short(log: list[str]) -> Generator[None, None, None]:
        nonlocal now
        for _ in range(9):
            log.append("step")
            now += SHORT_SECONDS / 4
            yield

    async def main() -> list[str]:
        log: list[str] = []
        asyncio.get_running_loop().call_soon(log.append, "other")
        await Pacer().run(short(log))
        return log

    monkeypatch.setattr(pacer, "time", SimpleNamespace(perf_counter=lambda: now))
    assert asyncio.run(main()).index("other") == 4


@pytest.mark.parametrize(("size", "goes_on"), [(AT_ONCE, False), (AT_ONCE + 1, True)])
def test_the_pipeline_does_large_work_in_steps_and_small_work_at_once(size: int, goes_on: bool) -> None:
    async def main() -> list[str]:
        log: list[str] = []
        unused: Any = None
        pipeline = Pipeline(unused, unused, unused, unused)
        asyncio.get_running_loop().call_soon(log.append, "other")
        await pipeline.pace(work(log, "a", 3, SHORT_SECONDS), size)
        await asyncio.sleep(0)
        return log

    assert asyncio.run(main()).index("other") == (1 if goes_on else 3)


def test_of_all_large_work_one_step_is_done_at_a_time_and_the_loop_has_twice_as_long_in_between() -> None:
    async def main() -> list[tuple[float, float]]:
        paced, steps = Pacer(), list[tuple[float, float]]()
        await asyncio.gather(*(paced.run(busy(0.01, steps)) for _ in range(5)))
        return steps

    steps = asyncio.run(main())
    assert len(steps) == 5
    for (began, ended), (next_began, _) in pairwise(steps):
        assert next_began - ended >= (ended - began) * PAUSE * 0.8  # the loop's clock is not ours


def test_work_that_fails_or_is_cancelled_keeps_nobody_waiting() -> None:
    def fails() -> Generator[None, None, None]:
        yield
        raise ValueError("as it should")

    async def main() -> None:
        paced, log = Pacer(), list[str]()
        with pytest.raises(ValueError, match="as it should"):
            await paced.run(fails())
        running = [asyncio.ensure_future(paced.run(work(log, name, 100))) for name in "ab"]
        await asyncio.sleep(0)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        async with asyncio.timeout(5):
            assert await paced.run(work(log, "c", 3)) == "c"

    asyncio.run(main())

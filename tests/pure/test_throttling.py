"""Functions that throttle, before the sidecar's own pipeline on a clock of its own: what they allow is used.

No sockets: Lambda is a model of its limits. Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
from botocore.credentials import ReadOnlyCredentials
from tests.support.permuting_loop import BEGINNING, run_in_order

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.function_name import Defaults
from lambda_sidecar.access.rules import AccessRules
from lambda_sidecar.access.settings import AccessSettings
from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.aws.credentials import PlaceholderCredentials
from lambda_sidecar.aws.durable_answer import LOOK
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.calls.call import Call
from lambda_sidecar.calls.durable import DurableRequest
from lambda_sidecar.calls.lambda_invoke import Options
from lambda_sidecar.calls.pipeline import TAKEN_SECONDS, Invoke, Pipeline
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.concurrency.pace import OVER
from lambda_sidecar.concurrency.slots import Concurrency, Share
from lambda_sidecar.errors import EndpointUnreachable, InvokeFailure, Throttled

T = TypeVar("T")

F = "arn:aws:lambda:us-east-1:123456789012:function:f"
RATE_EXCEEDED = "Lambda API returned error: TooManyRequestsException: Rate Exceeded."
DEFAULTS = Defaults({"us-east-1": "aws"}, "us-east-1", "123456789012")
SYNC = Options(invocation_type="RequestResponse")


@dataclass
class Limits:
    """Of one function: `rate` calls a second, of which `burst` may come at once; and `places` at once."""

    rate: float = math.inf
    burst: float = 1.0
    places: int = 1_000_000
    inside: int = 0
    _tokens: float = -1.0
    _at: float = 0.0

    def allow(self) -> bool:
        if self.rate < math.inf:
            now = time.monotonic()
            filled = self.burst if self._tokens < 0 else self._tokens + (now - self._at) * self.rate
            self._tokens, self._at = min(self.burst, filled), now
            if self._tokens < 1 - 1e-9:
                return False
        if self.inside >= self.places:
            return False
        if self.rate < math.inf:
            self._tokens -= 1
        return True


@dataclass
class Model:
    """Lambda, with so many seconds on the way there and back, and how long a call runs."""

    limits: dict[str, Limits]
    seconds: Callable[[random.Random], float]
    way: float = 0.002
    jitter: float = 0.0005
    retry_after: float | None = None
    chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311
    taken: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    async def invoke(self, invocation: Invocation, _: ReadOnlyCredentials) -> InvocationResult:
        limits = self.limits.get(invocation.function.name) or Limits()
        await asyncio.sleep(self.way + self.chance.uniform(0, self.jitter))
        if not limits.allow():
            self.refused.append(time.monotonic())
            await asyncio.sleep(self.way)
            raise Throttled("TooManyRequestsException", "Rate Exceeded.", retry_after=self.retry_after)
        self.taken.append(time.monotonic())
        limits.inside += 1
        try:
            await asyncio.sleep(self.seconds(self.chance))
        finally:
            limits.inside -= 1
        await asyncio.sleep(self.way)
        return InvocationResult(200, b"1", "r", "1", "", b"")

    def pipeline(self, ask: Invoke | None = None, *, maximum: int = 1000) -> Pipeline:
        policy = Policy(DEFAULTS, AccessRules(AccessSettings(), DEFAULTS))
        return Pipeline(self.invoke, PlaceholderCredentials(), policy, Concurrency(maximum, None), ask)


def always(seconds: float) -> Callable[[random.Random], float]:
    return lambda _: seconds


def varying(seconds: float) -> Callable[[random.Random], float]:
    """Exponentially, around that mean."""
    return lambda chance: chance.expovariate(1 / seconds)


def lead(main: Callable[[], Coroutine[Any, Any, T]], seed: int = 1) -> T:
    """What `main` returns on a clock of its own; chance is the seed's."""
    random.seed(seed)
    return run_in_order(main, seed)


async def call(
    pipeline: Pipeline,
    function: str = "f",
    *,
    seconds: float = 60.0,
    share: Share | None = None,
    is_repeated: bool = False,
    options: Options | DurableRequest = SYNC,
) -> str:
    """The payload, or the failure's text."""
    made = Call(
        Account("app", "%"),
        function,
        b"1",
        options=options,
        timeout_ms=round(seconds * 1000),
        share=share or Share(),
        is_repeated=is_repeated,
    )

    async def shape(result: InvocationResult) -> InvocationResult:
        return result

    answer = await pipeline.run(made, shape)
    return answer.text if isinstance(answer, InvokeFailure) else answer.payload.decode()


async def sessions(pipeline: Pipeline, number: int, seconds: float, **more: Any) -> list[str]:
    """What becomes of the calls of so many sessions, one after the other in each, begun within the seconds."""
    end = time.monotonic() + seconds
    seen: list[str] = []

    async def go_on() -> None:
        share = Share()
        while time.monotonic() < end:
            seen.append(await call(pipeline, share=share, **more))
            assert pipeline.defect() is None

    await asyncio.gather(*(go_on() for _ in range(number)))
    return seen


async def stopped(model: Model) -> Pipeline:
    """One whose function takes nothing, and counts as stopped."""
    pipeline = model.pipeline()
    pipeline.concurrency.throttles.stopped_seconds = 3
    assert set(await sessions(pipeline, 2, 5)) == {RATE_EXCEEDED}
    assert pipeline.concurrency.throttles.is_stopped(F)
    return pipeline


@pytest.mark.parametrize("number", [32, 200])
@pytest.mark.parametrize(
    ("limits", "seconds", "allowed", "used"),
    [
        (Limits(rate=50, burst=1), always(0.01), 50, 0.9),
        (Limits(rate=50, burst=5), always(0.01), 50, 0.97),
        (Limits(rate=50, burst=50), varying(0.1), 50, 0.97),
        (Limits(rate=500, burst=50), always(0.01), 500, 0.95),
        (Limits(places=10), always(0.1), 10 / 0.102, 0.9),
        (Limits(places=10), varying(0.1), 10 / 0.102, 0.85),
    ],
    ids=["50/s one by one", "50/s", "50/s with bursts", "500/s", "10 at once", "10 at once, of any length"],
)
def test_what_a_function_allows_is_used_with_few_refusals_and_no_call_fails(
    number: int,
    limits: Limits,
    seconds: Callable[[random.Random], float],
    allowed: float,
    used: float,
) -> None:
    """Counted from the first refusal on; few refusals, once it is known what is allowed."""
    model = Model({"f": replace(limits)}, seconds)
    began, length, known = BEGINNING, 10.0, 2.0
    seen = lead(lambda: sessions(model.pipeline(), number, length))
    assert set(seen) == {"1"}
    first, end = model.refused[0], began + length
    assert sum(first <= at < end for at in model.taken) >= used * allowed * (end - first)
    late = [sum(first + known <= at < end for at in times) for times in (model.taken, model.refused)]
    assert late[0] >= max(used, 0.9) * allowed * (end - first - known)
    assert late[1] <= 0.1 * sum(late), late


def test_a_function_that_has_recovered_has_its_calls_back_in_seconds_and_its_pace_is_forgotten() -> None:
    limits = Limits(places=0)
    model = Model({"f": limits}, always(0.1))

    async def main() -> None:
        pipeline = model.pipeline()
        running = asyncio.create_task(sessions(pipeline, 50, 16))
        await asyncio.sleep(8)
        assert model.taken == []
        tried = [at for at in model.refused if at >= time.monotonic() - 5]
        assert 3 <= len(tried) <= 8, "about once a second"
        limits.places, recovered = 1000, time.monotonic()
        assert set(await running) == {"1"}
        before = [sum(at < recovered + late for at in model.taken) for late in (1.5, 6.0, 7.0)]
        assert before[0] >= 1
        assert before[2] - before[1] >= 400, before
        assert F in pipeline.concurrency.throttles.of
        await asyncio.sleep(OVER)
        assert await call(pipeline) == "1"
        assert not pipeline.concurrency.throttles.of

    lead(main)


def test_a_function_that_allows_less_all_at_once_is_called_less_soon() -> None:
    limits = Limits(rate=400, burst=20)
    model = Model({"f": limits}, always(0.01))

    async def main() -> None:
        running = asyncio.create_task(sessions(model.pipeline(), 100, 12))
        await asyncio.sleep(5)
        limits.rate, lowered = 20, time.monotonic()
        assert set(await running) == {"1"}
        late = sum(at >= lowered + 3 for at in model.taken), sum(at >= lowered + 3 for at in model.refused)
        assert late[0] >= 0.95 * 20 * 4
        assert late[1] <= 0.15 * sum(late), late

    lead(main)


def test_while_a_function_throttles_another_is_as_quick_as_ever() -> None:
    """With fewer slots than there are calls of the function that throttles."""
    model = Model({"f": Limits(rate=50)}, always(0.01))

    async def main() -> None:
        pipeline = model.pipeline(maximum=10)
        running = asyncio.create_task(sessions(pipeline, 64, 4))
        await asyncio.sleep(1)
        for _ in range(200):
            began = time.monotonic()
            assert await call(pipeline, "neighbour") == "1"
            assert time.monotonic() - began < 0.02
        assert set(await running) == {"1"}

    lead(main)


def test_a_calls_retry_after_is_obeyed_and_one_that_is_longer_than_its_time_is_the_answer_at_once() -> None:
    limits = Limits(places=0)
    model = Model({"f": limits}, always(0.01), retry_after=2)

    async def main() -> None:
        pipeline = model.pipeline()
        began = time.monotonic()
        waiting = asyncio.create_task(call(pipeline))
        assert await call(pipeline, seconds=1.9) == RATE_EXCEEDED
        assert time.monotonic() - began < 0.1
        limits.places = 1
        await asyncio.sleep(0.05)
        assert pipeline.concurrency.running == 0, "it holds nothing while it waits"
        assert await waiting == "1"
        assert 2 <= model.taken[0] - began < 2.1
        assert len(model.refused) == 2

    lead(main)


@pytest.mark.parametrize("seconds", [0.2, 1.0, 3.0])
def test_a_call_that_is_throttled_until_its_time_is_over_fails_with_lambdas_own_error(seconds: float) -> None:
    """So do those that were never sent, because others ask. The answer has time to arrive, whenever it was known."""
    model = Model({"f": Limits(places=0)}, always(0.01))

    async def main() -> list[str]:
        pipeline = model.pipeline()
        began = 0.0
        spare: list[float] = []

        async def measured() -> str:
            answer = await call(pipeline, seconds=seconds)
            spare.append(began + seconds - time.monotonic())
            return answer

        seen = []
        for number in (1, 20, 20):
            began = time.monotonic()
            seen += await asyncio.gather(*(measured() for _ in range(number)))
        assert min(spare) >= min(0.1, seconds / 10) - 2 * model.way, (
            "a tenth, 100 ms at most, is for the answer"
        )
        assert max(spare) < seconds / 2, spare
        assert (pipeline.concurrency.running, pipeline.concurrency.waiting) == (0, 0)
        return seen

    assert set(lead(main)) == {RATE_EXCEEDED}


def test_so_does_a_call_that_waited_for_a_slot_before_its_function_began_to_throttle() -> None:
    """More calls at once than there are slots: the others' wait begins while nobody knows of it."""
    model = Model({"f": Limits(places=0)}, always(0.01))

    async def main() -> Counter[str]:
        pipeline = model.pipeline(maximum=10)
        began = time.monotonic()
        answers = await asyncio.gather(*(call(pipeline, seconds=3.0) for _ in range(100)))
        assert time.monotonic() - began <= 2.9 + 2 * model.way, "100 ms are for the answer"
        assert (pipeline.concurrency.running, pipeline.concurrency.waiting) == (0, 0)
        return Counter(answers)

    assert lead(main) == {RATE_EXCEEDED: 100}


def test_a_call_that_waits_for_a_slot_of_a_function_that_does_not_throttle_may_have_it_at_its_last_moment() -> (
    None
):
    model = Model({"f": Limits(), "g": Limits(places=0)}, always(0.98))

    async def main() -> list[str]:
        pipeline = model.pipeline(maximum=1)
        return list(await asyncio.gather(call(pipeline, seconds=5.0), call(pipeline, seconds=1.98)))

    assert lead(main) == ["1", "1"]


def test_a_function_that_takes_nothing_for_long_is_stopped_and_what_waits_for_it_is_answered() -> None:
    """However much time the calls have; it is still asked once a second, and heard when it takes one again."""
    limits = Limits(places=0)
    model = Model({"f": limits}, always(0.01))

    async def main() -> None:
        pipeline = model.pipeline()
        pipeline.concurrency.throttles.stopped_seconds = 10
        began = time.monotonic()
        seen = await asyncio.gather(*(call(pipeline, seconds=900) for _ in range(20)))
        assert set(seen) == {RATE_EXCEEDED}
        assert 10 <= time.monotonic() - began <= 12
        began = time.monotonic()
        assert await call(pipeline, seconds=900) == RATE_EXCEEDED
        assert time.monotonic() - began <= 1.1
        limits.places = 1000
        began = time.monotonic()
        assert set(await asyncio.gather(*(call(pipeline, seconds=900) for _ in range(20)))) == {"1"}
        assert time.monotonic() - began <= 3

    lead(main)


def test_how_long_a_function_takes_nothing_until_it_is_stopped_may_be_changed_meanwhile() -> None:
    model = Model({"f": Limits(places=0)}, always(0.01))

    async def main() -> None:
        pipeline = model.pipeline()
        pipeline.concurrency.throttles.stopped_seconds = 900
        task = asyncio.create_task(call(pipeline, seconds=900))
        await asyncio.sleep(10)
        assert not task.done()
        pipeline.concurrency.throttles.stopped_seconds = 5
        began = time.monotonic()
        assert await task == RATE_EXCEEDED
        assert time.monotonic() - began <= 1.1

    lead(main)


def test_a_try_that_nobody_waited_for_does_not_show_that_a_stopped_function_works_again() -> None:
    """It was cancelled before Lambda's answer to it could come, as after KILL."""
    limits = Limits(places=0)
    model = Model({"f": limits}, always(0.01))

    async def main() -> None:
        pipeline = await stopped(model)
        model.way = 5.0
        task = asyncio.create_task(call(pipeline))
        await asyncio.sleep(1.5)
        assert pipeline.concurrency.running == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert pipeline.concurrency.throttles.is_stopped(F)
        model.way = 0.002
        assert await call(pipeline) == RATE_EXCEEDED
        limits.places = 1
        assert await call(pipeline) == "1"
        assert not pipeline.concurrency.throttles.is_stopped(F)

    lead(main)


def test_a_refusal_that_takes_its_time_does_not_show_that_a_stopped_function_works_again() -> None:
    model = Model({"f": Limits(places=0)}, always(0.01))

    async def main() -> None:
        pipeline = await stopped(model)
        model.way = TAKEN_SECONDS
        assert await call(pipeline) == RATE_EXCEEDED
        assert pipeline.concurrency.throttles.is_stopped(F)

    lead(main)


def test_an_endpoint_that_is_out_of_reach_does_not_show_that_a_stopped_function_works_again() -> None:
    model = Model({"f": Limits(places=0)}, always(0.01))

    async def unreachable(_: Invocation, __: ReadOnlyCredentials) -> InvocationResult:
        await asyncio.sleep(TAKEN_SECONDS)
        raise EndpointUnreachable("timed out")

    async def main() -> None:
        pipeline = await stopped(model)
        pipeline._invoke = unreachable
        assert "Unable to connect" in await call(pipeline)
        assert pipeline.concurrency.throttles.is_stopped(F)

    lead(main)


def test_a_long_call_at_work_shows_that_its_function_is_not_stopped() -> None:
    model = Model({"f": Limits(places=1)}, always(40.0))

    async def main() -> None:
        pipeline = model.pipeline()
        pipeline.concurrency.throttles.stopped_seconds = 10
        assert await asyncio.gather(*(call(pipeline, seconds=300) for _ in range(3))) == ["1"] * 3

    lead(main)


@pytest.mark.parametrize("others", [0.01, 600.0])
def test_a_long_call_at_work_does_not_keep_others_from_a_function_that_has_recovered(others: float) -> None:
    """However long the function lets in no more than that one: it is asked about once a second."""
    limits = Limits(places=1)
    lengths = iter([600.0])
    model = Model({"f": limits}, lambda _: next(lengths, others))

    async def main() -> None:
        pipeline = model.pipeline()
        calls = [asyncio.create_task(call(pipeline, seconds=900)) for _ in range(60)]
        await asyncio.sleep(20)
        assert len(model.taken) == 1
        tried = [at for at in model.refused if at >= time.monotonic() - 10]
        assert 8 <= len(tried) <= 12
        limits.places, recovered = 1000, time.monotonic()
        await asyncio.sleep(10)
        assert len(model.taken) == len(calls), "all of them"
        assert model.taken[1] - recovered <= 1.1
        assert set(await asyncio.gather(*calls)) == {"1"}

    lead(main)


def test_a_call_that_is_repeated_by_whoever_made_it_has_its_answer_at_the_first_refusal() -> None:
    model = Model({"f": Limits(places=0)}, always(0.01))

    async def main() -> None:
        assert await call(model.pipeline(), is_repeated=True) == RATE_EXCEEDED
        assert len(model.refused) == 1

    lead(main)


def test_a_look_at_an_execution_is_not_held_up_where_lambda_throttles_the_function_nor_taken_for_a_call() -> (
    None
):
    model = Model({"f": Limits(places=0)}, always(0.01))

    async def look(invocation: Invocation, _: ReadOnlyCredentials) -> InvocationResult:
        return InvocationResult(200, invocation.invocation_type.encode(), "r", "1", "", b"")

    async def main() -> None:
        pipeline = model.pipeline(look)
        pipeline.concurrency.throttles.stopped_seconds = 3
        waiting = [asyncio.create_task(call(pipeline, seconds=900)) for _ in range(5)]
        request = DurableRequest(LOOK, f"{F}:$LATEST/durable-execution/name/id", b"", "")
        for _ in range(20):
            await asyncio.sleep(0.25)
            began = time.monotonic()
            assert await call(pipeline, options=request) == LOOK
            assert time.monotonic() - began < 0.01
        assert set(await asyncio.gather(*waiting)) == {RATE_EXCEEDED}
        assert pipeline.concurrency.throttles.is_stopped(F)

    lead(main)


@pytest.mark.parametrize("after", [0.001, 0.003, 0.0045, 0.01, 0.3, 0.8, 1.7])
def test_calls_that_are_cancelled_while_they_are_throttled_leave_nothing_behind(after: float) -> None:
    limits = Limits(places=0)
    model = Model({"f": limits}, always(0.01))

    async def main() -> None:
        pipeline = model.pipeline(maximum=3)
        tasks = [asyncio.create_task(call(pipeline)) for _ in range(12)]
        await asyncio.sleep(after)
        for task in tasks:
            task.cancel()
        assert await asyncio.gather(*tasks, return_exceptions=True)
        assert (pipeline.concurrency.running, pipeline.concurrency.waiting) == (0, 0)
        assert not pipeline.traffic.in_flight
        assert pipeline.defect() is None
        limits.places = 3
        began = time.monotonic()
        assert set(await asyncio.gather(*(call(pipeline) for _ in range(3)))) == {"1"}
        assert time.monotonic() - began <= 3

    for seed in range(5):
        lead(main, seed)


def test_answers_that_throttle_are_counted_by_function() -> None:
    model = Model({"f": Limits(rate=50)}, always(0.01))

    async def main() -> None:
        pipeline = model.pipeline()
        await call(pipeline)
        await sessions(pipeline, 32, 1)
        assert pipeline.traffic.functions["f"].throttled == len(model.refused)

    lead(main)

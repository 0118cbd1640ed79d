"""A call with a durable execution's name is attempted until it has an answer; one without is never sent a second time.

The sidecar's own parts in this process, before a server on loopback. Each test's name is the sentence that it
proves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from botocore.credentials import ReadOnlyCredentials
from botocore.loaders import Loader
from tests.support.answered import answered
from tests.support.http_peer import Peer, peer
from tests.support.permuting_loop import run_in_order
from tests.support.waiting import until

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.function_name import Defaults
from lambda_sidecar.access.rules import AccessRules, Role
from lambda_sidecar.access.settings import AccessSettings
from lambda_sidecar.aws import repeats
from lambda_sidecar.aws.answer import RETRYABLE, InvocationResult
from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.credentials import PlaceholderCredentials
from lambda_sidecar.aws.kept_credentials import KeptCredentials, Session
from lambda_sidecar.aws.lambda_api import Invocation, Invoker
from lambda_sidecar.calls.call import Call
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.concurrency.slots import Concurrency, Share
from lambda_sidecar.contract.service import LambdaInvoker
from lambda_sidecar.errors import ApiError, InvokeFailure, MissingCredentials
from lambda_udf.v1 import invoker_pb2

DEFAULTS = Defaults({"us-east-1": "aws"}, "us-east-1", "123456789012")
NAME = "order-17"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f"
OK = b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: r\r\nContent-Length: 1\r\n\r\n1"
CUT = OK[:-1]
NOTHING = b""
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
SAFE = "; the durable execution of this name may be running, and it is safe to repeat the same call"


def error(status: int, code: str = "") -> bytes:
    kind = f"x-amzn-ErrorType: {code}\r\n" if code else ""
    return f"HTTP/1.1 {status} x\r\n{kind}Content-Length: 15\r\n\r\n".encode() + b'{"message":"m"}'


ALREADY = error(409, "DurableExecutionAlreadyStartedException")
THROTTLED = error(429, "TooManyRequestsException")
LEAVE_OPEN = [
    NOTHING, CUT, OK[:5], OK[:20], PAGE, b"garbage\r\n\r\n", error(500), error(502), error(503), error(504),
    error(500, "ServiceException"), error(503, "ServiceUnavailable"),
]  # fmt: skip


class Renewed(PlaceholderCredentials):
    """Counts how often it is asked; fails from the `fails_from`-th time on."""

    def __init__(self, fails_from: int = 1_000) -> None:
        self.asked, self.fails_from = 0, fails_from

    async def get(self, role: Role | None, account: Account, region: str) -> ReadOnlyCredentials:
        self.asked += 1
        if self.asked >= self.fails_from:
            raise MissingCredentials
        return ReadOnlyCredentials(f"AKID{self.asked}", "secret", None)


class Kept(PlaceholderCredentials):
    """Gives some once, and then what KeptCredentials says to all who ask: that there are none."""

    def __init__(self) -> None:
        self.given = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept = KeptCredentials(
            self._fetch, clock=time.time, tasks=self._tasks, fresh_for=lambda left, _: left, failed_seconds=60
        )

    async def get(self, role: Role | None, account: Account, region: str) -> ReadOnlyCredentials:
        if not self.given:
            self.given = True
            return ReadOnlyCredentials("AKID", "secret", None)
        return await self._kept.get(region)

    async def _fetch(self, _region: str) -> Session:
        raise MissingCredentials


class Serving:
    """The service before its endpoint; `bodies` are what came there."""

    def __init__(self, service: LambdaInvoker, server: Peer, invoker: Invoker) -> None:
        self.service, self.server, self.invoker = service, server, invoker
        self.bodies: list[bytes] = []

    @property
    def repeated(self) -> int:
        """As metrics count it."""
        return self.invoker.retries + self.service.pipeline.traffic.repeated

    async def ask(
        self, options: dict[str, object] | None = None, *, timeout_ms: int = 20_000, durable: str = ""
    ) -> str:
        asked = invoker_pb2.InvokeRequest(
            call_id=1,
            function="f:7",
            timeout_ms=timeout_ms,
            options_json=json.dumps({"durable_execution_name": NAME} if options is None else options),
            durable_execution_name=durable,
        )
        response = await answered(self.service, asked, b'{"order": 17}')
        assert self.service.pipeline.concurrency.running == 0
        return response.error.message or str(json.loads(response.result.payload)["Payload"])


async def as_it_is(result: object) -> object:
    return result


def durable_call(*, timeout_ms: int, is_repeated: bool = False) -> Call:
    options = json.dumps({"durable_execution_name": NAME})
    account = Account("a", "%")
    return Call(
        account, "f", b"1", options=options, timeout_ms=timeout_ms, share=Share(), is_repeated=is_repeated
    )


@asynccontextmanager
async def serving(
    *answers: bytes, credentials: PlaceholderCredentials | None = None
) -> AsyncIterator[Serving]:
    """Each request has the next of `answers`, the last one for ever; after all but whole ones the connection ends."""

    async def talk(made: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            here.bodies.append(await made.read(reader))
            answer = answers[min(len(made.requests), len(answers)) - 1]
            writer.write(answer)
            if answer != OK and not answer.endswith(b"}"):
                return

    async with peer(talk) as server:
        invoker = Invoker(
            AwsConfiguration(), connect_timeout=5, endpoint_url=f"http://127.0.0.1:{server.port}"
        )
        policy = Policy(DEFAULTS, AccessRules(AccessSettings(), DEFAULTS))
        pipeline = Pipeline(invoker.invoke, credentials or Renewed(), policy, Concurrency(1, None))
        here = Serving(LambdaInvoker(pipeline), server, invoker)
        try:
            yield here
        finally:
            await invoker.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(repeats, "PAUSE_MAX_SECONDS", 0.01)


@pytest.mark.parametrize("first", LEAVE_OPEN, ids=ascii)
async def test_what_leaves_open_whether_it_ran_is_attempted_again_with_a_name_and_only_with_one(
    first: bytes,
) -> None:
    async with serving(first, OK) as here:
        assert await here.ask() == "1"
        assert (len(here.bodies), here.repeated) == (2, 1)
    async with serving(first, OK) as here:
        assert "Lambda API returned error: " in await here.ask({})
        assert (len(here.bodies), here.repeated) == (1, 0)


@pytest.mark.parametrize("options", [{}, {"invocation_type": "Event"}, {"client_context": {"a": 1}}])
async def test_each_attempt_is_the_same_request_but_for_its_time_and_signature(
    options: dict[str, object],
) -> None:
    last = OK.replace(b"200", b"202") if options.get("invocation_type") == "Event" else OK
    async with serving(NOTHING, CUT, error(503), last) as here:
        await here.ask({"durable_execution_name": NAME, "tenant_id": "t", **options})
        assert len(here.bodies) == 4
        assert len(set(here.bodies)) == 1
        requests = {
            "\n".join(
                line for line in head.split("\r\n") if not line.startswith(("x-amz-date:", "authorization:"))
            )
            for head in here.server.requests
        }
        assert len(requests) == 1
        assert f"x-amz-durable-execution-name: {NAME}" in requests.pop()


async def test_each_attempt_is_signed_with_credentials_that_are_valid_then() -> None:
    async with serving(NOTHING, NOTHING, OK) as here:
        assert await here.ask() == "1"
        assert ["AKID1/" in head for head in here.server.requests] == [True, False, False]
        assert "Credential=AKID3/" in here.server.requests[-1]


async def test_ten_attempts_are_made_and_the_last_failure_says_that_it_is_safe_to_repeat() -> None:
    async with serving(NOTHING) as here:
        text = await here.ask()
        assert text == (
            "Lambda API returned error: Network Connection. The endpoint closed the connection" + SAFE
        )
        assert len(here.bodies) == repeats.ATTEMPTS


@pytest.mark.parametrize("last", [PAGE, error(500, "ServiceException"), error(403, "AccessDeniedException")])
async def test_whatever_ends_a_call_in_doubt_its_text_says_once_that_it_is_safe_to_repeat(
    last: bytes,
) -> None:
    async with serving(NOTHING, last) as here:
        text = await here.ask()
        assert text.endswith(SAFE)
        assert text.count(SAFE) == 1
        assert "may have been carried out" not in text


async def test_a_call_in_doubt_that_lambda_throttles_until_its_time_is_over_is_safe_to_repeat() -> None:
    async with serving(NOTHING, THROTTLED) as here:
        text = await here.ask(timeout_ms=1_000)
        assert text.startswith("Lambda API returned error: TooManyRequestsException")
        assert text.endswith(SAFE)
        assert len(here.bodies) > 2


async def test_an_endpoint_that_has_gone_after_a_call_was_sent_is_waited_for() -> None:
    async with serving(NOTHING, THROTTLED, THROTTLED, THROTTLED, THROTTLED, OK) as here:
        assert await here.ask() == "1"
        assert len(here.bodies) == 6


@pytest.mark.parametrize(
    ("answer", "attempts"),
    [
        (error(502, "EC2ThrottledException"), repeats.CERTAIN_ATTEMPTS),
        (error(502, "KMSDisabledException"), 1),
        (error(404), 1),
        (ALREADY, 1),
    ],
    ids=ascii,
)
async def test_what_certainly_started_nothing_is_treated_as_without_a_name(
    answer: bytes, attempts: int
) -> None:
    async with serving(answer) as here:
        assert SAFE not in await here.ask()
        assert len(here.bodies) == attempts


async def test_that_the_name_has_another_payload_is_shown_as_it_is() -> None:
    async with serving(NOTHING, ALREADY) as here:
        assert await here.ask() == "Lambda API returned error: DurableExecutionAlreadyStartedException: m"


async def test_no_attempt_begins_after_the_deadline_and_the_text_is_the_last_failures() -> None:
    async with serving(NOTHING) as here:
        repeats.PAUSE_SECONDS = repeats.PAUSE_MAX_SECONDS = 5.0
        began = time.monotonic()
        text = await here.ask(timeout_ms=1_000)
        assert time.monotonic() - began < 1
        assert text.startswith("Lambda API returned error: Network Connection. ")
        assert text.endswith(SAFE)


async def test_a_call_whose_time_ends_in_an_attempt_says_that_it_is_safe_to_repeat() -> None:
    async def silent(made: Peer, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await made.read(reader)
        await reader.read()

    async with serving(OK) as here, peer(silent) as server:
        here.invoker._fixed_endpoint = type(here.invoker._fixed_endpoint)(
            f"http://127.0.0.1:{server.port}", None
        )  # type: ignore[misc]
        assert await here.ask(timeout_ms=200) == f"timed out after 200 ms{SAFE}"
        assert await here.ask({}, timeout_ms=200) == "timed out after 200 ms"


@pytest.mark.parametrize(
    ("answers", "fails_from"),
    [((NOTHING, OK), 2), ((NOTHING, THROTTLED, OK), 3)],
    ids=["at once", "throttled"],
)
async def test_credentials_that_cannot_be_renewed_end_a_call_in_doubt(
    answers: tuple[bytes, ...], fails_from: int
) -> None:
    async with serving(*answers, credentials=Renewed(fails_from=fails_from)) as here:
        text = await here.ask()
        assert text.startswith("Lambda API returned error: Missing Credentials")
        assert text.endswith(SAFE)


async def test_what_a_call_in_doubt_says_is_not_said_to_calls_that_fail_for_the_same_reason() -> None:
    """A failure to get credentials answers all who ask for some time."""
    async with serving(NOTHING, OK, credentials=Kept()) as here:
        assert (await here.ask()).endswith(SAFE)
        for name in ({}, {"durable_execution_name": "another"}):
            text = await here.ask({**name})
            assert text.startswith("Lambda API returned error: Missing Credentials")
            assert SAFE not in text
        assert len(here.bodies) == 1


async def test_a_call_that_rests_between_two_attempts_keeps_its_slot_from_nobody() -> None:
    later = error(503).replace(b"\r\n\r\n", b"\r\nRetry-After: 300\r\n\r\n")
    async with serving(later, OK) as here:
        task = asyncio.create_task(here.ask(timeout_ms=600_000))
        await until(lambda: len(here.bodies) == 1)
        await until(lambda: not here.invoker._http._in_use)
        assert await here.ask({}, timeout_ms=2_000) == "1"
        assert len(here.service.pipeline.traffic.in_flight) == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not here.service.pipeline.traffic.in_flight


async def test_a_call_in_doubt_that_finds_a_free_slot_is_sent_again_however_long_its_function_takes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The execution of its name runs already, so the answer may be near."""
    async with serving(NOTHING, OK) as here:
        here.service.pipeline.durations.of(FUNCTION, "RequestResponse").note(60.0, answered=True)
        assert await here.ask(timeout_ms=20_000) == "1"
        assert len(here.bodies) == 2
        assert "wait for a slot" not in caplog.text


async def test_a_call_in_doubt_that_gets_no_slot_any_more_says_that_it_is_safe_to_repeat() -> None:
    async with serving(NOTHING, OK) as here:
        repeats.PAUSE_SECONDS = repeats.PAUSE_MAX_SECONDS = 0.2
        pipeline = here.service.pipeline
        task = asyncio.create_task(pipeline.run(durable_call(timeout_ms=1_000), as_it_is))
        await until(lambda: len(here.bodies) == 1 and not pipeline.concurrency.running)
        slot = pipeline.concurrency.take("another")
        assert slot is not None
        failure = await task
        assert isinstance(failure, InvokeFailure)
        assert failure.text.endswith(SAFE)
        assert len(here.bodies) == 1
        pipeline.concurrency.give_back(slot)


def test_an_account_whose_calls_are_attempted_again_and_again_costs_another_no_more_than_their_turns() -> (
    None
):
    """One slot, and so many calls in doubt that there is always one that has rested enough."""

    async def invoke(invocation: Invocation, _: ReadOnlyCredentials) -> InvocationResult:
        await asyncio.sleep(1)
        if invocation.durable_execution_name:
            raise ApiError("HTTP 503", "m", status=503)
        return InvocationResult(200, b"1", "r", "1", "", b"")

    async def main() -> None:
        policy = Policy(DEFAULTS, AccessRules(AccessSettings(), DEFAULTS))
        pipeline = Pipeline(invoke, PlaceholderCredentials(), policy, Concurrency(1, None))
        calls = [durable_call(timeout_ms=900_000) for _ in range(20)]
        tasks = [asyncio.create_task(pipeline.run(call, as_it_is)) for call in calls]
        await asyncio.sleep(25)
        assert all(call.repeats is not None and call.repeats.in_doubt for call in calls)
        for _ in range(3):
            began = time.monotonic()
            other = Call(Account("b", "%"), "g", b"1", options="{}", timeout_ms=900_000, share=Share())
            assert isinstance(await pipeline.run(other, as_it_is), InvocationResult)
            assert time.monotonic() - began < 3.1
        for task in tasks:
            task.cancel()

    run_in_order(main, 1)


async def test_a_call_in_doubt_that_is_refused_as_overloaded_says_that_it_is_safe_to_repeat() -> None:
    async with serving(NOTHING, OK) as here:
        repeats.PAUSE_SECONDS = repeats.PAUSE_MAX_SECONDS = 0.2
        pipeline, call = here.service.pipeline, durable_call(timeout_ms=20_000)
        task = asyncio.create_task(pipeline.run(call, as_it_is))
        await until(lambda: len(here.bodies) == 1 and not pipeline.concurrency.running)
        slot = pipeline.concurrency.take("another")
        assert slot is not None
        pipeline.durations.of(FUNCTION, "RequestResponse").note(60.0, answered=True)
        await until(lambda: pipeline.concurrency.waiting == 1)
        pipeline.concurrency.give_back(slot)
        failure = await task
        assert isinstance(failure, InvokeFailure)
        assert failure.text.startswith("overloaded: ")
        assert failure.text.endswith(SAFE)
        assert len(here.bodies) == 1


async def test_the_rest_between_two_attempts_counts_as_waiting() -> None:
    async with serving(NOTHING, OK) as here:
        repeats.PAUSE_SECONDS = repeats.PAUSE_MAX_SECONDS = 0.2
        call = durable_call(timeout_ms=20_000)
        await here.service.pipeline.run(call, as_it_is)
        assert call.queued_us >= 100_000
        assert here.service.pipeline.traffic.waited_us == call.queued_us


async def test_an_answer_that_cannot_be_passed_on_leaves_no_doubt() -> None:
    async def too_large(_result: object) -> object:
        raise ApiError("ResponseTooLarge", "the function has run")

    async with serving(NOTHING, OK) as here:
        failure = await here.service.pipeline.run(durable_call(timeout_ms=9_000), too_large)
        assert isinstance(failure, InvokeFailure)
        assert failure.text == "Lambda API returned error: ResponseTooLarge: the function has run"
        assert len(here.bodies) == 2


async def test_a_call_that_is_cancelled_between_two_attempts_gives_its_slot_back_and_sends_nothing_more() -> (
    None
):
    async with serving(NOTHING, OK) as here:
        repeats.PAUSE_SECONDS = repeats.PAUSE_MAX_SECONDS = 60.0
        task = asyncio.create_task(here.ask(timeout_ms=600_000))
        await until(lambda: len(here.bodies) == 1)
        await until(lambda: not here.invoker._http._in_use)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert here.service.pipeline.concurrency.running == 0
        assert len(here.bodies) == 1
        traffic = here.service.pipeline.traffic
        assert (sum(traffic.other.buckets), traffic.sent_bytes) == (1, len(here.bodies[0])), "it was sent"


async def test_a_door_with_a_schedule_of_its_own_makes_one_attempt() -> None:
    async with serving(NOTHING, OK) as here:
        call = durable_call(timeout_ms=9_000, is_repeated=True)
        failure = await here.service.pipeline.run(call, as_it_is)
        assert "may have been carried out" in str(failure)
        assert len(here.bodies) == 1


@pytest.mark.parametrize(
    ("options", "durable", "is_refused"),
    [
        ({"durable_execution_name": NAME}, NAME, False),
        ({"durable_execution_name": NAME}, "", False),
        ({"durable_execution_name": NAME}, "another", True),
        ({}, NAME, True),
    ],
)
async def test_library_and_sidecar_cannot_disagree_about_the_name(
    options: dict[str, object], durable: str, is_refused: bool
) -> None:
    async with serving(OK) as here:
        text = await here.ask(options, durable=durable)
        assert (text != "1") == is_refused
        assert (len(here.bodies) == 0) == is_refused
        if is_refused:
            assert "that the library has read in them" in text


def statuses() -> Sequence[tuple[str, int]]:
    shapes = Loader().load_service_model("lambda", "service-2")
    names = [error["shape"] for error in shapes["operations"]["Invoke"]["errors"]]
    return [(name, shapes["shapes"][name]["error"]["httpStatusCode"]) for name in names]


def test_of_lambdas_own_5xx_only_service_exception_leaves_it_open() -> None:
    """Of botocore's model: fails when an error is added there."""
    leaving = {name for name, status in statuses() if repeats.leaves_open(ApiError(name, "m", status=status))}
    assert leaving == {"ServiceException"}
    assert not repeats.REFUSALS - {name for name, status in statuses() if status >= 500}
    assert not repeats.REFUSALS & RETRYABLE

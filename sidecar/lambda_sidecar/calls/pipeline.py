"""The way of a call: options, name, rules, payload, credentials, a slot, Lambda, and the answer.

Knows neither how a call came in nor how its answer goes out: a door makes the Call and shapes the answer."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, TypeVar

from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.access.function_name import FunctionName
from lambda_sidecar.aws.answer import InvocationResult, function_error_sentence
from lambda_sidecar.aws.credentials import CredentialSource
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.aws.repeats import Repeats
from lambda_sidecar.aws.response_stream import Put
from lambda_sidecar.calls import call_span, durable
from lambda_sidecar.calls.call import CREDENTIALS, SENT, WAITING, Call
from lambda_sidecar.calls.durable import DurableOptions, DurableRequest
from lambda_sidecar.calls.lambda_invoke import Options, parse_options
from lambda_sidecar.calls.lambda_map import MapOptions, checked
from lambda_sidecar.calls.payload import check_payload, is_plainly_good
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.calls.traffic import OTHER, Traffic
from lambda_sidecar.concurrency.durations import Durations, Estimate
from lambda_sidecar.concurrency.slots import Concurrency, Shed, Slot
from lambda_sidecar.errors import (
    CallTimeout,
    InternalFailure,
    InvalidRequest,
    InvokeFailure,
    Overloaded,
    Throttled,
)
from lambda_sidecar.log.format import log_defect
from lambda_sidecar.quotas import EVENT_MAX, REQUEST_RESPONSE_MAX
from lambda_sidecar.text.pacer import AT_ONCE, Pacer, at_once
from lambda_sidecar.tracing.trace import read_traceparent, xray_header

if TYPE_CHECKING:
    from lambda_sidecar.tracing.spans import Spans

log = logging.getLogger(__name__)

A = TypeVar("A")
T = TypeVar("T")
Invoke = Callable[[Invocation, ReadOnlyCredentials], Awaitable[InvocationResult]]
Shape = Callable[[InvocationResult], Awaitable[A]]
"""How a door writes Lambda's answer. It has the call's time, and what it raises is the call's failure."""

# A request that lay unread for LATE_SECONDS came while the sidecar stood still, or could not keep up. Its
# client may have given up meanwhile, and that lies unread behind it: CANCEL_SECONDS are given to read that,
# too, before anything is done that cannot be undone.
LATE_SECONDS = 0.1
CANCEL_SECONDS = 0.02
# At most so often the log says that calls wait for a slot, and that Lambda throttles.
WARN_WAITING_SECONDS = 60.0
# What Lambda has throttled rests before it waits for its turn again, at most so many seconds, twice as long
# each time up to the most. Others have their turn meanwhile.
REST_FIRST, REST_MOST = 0.05, 1.0
# So much of a call's time, and no more than this share of it, is left for the answer that Lambda throttles
# it: that says more than that its time is over.
ANSWER_SECONDS, ANSWER_SHARE = 0.05, 0.1


class Pipeline:
    """Runs calls, each in the task that asks for it, and counts what becomes of them."""

    def __init__(
        self,
        invoke: Invoke,
        credentials: CredentialSource,
        policy: Policy,
        concurrency: Concurrency,
        ask: Invoke | None = None,
    ) -> None:
        """`policy` may be replaced while calls run: they keep the one that they began with. `ask` carries out
        what has a subject, and is nothing to invoke."""
        self._invoke = invoke
        self._ask = ask or invoke
        self._credentials = credentials
        self.policy = policy
        self.concurrency = concurrency
        self.durations = Durations()
        self.traffic = Traffic()
        self.spans: Spans | None = None
        """Of calls that have a trace, where they are wanted."""
        self._pacer = Pacer()
        self._warned_of_waiting = self._warned_of_throttling = -WARN_WAITING_SECONDS

    def held_to(self) -> dict[str, float]:
        """Calls in a second, of functions that throttle now, by the names under which they are counted."""
        throttles = self.concurrency.throttles
        throttles.forget(time.monotonic())
        speeds: dict[str, float] = {}
        for function, throttle in throttles.of.items():
            name = function.rpartition(":")[2]
            counted = name if name in self.traffic.functions else OTHER
            speeds[counted] = speeds.get(counted, 0.0) + throttle.pace.per_second
        return speeds

    def held_back(self) -> int:
        """Calls that wait because their function throttles."""
        functions = self.concurrency.throttles.of
        return sum(
            call.phase is WAITING and call.limited_as in functions
            for call in (self.traffic.in_flight if functions else ())
        )

    def defect(self) -> str | None:
        """Why it cannot serve as it should, though it answers; None if nothing is known. Such a state does
        not pass by itself."""
        if self.concurrency.is_stuck():
            return "calls wait for a slot although there are free ones"
        running = self.concurrency.running - self.concurrency.on_their_way
        calls = sum(call.slot is not None for call in self.traffic.in_flight)
        if running != calls:
            return f"{running} slots are held, by {calls} calls"
        return None

    async def run(self, call: Call, shape: Shape[A]) -> A | InvokeFailure:
        """The answer as `shape` writes it, or the failure, which is an answer too. Nothing is raised but
        CancelledError: then nobody waits for the answer any more."""
        self.traffic.begin(call)
        try:
            options = call.options
            if not isinstance(options, Options):
                call.options = options = _read(options)
            if call.durable_name:
                _check_name(call.durable_name, options)
            if options.timeout_ms is not None:
                call.shorten(options.timeout_ms)
            if options.traceparent:
                call.trace = read_traceparent(options.traceparent) or call.trace
            if call.trace is not None and self.spans is not None:
                call_span.begin(call, call.trace, self.spans)
            async with asyncio.timeout(call.seconds_left()):
                if call.late > LATE_SECONDS:
                    await asyncio.sleep(CANCEL_SECONDS)
                answer = await shape(await self._run(call, options))
        except TimeoutError:
            failure: InvokeFailure = self._late(call)
            repeats = None if call.invocation is None else call.invocation.repeats
            if repeats is not None and (call.phase is SENT or repeats.in_doubt):
                failure = failure.may_be_repeated()
        except InvokeFailure as raised:
            # Its frames hold the answer, and this one holds it: megabytes until memory is collected.
            failure = raised.with_traceback(None)
        except Exception as error:  # a defect of ours must not end the others
            log_defect(log, error)
            failure = InternalFailure()
        except asyncio.CancelledError:
            self.traffic.cancelled(call)
            raise
        else:
            self.traffic.answered(call)
            return answer
        self.traffic.failed(call, failure)
        return failure

    async def pace(self, work: Generator[None, None, T], size: int) -> T:
        """The result of work on so many bytes, a step at a time if they are many."""
        return await self._pacer.run(work) if size > AT_ONCE else at_once(work)

    async def _run(self, call: Call, options: Options) -> InvocationResult:
        """Name, rules, payload, credentials, a slot, in this order: a refusal comes before more is asked,
        and what fails takes no slot."""
        policy = self.policy
        if isinstance(options, DurableOptions):
            call.function, role = durable.target(options, policy, call.account)
            function = call.function
            call.payload = options.payload
        else:
            function = policy.function_name(call.function_text, options.region, options.qualifier)
            call.function = function
            role = policy.access.decide(call.account, function, options.role).role
            payload = call.payload
            if len(payload) > AT_ONCE or not is_plainly_good(payload):  # nearly all are small and good
                await self._check_payload(payload, options.invocation_type)
        call.phase = CREDENTIALS
        credentials = await self._credentials.get(role, call.account, function.region)
        repeats = None
        if options.durable_execution_name and not call.is_repeated:
            renew = functools.partial(self._credentials.get, role, call.account, function.region)
            repeats = Repeats(call.deadline, renew)
        call.invocation = invocation = _invocation(call, function, options, repeats)
        call.limited_as = name = _limited_as(function, options)
        estimate = self.durations.of(name, options.invocation_type)
        slot = self.concurrency.take(name)
        refusal: Throttled | None = None
        attempts = 1
        while True:
            if slot is None:
                slot = await self._wait_for_slot(call, name, estimate, refusal)
                self.traffic.repeated += refusal is not None
            call.slot = slot
            try:
                if call.queued_us:  # the wait may have outlasted them
                    call.phase = CREDENTIALS
                    try:
                        credentials = await self._credentials.get(role, call.account, function.region)
                    except InvokeFailure as failure:
                        raise failure if repeats is None else repeats.last(failure) from None
                return await self._send(call, invocation, credentials, estimate)
            except Throttled as failure:
                refusal = failure.with_traceback(None)
                self._throttled(call, slot, refusal)
                if call.is_repeated or self.concurrency.throttles.is_stopped(name):
                    raise
            finally:
                call.slot = None
                self.concurrency.give_back(slot)
            slot = None
            await self._rest(call, refusal, attempts)
            attempts += 1

    async def _check_payload(self, payload: bytes, invocation_type: str) -> None:
        """Raises InvalidRequest."""
        maximum = EVENT_MAX if invocation_type == "Event" else REQUEST_RESPONSE_MAX
        check = check_payload(payload, maximum=maximum, invocation_type=invocation_type)
        await self.pace(check, len(payload))

    async def _wait_for_slot(
        self, call: Call, function: str, estimate: Estimate, refusal: Throttled | None
    ) -> Slot:
        """Also a wait that the deadline ends is reported. `refusal`: why it waits once more. Raises
        Overloaded, CallTimeout, or Throttled where that is why it has no turn."""
        concurrency = self.concurrency
        is_throttled = function in concurrency.throttles.of
        if not is_throttled:
            self._warn_of_waiting()
        began = time.monotonic()
        call.phase = WAITING
        try:
            async with asyncio.timeout(_without_answer(call.deadline - began) if is_throttled else None):
                return await concurrency.wait(
                    function,
                    call.account,
                    call.share,
                    deadline=call.deadline,
                    need=estimate,
                    again_since=None if refusal is None else call.began,
                )
        except (Shed, TimeoutError):
            if (failure := self._refusal(function, refusal)) is not None:
                raise failure from None
            call.seconds_left()
            raise Overloaded(concurrency.running, concurrency.waiting) from None
        finally:
            call.queued_us += int((time.monotonic() - began) * 1_000_000)

    def _throttled(self, call: Call, slot: Slot, failure: Throttled) -> None:
        """Lambda's answer to it is 429, and it has its slot still."""
        self.traffic.throttled(call)
        now = time.monotonic()
        if (
            slot.function not in self.concurrency.throttles.of
            and now - self._warned_of_throttling >= WARN_WAITING_SECONDS
        ):
            self._warned_of_throttling = now
            text = "Lambda throttles %s: its calls wait for their turn, at the pace that it allows"
            log.warning(text, slot.function)
        self.concurrency.refused(slot, failure.of_another())

    async def _rest(self, call: Call, refusal: Throttled, attempts: int) -> None:
        """Until its next attempt may wait for its turn; it holds nothing. Raises the refusal if there is no
        time for one."""
        call.phase = WAITING
        began = time.monotonic()
        left = _without_answer(call.deadline - began)
        asked = refusal.retry_after or 0.0
        if left <= asked or left <= 0:
            raise refusal
        pause = min(REST_FIRST * 2 ** min(attempts - 1, 30), REST_MOST, left / 2) * random.uniform(0.5, 1.0)  # noqa: S311
        try:
            await asyncio.sleep(max(asked, pause))
        finally:
            call.queued_us += int((time.monotonic() - began) * 1_000_000)

    def _refusal(self, function: str, own: Throttled | None) -> Throttled | None:
        """Why a call of it has no turn, if that is because Lambda throttles: its own 429, or another's."""
        if own is not None:
            return own
        why = self.concurrency.throttles.why(function)
        return why.of_another() if isinstance(why, Throttled) else None

    def _late(self, call: Call) -> InvokeFailure:
        """Its time has passed."""
        if call.phase is WAITING:
            refusal = self._refusal(call.limited_as, None)
            if refusal is not None:
                return refusal
        return CallTimeout(call.timeout_ms)

    async def _send(
        self, call: Call, invocation: Invocation, credentials: ReadOnlyCredentials, estimate: Estimate
    ) -> InvocationResult:
        call.phase = SENT
        began = time.monotonic()
        try:
            invoke = self._ask if invocation.subject else self._invoke
            call.result = result = await invoke(invocation, credentials)
        finally:
            estimate.note(time.monotonic() - began, answered=call.result is not None)
        if result.function_error:
            sentence = await self.pace(function_error_sentence(result), len(result.payload))
            result = dataclasses.replace(result, function_error_text=sentence)
        return result

    def _warn_of_waiting(self) -> None:
        now = time.monotonic()
        if now - self._warned_of_waiting >= WARN_WAITING_SECONDS:
            self._warned_of_waiting = now
            text = "calls wait for a slot: %d run, %d wait already (max_concurrency)"
            log.warning(text, self.concurrency.running, self.concurrency.waiting)


def _read(options: MapOptions | DurableRequest | str | None) -> Options:
    """Raises InvalidRequest."""
    if options is None:
        raise InvalidRequest("unknown invocation type")
    if isinstance(options, DurableRequest):
        return durable.checked(options)
    return parse_options(options) if isinstance(options, str) else checked(options)


def _limited_as(function: FunctionName, options: Options) -> str:
    """The name under which a call takes its slot. Whatever is no invocation has another one: it is nothing to
    the function, and Lambda does not throttle it with the function's calls."""
    if isinstance(options, DurableOptions):
        return f"{options.invocation_type} {function.unqualified}"
    return function.unqualified


def _without_answer(left: float) -> float:
    """Of the seconds that are left, those that a call may wait for its function's pace."""
    return left - min(ANSWER_SECONDS, ANSWER_SHARE * left)


def _check_name(durable_name: str, options: Options) -> None:
    """The client may send the call twice because of it. Raises InvalidRequest."""
    if durable_name != options.durable_execution_name:
        raise InvalidRequest(
            "the options do not have the durable_execution_name that the library has read in them"
        )


def _invocation(call: Call, function: FunctionName, options: Options, repeats: Repeats | None) -> Invocation:
    return Invocation(
        function=function,
        payload=call.payload,
        invocation_type=options.invocation_type,
        log_tail=options.log_type == "Tail",
        client_context=options.client_context,
        tenant_id=options.tenant_id,
        durable_execution_name=options.durable_execution_name,
        deadline=call.deadline,
        subject=options.subject if isinstance(options, DurableOptions) else "",
        repeats=repeats,
        xray=xray_header(call.trace) if call.trace is not None else "",
        put=_put(call) if options.stream else None,
    )


def _put(call: Call) -> Put:
    """Raises InvalidRequest."""
    if call.put is None:
        raise InvalidRequest("option stream needs a library that takes an answer in parts")
    return call.put

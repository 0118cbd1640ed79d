"""The way of a call: options, name, rules, payload, credentials, a slot, Lambda, and the answer.

Knows neither how a call came in nor how its answer goes out: a door makes the Call and shapes the answer."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, TypeVar

from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.aws.answer import InvocationResult, function_error_sentence
from lambda_sidecar.aws.credentials import CredentialSource
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.aws.payload_hash import APART, begin_hash
from lambda_sidecar.aws.repeats import Repeats
from lambda_sidecar.calls import call_span, durable
from lambda_sidecar.calls.call import CREDENTIALS, SENT, Call
from lambda_sidecar.calls.durable import DurableOptions
from lambda_sidecar.calls.invocation import check_name, limited_as, make_invocation, read_options
from lambda_sidecar.calls.lambda_invoke import Options
from lambda_sidecar.calls.payload import check_payload, is_plainly_good
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.calls.traffic import Traffic
from lambda_sidecar.calls.waits import Waits
from lambda_sidecar.concurrency.durations import Durations, Estimate
from lambda_sidecar.concurrency.slots import Concurrency
from lambda_sidecar.errors import (
    EndpointUnreachable,
    InternalFailure,
    InvokeFailure,
    Throttled,
)
from lambda_sidecar.log.format import log_defect
from lambda_sidecar.quotas import EVENT_MAX, REQUEST_RESPONSE_MAX
from lambda_sidecar.text.pacer import AT_ONCE, Pacer, at_once
from lambda_sidecar.tracing.trace import read_traceparent

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
# A call that has been at Lambda for so long was let in, whatever becomes of it: a 429 comes sooner.
TAKEN_SECONDS = 1.0


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
        self.waits = Waits(concurrency, self.traffic)

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
                call.options = options = read_options(options)
            if call.durable_name:
                check_name(call.durable_name, options)
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
            failure: InvokeFailure = self.waits.late(call)
            if call.repeats is not None and call.phase is SENT:
                call.repeats.in_doubt = True
        except InvokeFailure as raised:
            # Its frames hold the answer, and this one holds it: megabytes until memory is collected.
            failure = raised.with_traceback(None)
            if call.repeats is not None and call.result is not None:  # it is known what became of it
                call.repeats.in_doubt = False
        except Exception as error:  # a defect of ours must not end the others
            log_defect(log, error)
            failure = InternalFailure()
        except asyncio.CancelledError:
            self.traffic.cancelled(call)
            raise
        else:
            self.traffic.answered(call)
            return answer
        if call.repeats is not None:
            failure = call.repeats.last(failure)
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
                call.payload_hash = await self._check_payload(payload, options.invocation_type)
        get_credentials = functools.partial(self._credentials.get, role, call.account, function.region)
        call.phase = CREDENTIALS
        credentials = await get_credentials()
        if options.durable_execution_name and not call.is_repeated:
            call.repeats = Repeats(call.deadline)
        call.invocation = make_invocation(call, function, options)
        call.limited_as = limited_as(function, options)
        return await self._attempts(call, call.invocation, credentials, get_credentials)

    async def _attempts(
        self,
        call: Call,
        invocation: Invocation,
        credentials: ReadOnlyCredentials,
        get_credentials: Callable[[], Awaitable[ReadOnlyCredentials]],
    ) -> InvocationResult:
        """Until one ends the call. Each has a slot of its own, and between two of them the call has none."""
        name = call.limited_as
        estimate = self.durations.of(name, invocation.invocation_type)
        refusal: Throttled | None = None
        pause = 0.0
        attempts = 1
        while True:
            slot = self.concurrency.take(name)
            if slot is None:
                slot = await self.waits.wait(call, estimate, refusal)
            self.traffic.repeated += attempts > 1
            call.slot = slot
            is_taken = None
            try:
                if call.queued_us:  # the wait may have outlasted them
                    call.phase = CREDENTIALS
                    credentials = await get_credentials()
                result = await self._send(call, invocation, credentials, estimate)
            except Throttled as failure:
                refusal = failure.with_traceback(None)
                if self.waits.throttled(call, slot, refusal) or call.is_repeated:
                    raise
            except InvokeFailure as failure:
                is_taken = call.phase is SENT and not isinstance(failure, EndpointUnreachable)
                if call.repeats is None:
                    raise
                refusal, pause = None, call.repeats.pause_after(failure)
            else:
                is_taken = True
                return result
            finally:
                call.slot = None
                if is_taken is None:
                    is_taken = _is_long_at_lambda(call)
                self.concurrency.give_back(slot, is_taken=is_taken)
            if refusal is not None:
                await self.waits.rest(call, refusal, attempts)
            else:
                await self.waits.pause(call, pause)
            attempts += 1

    async def _check_payload(self, payload: bytes, invocation_type: str) -> str:
        """Its hash, if that is better made here. Raises InvalidRequest."""
        maximum = EVENT_MAX if invocation_type == "Event" else REQUEST_RESPONSE_MAX
        check = check_payload(payload, maximum=maximum, invocation_type=invocation_type)
        hashing = await begin_hash(payload) if len(payload) >= APART else None
        await self.pace(check, len(payload))
        return "" if hashing is None else await hashing

    async def _send(
        self, call: Call, invocation: Invocation, credentials: ReadOnlyCredentials, estimate: Estimate
    ) -> InvocationResult:
        """Raises CancelledError instead of sending anything once the call's lease is over."""
        lease = call.lease
        if lease is not None and time.monotonic() >= lease():
            raise asyncio.CancelledError  # as if whoever has made it had heard of that, and cancelled it
        call.phase = SENT
        call.sent_at = began = time.monotonic()
        try:
            invoke = self._ask if invocation.subject else self._invoke
            call.result = result = await invoke(invocation, credentials)
        except TimeoutError:  # nothing was sent
            if lease is None or time.monotonic() >= call.deadline:
                raise
            raise asyncio.CancelledError from None
        finally:
            estimate.note(time.monotonic() - began, answered=call.result is not None)
        if result.function_error:
            sentence = await self.pace(function_error_sentence(result), len(result.payload))
            result = dataclasses.replace(result, function_error_text=sentence)
        return result


def _is_long_at_lambda(call: Call) -> bool:
    return call.phase is SENT and time.monotonic() - call.sent_at >= TAKEN_SECONDS

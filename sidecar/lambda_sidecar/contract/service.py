"""From the contract's messages to a call and back.

Knows gRPC and the contract; nothing of HTTP. How calls share a stream is stream.py's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

import grpc
from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.access.account import Account
from lambda_sidecar.aws.answer import InvocationResult, function_error_sentence
from lambda_sidecar.aws.credentials import CredentialSource
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.calls.call import CANCEL_SECONDS, CREDENTIALS, LATE_SECONDS, SENT, Call
from lambda_sidecar.calls.lambda_invoke import Options, document, parse_options
from lambda_sidecar.calls.payload import check_payload, is_plainly_good
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.calls.traffic import Traffic
from lambda_sidecar.concurrency.durations import Durations, Estimate
from lambda_sidecar.concurrency.slots import Concurrency, Share
from lambda_sidecar.contract.stream import Stream
from lambda_sidecar.errors import ApiError, CallTimeout, InternalFailure, InvalidRequest, InvokeFailure
from lambda_sidecar.log.format import log_defect
from lambda_sidecar.quotas import EVENT_MAX, REQUEST_RESPONSE_MAX, RESPONSE_MAX
from lambda_sidecar.text.pacer import AT_ONCE, Pacer, at_once
from lambda_udf.v1 import invoker_pb2, invoker_pb2_grpc

log = logging.getLogger(__name__)

T = TypeVar("T")
Request = invoker_pb2.InvokeRequest
Response = invoker_pb2.InvokeResponse
Invoke = Callable[[Invocation, ReadOnlyCredentials], Awaitable[InvocationResult]]

# The largest payload and room for the rest of its message: more is neither taken nor sent.
MESSAGE_MAX = RESPONSE_MAX + 65_536
# Of a result's payload and log tail. The other fields are names and ids, each of them cut.
RESULT_MAX = MESSAGE_MAX - 16_384
# At most so often the log says that calls wait for a slot.
TELL_WAITING_SECONDS = 60.0
# What it takes to write the end of idle streams: that long is waited even where nothing is left for calls.
END_SECONDS = 0.1

# The options of a call that names none but its invocation type: nearly all.
_PLAIN = {
    invoker_pb2.INVOCATION_TYPE_REQUEST_RESPONSE: Options(invocation_type="RequestResponse"),
    invoker_pb2.INVOCATION_TYPE_EVENT: Options(invocation_type="Event"),
    invoker_pb2.INVOCATION_TYPE_DRY_RUN: Options(invocation_type="DryRun"),
}


class LambdaInvoker(invoker_pb2_grpc.LambdaInvokerServicer):
    """The gRPC service."""

    def __init__(
        self, invoke: Invoke, credentials: CredentialSource, policy: Policy, concurrency: Concurrency
    ) -> None:
        """`policy` may be replaced while calls run: they keep the one that they began with."""
        self._invoke = invoke
        self._credentials = credentials
        self.policy = policy
        self.concurrency = concurrency
        self.durations = Durations()
        self.traffic = Traffic()
        self._pacer = Pacer()
        self._waiting_told = -TELL_WAITING_SECONDS
        self._draining = asyncio.Event()
        self._streams: set[asyncio.Task[Any]] = set()

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

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._streams)

    async def drain(self, seconds: float) -> None:
        """From now on no request is taken. Idle streams end at once with UNAVAILABLE and stream.py's
        LAST_CALL_ID, the others when their calls are done. Waits for `seconds` (or END_SECONDS) at most."""
        self._draining.set()
        clock = asyncio.get_running_loop().time
        give_up = clock() + max(seconds, END_SECONDS)
        # Again and again: a stream that opens meanwhile is owed its status too.
        while self._streams and (left := give_up - clock()) > 0:
            await asyncio.wait(self._streams, timeout=left)

    async def Invoke(self, _requests: Any, context: grpc.aio.ServicerContext[Request, Response]) -> None:
        """One stream, from its opening to its end; cancelled when the client goes."""
        # grpc.aio runs the whole RPC in this task: when it is done, the status has been sent too.
        if (task := asyncio.current_task()) is not None:
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)
        if not self._draining.is_set():
            await context.send_initial_metadata(())
        stream = Stream(self.answer, context)
        try:
            await stream.serve(self._draining)
        finally:
            await stream.cancel_calls()

    async def answer(self, request: Request, payload: bytes, share: Share) -> Response:
        """One call, whatever becomes of it: a failure is an answer too. `payload` is the request's, `share`
        its stream's."""
        call = Call(request, payload, share)
        self.traffic.begin(call)
        try:
            options = _options(request)
            if options.timeout_ms is not None:
                call.shorten(options.timeout_ms)
            async with asyncio.timeout(call.seconds_left()):
                if call.late > LATE_SECONDS:
                    await asyncio.sleep(CANCEL_SECONDS)
                result = await self._call(call, options)
        except TimeoutError:
            failure: InvokeFailure = CallTimeout(call.timeout_ms)
        except InvokeFailure as raised:
            # Its frames hold the answer, and this one holds it: megabytes until memory is collected.
            failure = raised.with_traceback(None)
        except Exception as error:  # a defect of ours must not end the stream
            log_defect(log, error)
            failure = InternalFailure()
        except asyncio.CancelledError:
            self.traffic.cancelled(call)
            raise
        else:
            self.traffic.answered(call)
            return Response(call_id=request.call_id, result=result, queued_us=call.queued_us)
        self.traffic.failed(call, failure)
        error_message = invoker_pb2.InvokeError(
            kind=invoker_pb2.ErrorKind.Name(failure.kind), code=failure.code, message=failure.text
        )
        return Response(call_id=request.call_id, error=error_message, queued_us=call.queued_us)

    async def _call(self, call: Call, options: Options) -> invoker_pb2.InvokeResult:
        result = await self._invoke_as(call, options)
        size = len(result.payload)
        if size + len(result.log_tail) > RESULT_MAX:  # such a message would end the stream
            text = f"the function has run, but its result has {size} bytes"
            raise ApiError("ResponseTooLarge", text, request_id=result.request_id)
        if call.request.options_json:
            making = document(result, RESULT_MAX)
            payload = await self._pace(making, size)
            return invoker_pb2.InvokeResult(status_code=result.status_code, payload=payload)
        sentence = ""
        if result.function_error:
            reading = function_error_sentence(result)
            sentence = await self._pace(reading, size)
        return invoker_pb2.InvokeResult(
            status_code=result.status_code,
            request_id=result.request_id,
            executed_version=result.executed_version,
            function_error=result.function_error,
            function_error_text=sentence,
            log_tail=result.log_tail,
            payload=result.payload,
        )

    async def _invoke_as(self, call: Call, options: Options) -> InvocationResult:
        """Name, rules, payload, credentials, a slot, in this order: a refusal comes before more is asked,
        and what fails takes no slot."""
        request = call.request
        policy = self.policy
        function = policy.function_name(request.function, options.region, options.qualifier)
        call.function = function
        account = Account(request.caller.user, request.caller.host)
        role = policy.access.decide(account, function, options.role).role
        payload_max = EVENT_MAX if options.invocation_type == "Event" else REQUEST_RESPONSE_MAX
        payload = call.payload
        if len(payload) > AT_ONCE or not is_plainly_good(payload):  # nearly all are small and good
            check = check_payload(payload, maximum=payload_max, invocation_type=options.invocation_type)
            await self._pace(check, len(payload))
        call.phase = CREDENTIALS
        credentials = await self._credentials.get(role, account, function.region)
        call.invocation = Invocation(
            function=function,
            payload=call.payload,
            invocation_type=options.invocation_type,
            log_tail=options.log_type == "Tail",
            client_context=options.client_context,
            deadline=call.deadline,
        )
        name = function.unqualified
        estimate = self.durations.of(name, options.invocation_type)
        slot = self.concurrency.take(name)
        if slot is None:
            self._tell_waiting()
            slot = await call.wait_for_slot(self.concurrency, name, account, estimate)
        call.slot = slot
        try:
            if call.queued_us:  # the wait may have outlasted them
                call.phase = CREDENTIALS
                credentials = await self._credentials.get(role, account, function.region)
            return await self._send(call, call.invocation, credentials, estimate)
        finally:
            call.slot = None
            self.concurrency.give_back(slot)

    async def _send(
        self, call: Call, invocation: Invocation, credentials: ReadOnlyCredentials, estimate: Estimate
    ) -> InvocationResult:
        call.phase = SENT
        began = time.monotonic()
        try:
            call.result = result = await self._invoke(invocation, credentials)
            return result
        finally:
            estimate.note(time.monotonic() - began, answered=call.result is not None)

    async def _pace(self, work: Generator[None, None, T], size: int) -> T:
        """The result of work on so many bytes."""
        return await self._pacer.run(work) if size > AT_ONCE else at_once(work)

    def _tell_waiting(self) -> None:
        now = time.monotonic()
        if now - self._waiting_told >= TELL_WAITING_SECONDS:
            self._waiting_told = now
            text = "calls wait for a slot: %d run, %d wait already (max_concurrency)"
            log.warning(text, self.concurrency.running, self.concurrency.waiting)


def _options(request: Request) -> Options:
    """The call's options: those of SQL, or the contract's own."""
    if request.options_json:
        return parse_options(request.options_json)
    plain = _PLAIN.get(request.invocation_type)
    if plain is None:
        raise InvalidRequest("unknown invocation type")
    if not request.HasField("options"):
        return plain
    options = request.options
    return Options(
        invocation_type=plain.invocation_type,
        region=options.region,
        qualifier=options.qualifier,
        log_type="Tail" if options.log_type == invoker_pb2.LOG_TYPE_TAIL else "None",
        client_context=options.client_context,
        role=options.role,
    )

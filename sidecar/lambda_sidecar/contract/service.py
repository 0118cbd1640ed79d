"""The gRPC service LambdaInvoker: requests of the contract become calls, and their answers become responses.

Translates, and counts its streams. calls/pipeline.py runs a call; stream.py has how calls share a stream."""

from __future__ import annotations

import asyncio
import functools
import platform
import secrets
from typing import Any

import grpc

from lambda_sidecar.access.account import HOST_MAX, USER_MAX, Account
from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.aws.durable_answer import FAIL, LOOK, SUCCEED
from lambda_sidecar.aws.response_stream import Put
from lambda_sidecar.calls.batch import attempts
from lambda_sidecar.calls.batch.batch import Batch, check_rows, function_name, query_of
from lambda_sidecar.calls.call import Call
from lambda_sidecar.calls.durable import DurableRequest
from lambda_sidecar.calls.lambda_invoke import Options, document
from lambda_sidecar.calls.lambda_map import MapOptions, value
from lambda_sidecar.calls.pipeline import Pipeline, Shape
from lambda_sidecar.calls.streamed_document import StreamedDocument
from lambda_sidecar.concurrency.slots import Share
from lambda_sidecar.contract import results
from lambda_sidecar.contract.message import (
    RESULT_MAX,
    LargeResponse,
    LargeResult,
    Request,
    Response,
    Result,
    read_request,
    write_response,
)
from lambda_sidecar.contract.stream import Answers, Context, Stream
from lambda_sidecar.errors import InvalidRequest, InvokeFailure
from lambda_sidecar.tracing.trace import read_traceparent
from lambda_sidecar.version import version
from lambda_udf.v1 import invoker_pb2

SERVICE_NAME = invoker_pb2.DESCRIPTOR.services_by_name["LambdaInvoker"].full_name
# Writing the end of idle streams takes that long: it is waited even where nothing is left for calls.
END_SECONDS = 0.1

# Batches say where they come from. The kernel takes any bytes for a name.
_MACHINE = platform.node().encode(errors="replace").decode()

# The options of lambda_sync's and lambda_async's calls: their invocation type says all.
_PLAIN = {
    invoker_pb2.INVOCATION_TYPE_REQUEST_RESPONSE: Options(invocation_type="RequestResponse"),
    invoker_pb2.INVOCATION_TYPE_EVENT: Options(invocation_type="Event"),
    invoker_pb2.INVOCATION_TYPE_DRY_RUN: Options(invocation_type="DryRun"),
}

# And what is no invocation.
_DURABLE = {
    invoker_pb2.INVOCATION_TYPE_EXECUTION: LOOK,
    invoker_pb2.INVOCATION_TYPE_CALLBACK_SUCCESS: SUCCEED,
    invoker_pb2.INVOCATION_TYPE_CALLBACK_FAILURE: FAIL,
}


class LambdaInvoker:
    """One door to the pipeline: mysqld's."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.sidecar_id = secrets.token_hex(8)
        """Of this process: lambda_ping() gives it, too."""
        self._draining = asyncio.Event()
        self._streams: set[asyncio.Task[Any]] = set()

    @property
    def streams(self) -> int:
        """The number of open ones."""
        return len(self._streams)

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server is given to serve it."""
        method = grpc.stream_stream_rpc_method_handler(
            self.Invoke, request_deserializer=read_request, response_serializer=write_response
        )
        return grpc.method_handlers_generic_handler(SERVICE_NAME, {"Invoke": method})

    async def drain(self, seconds: float) -> None:
        """From now on no request is taken. Idle streams end at once with UNAVAILABLE and stream.py's
        LAST_CALL_ID, the others when their calls are done. Waits for `seconds` (or END_SECONDS) at most."""
        self._draining.set()
        clock = asyncio.get_running_loop().time
        give_up = clock() + max(seconds, END_SECONDS)
        # Again and again: a stream that opens meanwhile is owed its status too.
        while self._streams and (left := give_up - clock()) > 0:
            await asyncio.wait(self._streams, timeout=left)

    async def Invoke(self, _requests: Any, context: Context) -> None:
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

    async def answer(
        self, request: Request, payload: bytes, share: Share, answers: Answers | None = None
    ) -> Response | LargeResponse:
        """One call, whatever becomes of it: a failure is an answer too. `payload` is the request's, `share`
        its stream's, and so is `answers`, which takes the parts of an answer that comes as a stream."""
        options_json = request.options_json
        if request.answer_form and request.HasField("batch"):
            return await self._answer_batch(request, payload, share)
        options: Options | MapOptions | DurableRequest | str | None
        shape: Shape[Result | LargeResult]
        put: Put | None = None
        if request.answer_form:
            options, shape = _map_options(request), self._value
        elif options_json:
            streamed = _streamed(request, answers) if request.result_max and answers is not None else None
            options, shape = options_json, functools.partial(self._document, streamed)
            put = None if streamed is None else streamed.put
        else:
            options, shape = _PLAIN.get(request.invocation_type), results.plain
            if options is None and request.invocation_type == invoker_pb2.INVOCATION_TYPE_PING:
                result = Result(executed_version=version(), request_id=self.sidecar_id)
                return results.response(request, result, 0)
            if options is None and (operation := _DURABLE.get(request.invocation_type)) is not None:
                options = DurableRequest(operation, request.function, payload, request.callback_options_json)
                shape = results.durable
        call = _call(request, payload, options, request.timeout_ms, share, put)
        answer = await self.pipeline.run(call, shape)
        return results.response(request, answer, call.queued_us)

    async def _answer_batch(self, request: Request, rows: bytes, share: Share) -> Response | LargeResponse:
        """lambda_batch's answer, of as many invocations as it takes."""

        def new_call(event: bytes, timeout_ms: int) -> Call:
            return _call(request, event, _map_options(request), timeout_ms, share)

        waited_us = 0
        answer: Result | InvokeFailure
        try:
            contract, batch = _batch(request)
            result, waited_us = await attempts.run(
                self.pipeline, contract, batch, rows, timeout_ms=request.timeout_ms, new_call=new_call
            )
            if isinstance(result, InvokeFailure):
                answer = result
            else:
                results.check_size(result)
                answer = results.embedded(result, result.payload)
        except InvokeFailure as failure:
            answer = failure.with_traceback(None)
        return results.response(request, answer, waited_us)

    async def _document(
        self, streamed: StreamedDocument | None, result: InvocationResult
    ) -> Result | LargeResult:
        """lambda_invoke's answer, or the last part of one. Raises ApiError."""
        if result.streamed is not None and streamed is not None:
            work = streamed.end(result)
        else:
            results.check_size(result)
            work = document(result, RESULT_MAX)
        payload = await self.pipeline.pace(work, len(result.payload))
        return results.invoked(result, payload)

    async def _value(self, result: InvocationResult) -> Result:
        """lambda_map's answer, with no more in it than its library reads. Raises ApiError."""
        results.check_size(result)
        payload = await self.pipeline.pace(value(result, RESULT_MAX), len(result.payload))
        return results.embedded(result, payload)


def _call(
    request: Request,
    payload: bytes,
    options: Options | MapOptions | DurableRequest | str | None,
    timeout_ms: int,
    share: Share,
    put: Put | None = None,
) -> Call:
    caller = request.caller
    return Call(
        # A character more than there may be is refused as any name is that is too long, and takes less room.
        Account(caller.user[: USER_MAX + 1], caller.host[: HOST_MAX + 1]),
        request.function,
        payload,
        options=options,
        timeout_ms=timeout_ms,
        share=share,
        connection_id=caller.connection_id,
        until=request.deadline_ms / 1000,
        durable_name=request.durable_execution_name,
        trace=read_traceparent(traceparent) if (traceparent := request.traceparent) else None,
        put=put,
    )


def _streamed(request: Request, answers: Answers) -> StreamedDocument:
    call_id = request.call_id

    async def write(part: bytes) -> None:
        await answers.write_part(Response(call_id=call_id, part=part))

    return StreamedDocument(write, request.result_max)


def _batch(request: Request) -> tuple[attempts.Contract, Batch]:
    """Raises InvalidRequest."""
    message, caller = request.batch, request.caller
    try:
        contract = attempts.Contract(message.contract)
    except ValueError:
        raise InvalidRequest(f"unknown batch contract {message.contract}") from None
    check_rows(message.rows)
    return contract, Batch(
        rows=message.rows,
        query=query_of(message.query_id),
        number=message.number,
        signature=message.signature,
        function=function_name(request.function),
        user=f"{caller.user}@{caller.host}",
        machine=_MACHINE,
        schema=caller.schema,
        connection_id=caller.connection_id,
        retry_service_errors=message.retry_service_errors,
    )


def _map_options(request: Request) -> MapOptions | None:
    """None for an answer's form that nobody knows."""
    if request.answer_form != invoker_pb2.ANSWER_FORM_JSON:
        return None
    return MapOptions(request.qualifier, request.region, request.role, request.tenant_id)

"""Lambda's answers and failures as the contract's messages: which of their fields each SQL function reads.

Knows the messages; nothing of streams, nor of how an answer came."""

from __future__ import annotations

from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.calls.durable import check_document
from lambda_sidecar.contract.message import (
    LARGE,
    RESULT_MAX,
    LargeResponse,
    LargeResult,
    Request,
    Response,
    Result,
)
from lambda_sidecar.errors import ApiError, InvokeFailure
from lambda_udf.v1 import invoker_pb2


def response(
    request: Request, answer: Result | LargeResult | InvokeFailure, queued_us: int
) -> Response | LargeResponse:
    if isinstance(answer, InvokeFailure):
        return Response(call_id=request.call_id, error=_error(answer), queued_us=queued_us)
    if isinstance(answer, LargeResult):
        return LargeResponse(Response(call_id=request.call_id, queued_us=queued_us), answer)
    return Response(call_id=request.call_id, result=answer, queued_us=queued_us)


def embedded(result: InvocationResult, payload: bytes) -> Result:
    """No more of an answer than lambda_map and lambda_batch read."""
    return Result(
        status_code=result.status_code,
        function_error=result.function_error,
        function_error_text=result.function_error_text,
        payload=payload,
    )


async def plain(result: InvocationResult) -> Result | LargeResult:
    """lambda_sync's and lambda_async's answer. Raises ApiError."""
    check_size(result)
    rest = Result(
        status_code=result.status_code,
        request_id=result.request_id,
        executed_version=result.executed_version,
        function_error=result.function_error,
        function_error_text=result.function_error_text,
        log_tail=result.log_tail,
    )
    return with_payload(rest, result.payload)


def with_payload(rest: Result, payload: bytes) -> Result | LargeResult:
    if len(payload) >= LARGE:
        return LargeResult(rest, payload)
    rest.payload = payload
    return rest


def invoked(result: InvocationResult, document: bytes) -> Result | LargeResult:
    """lambda_invoke's answer: its document has all of it, and the library notes a function that failed."""
    rest = Result(status_code=result.status_code)
    if result.function_error:
        rest.function_error, rest.request_id = result.function_error, result.request_id
    return with_payload(rest, document)


async def durable(result: InvocationResult) -> Result | LargeResult:
    """lambda_execution's answer; of a callback's the library writes the document. Raises ApiError."""
    check_document(result, RESULT_MAX)
    return with_payload(Result(status_code=result.status_code, request_id=result.request_id), result.payload)


def check_size(result: InvocationResult) -> None:
    """A message that is too large would end the stream. Raises ApiError."""
    size = len(result.payload)
    if size + len(result.log_tail) > RESULT_MAX:
        text = f"the function has run, but its result has {size} bytes"
        raise ApiError("ResponseTooLarge", text, request_id=result.request_id)


def _error(failure: InvokeFailure) -> invoker_pb2.InvokeError:
    return invoker_pb2.InvokeError(
        kind=invoker_pb2.ErrorKind.Name(failure.kind),
        code=failure.code,
        message=failure.text,
        request_id=failure.request_id,
    )

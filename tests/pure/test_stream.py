"""The calls of one stream over a gRPC context in memory: the order of its end, its bounds, its answers.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc
import pytest

from lambda_sidecar.concurrency.slots import Share
from lambda_sidecar.contract.stream import Stream
from lambda_udf.v1 import invoker_pb2


class Context:
    """gRPC's side of a stream, in memory: requests come out of a queue, and writing fails."""

    def __init__(self, error: Exception) -> None:
        self.requests: asyncio.Queue[invoker_pb2.InvokeRequest] = asyncio.Queue()
        self.code: grpc.StatusCode | None = None
        self._error = error

    async def read(self) -> Any:
        return await self.requests.get()

    async def write(self, _message: Any) -> None:
        raise self._error

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code


async def serve(context: Context, answer: Callable[[Any, bytes, Share], Awaitable[Any]]) -> list[str]:
    """Serves one stream to its end; gives what asyncio would have logged of tasks that nobody looked at."""
    unseen: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: unseen.append(str(what["message"])))
    stream = Stream(answer, cast("grpc.aio.ServicerContext[Any, Any]", context))
    try:
        await asyncio.wait_for(stream.serve(asyncio.Event()), 10)
    finally:
        await stream.cancel_calls()
    return unseen


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (grpc.aio.UsageError("RPC already finished."), ""),
        (ValueError("canary"), "internal failure: ValueError"),
    ],
)
def test_an_answer_that_cannot_be_written_ends_the_stream_and_cancels_its_other_calls(
    caplog: pytest.LogCaptureFixture, error: Exception, told: str
) -> None:
    cancelled: list[int] = []

    async def answer(request: Any, _payload: bytes, _share: Share) -> Any:
        if request.call_id == 2:
            return invoker_pb2.InvokeResponse(call_id=2)
        try:
            return await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(request.call_id)
            raise

    async def two_calls() -> tuple[Context, list[str]]:
        context = Context(error)
        for number in (1, 2):
            context.requests.put_nowait(invoker_pb2.InvokeRequest(call_id=number))
        return context, await serve(context, answer)

    with caplog.at_level(logging.INFO):
        context, unseen = asyncio.run(two_calls())
    assert (context.code, cancelled, unseen) == (grpc.StatusCode.INTERNAL, [1], [])
    assert [record.getMessage().splitlines()[0] for record in caplog.records] == ([told] if told else [])
    assert "canary" not in caplog.text

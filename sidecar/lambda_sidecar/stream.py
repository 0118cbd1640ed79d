"""The calls of one gRPC stream: one task each, answered as they complete, and the order of its end.

Knows gRPC's reading and writing; nothing of what a call does. What a stream promises is in invoker.proto."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import grpc

from lambda_sidecar.concurrency import Share
from lambda_sidecar.log_format import log_defect
from lambda_udf.v1 import invoker_pb2

log = logging.getLogger(__name__)

LAST_CALL_ID = "lambda-udf-last-call-id"
"""In the trailers when the sidecar stops: what came after the call of this number was never looked at."""

Request = invoker_pb2.InvokeRequest
Response = invoker_pb2.InvokeResponse


class Stream:
    """Serve it once; `cancel_calls` afterwards, whatever became of it."""

    def __init__(
        self,
        answer: Callable[[Request, Share], Awaitable[Response]],
        context: grpc.aio.ServicerContext[Request, Response],
    ) -> None:
        self._answer = answer
        self._context = context
        self._share = Share()
        self._calls: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self._no_more = asyncio.Event()
        self._writing = asyncio.Lock()  # grpc.aio takes one write at a time
        self._last_call_id = 0
        self._broken = False  # an answer could not be written

    async def serve(self, draining: asyncio.Event) -> None:
        self._reading = asyncio.create_task(self._take_one())
        ends = [asyncio.create_task(event.wait()) for event in (self._no_more, draining)]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # A message that has come in but was not taken lies beyond LAST_CALL_ID.
            for task in (self._reading, *ends):
                task.cancel()
            await asyncio.gather(self._reading, *ends, return_exceptions=True)
        if self._calls and not self._broken:
            await asyncio.wait(self._calls)
        if self._broken:
            self._context.set_code(grpc.StatusCode.INTERNAL)
        elif draining.is_set():
            self._context.set_trailing_metadata(((LAST_CALL_ID, str(self._last_call_id)),))
            self._context.set_code(grpc.StatusCode.UNAVAILABLE)

    async def _take_one(self) -> None:
        """Takes one request, leaves the next one to a task of its own, and answers it: what has come begins
        without waiting for another task's turn (bench/README.md)."""
        request = None
        try:
            request = await self._context.read()
        finally:
            if not isinstance(request, Request):  # grpc.aio.EOF: the client has no more
                self._no_more.set()
        call = self._reading  # this task
        if not isinstance(request, Request) or call is None:
            return
        self._last_call_id = request.call_id
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        self._reading = asyncio.create_task(self._take_one())
        try:
            response = await self._answer(request, self._share)
            async with self._writing:
                await self._context.write(response)
        except Exception as error:
            self._break(error)

    def _break(self, error: Exception) -> None:
        """The stream ends, with all its calls: whoever waits for this answer would wait for ever. Mostly the
        client has gone as its answer was written; Lambda has answered, and so the call is counted."""
        if isinstance(error, grpc.aio.BaseError):
            log.debug("a client left as its answer was written")
        else:
            log_defect(log, error)
        self._broken = True
        self._no_more.set()

    async def cancel_calls(self) -> None:
        """What still runs when the client has gone: its HTTP requests are closed."""
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.gather(*self._calls, return_exceptions=True)

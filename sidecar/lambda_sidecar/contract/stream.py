"""The calls of one gRPC stream: one task each, answered as they complete, and the order of its end.

Knows gRPC's reading and writing; nothing of what a call does. What a stream promises is in invoker.proto."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

import grpc
from google.protobuf.message import DecodeError

from lambda_sidecar.concurrency.slots import Share
from lambda_sidecar.contract.message import LargeResponse, Request, Response, Taken, read_request
from lambda_sidecar.log.format import log_defect

log = logging.getLogger(__name__)

LAST_CALL_ID = "lambda-udf-last-call-id"
"""In the trailers when the sidecar stops: what came after the call of this number was never looked at."""
# Of one stream. With so many calls, or so much in them, not answered yet, it is not read: HTTP/2's flow
# control then holds the client back. A call takes 4 KB and twice what was sent; mysqld has one on a stream.
UNANSWERED_MAX = 1000
UNANSWERED_BYTES_MAX = 64 * 1024 * 1024

# As invoker.proto says of `more`; and the bytes of a message with several answers: they are copied.
MORE_MAX, TOGETHER_BYTES = 63, 64 * 1024

_CLIENT_LEFT = "a client left as its answer was written"

Context = grpc.aio.ServicerContext[Taken, Response | LargeResponse]


def _others(request: Request) -> list[Taken]:
    """Those that came in the same message. Raises DecodeError."""
    more = request.more
    if not more:  # nearly all
        return []
    if len(more) > MORE_MAX:
        raise DecodeError(f"{len(more)} requests more in one message")
    return [read_request(each) for each in more]


class Answers:
    """The writing end: those that come while one is written go together, if their clients read that."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._writing = asyncio.Lock()  # grpc.aio takes one write at a time
        self._waiting: deque[Response] = deque()
        self._come = self._gone = 0
        """Answers that may go together, since the beginning."""

    async def write(self, response: Response | LargeResponse, *, with_others: bool) -> None:
        """Returns when it is written, by whoever had the turn."""
        if not with_others or isinstance(response, LargeResponse):
            async with self._writing:
                await self._context.write(response)
            return
        self._waiting.append(response)
        self._come = number = self._come + 1
        async with self._writing:
            while self._gone < number:
                await self._context.write(self._next())

    async def write_part(self, part: Response) -> None:
        """The same for a part of an answer that is still coming. Whoever waits for it may be cancelled, where
        the call's time ends: the writing goes on, since grpc.aio takes no other one before it is done. Raises
        CancelledError where the client has gone."""
        if not await asyncio.shield(self._write_part(part)):
            raise asyncio.CancelledError

    async def _write_part(self, part: Response) -> bool:
        """False: the client has gone."""
        try:
            await self.write(part, with_others=False)
        except grpc.aio.BaseError:
            log.debug(_CLIENT_LEFT)
            return False
        return True

    def _next(self) -> Response:
        first = self._waiting.popleft()
        self._gone += 1
        size = first.ByteSize() if self._waiting else 0
        while self._waiting and len(first.more) < MORE_MAX:
            other = self._waiting[0].SerializeToString()
            size += len(other)
            if size > TOGETHER_BYTES:
                break
            first.more.append(other)
            self._waiting.popleft()
            self._gone += 1
        return first


class Stream:
    """Serve it once; `cancel_calls` afterwards, whatever became of it."""

    def __init__(
        self,
        answer: Callable[[Request, bytes, Share, Answers], Awaitable[Response | LargeResponse]],
        context: Context,
    ) -> None:
        """`answer` gets the request's payload, too. It may write parts of its answer before it returns the
        last one."""
        self._answer = answer
        self._context = context
        self._share = Share()
        self._calls: dict[asyncio.Task[None], int] = {}
        """Not answered yet, with their bytes."""
        self._bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._reading: asyncio.Task[None] | None = None
        self._no_more = asyncio.Event()
        self._answers = Answers(context)
        self._last_call_id = 0
        self._broken = False  # an answer could not be written
        self._together: set[asyncio.Task[None]] = set()
        """The calls that the first failure among them ends."""

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
        taken = None
        try:
            if not self._has_room.is_set():
                await self._has_room.wait()
            taken = await self._context.read()
        finally:
            if not isinstance(taken, Taken):  # grpc.aio.EOF: the client has no more
                self._no_more.set()
        call = self._reading  # this task
        if not isinstance(taken, Taken) or call is None or self._no_more.is_set():
            return
        try:
            others = _others(taken.message)
        except DecodeError as error:
            self._break(error)
            return
        self._begin(call, taken)
        for other in others:
            self._begin(asyncio.create_task(self._carry_out(other)), other)
        self._reading = asyncio.create_task(self._take_one())
        await self._carry_out(taken)

    async def _carry_out(self, taken: Taken) -> None:
        call, request = asyncio.current_task(), taken.message
        try:
            response = await self._answer(request, taken.payload, self._share, self._answers)
            if call is not None and request.fails_together and isinstance(response, Response):
                self._end_together(call, response)
            # Not with others where parts may have gone before it, which it would overtake.
            with_others = request.takes_more and not request.result_max
            await self._answers.write(response, with_others=with_others)
        except Exception as error:
            self._break(error)

    def _break(self, error: Exception) -> None:
        """The stream ends, with all its calls: whoever waits for this answer would wait for ever. Mostly the
        client has gone as its answer was written; Lambda has answered, and so the call is counted."""
        if isinstance(error, grpc.aio.BaseError):
            log.debug(_CLIENT_LEFT)
        else:
            log_defect(log, error)
        self._broken = True
        self._no_more.set()

    def _end_together(self, call: asyncio.Task[None], response: Response) -> None:
        """After a failure, before anybody knows it, nothing more is begun."""
        self._together.discard(call)
        if response.HasField("error") or response.result.function_error:
            for other in self._together:
                other.cancel()
            self._no_more.set()

    @property
    def _is_full(self) -> bool:
        return len(self._calls) >= UNANSWERED_MAX or self._bytes >= UNANSWERED_BYTES_MAX

    def _begin(self, call: asyncio.Task[None], taken: Taken) -> None:
        self._last_call_id = taken.message.call_id
        self._calls[call] = taken.size
        self._bytes += taken.size
        if taken.message.fails_together:
            self._together.add(call)
        call.add_done_callback(self._done)
        if self._is_full:
            self._has_room.clear()

    def _done(self, call: asyncio.Task[None]) -> None:
        self._bytes -= self._calls.pop(call)
        self._together.discard(call)
        if not self._has_room.is_set() and not self._is_full:
            self._has_room.set()

    async def cancel_calls(self) -> None:
        """Ends the calls that still run when the client has gone: their HTTP requests are closed."""
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.gather(*self._calls, return_exceptions=True)

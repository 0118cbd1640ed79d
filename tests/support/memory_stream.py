"""One stream of calls without gRPC's core: a context in memory, and calls that end when a test says so.

Knows what stream.py asks of a context; nothing of what an answer holds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, cast

import grpc
from tests.support.waiting import rest

from lambda_sidecar.concurrency.slots import Share
from lambda_sidecar.contract.message import LargeResponse, Request, Response, read_request, write_response
from lambda_sidecar.contract.stream import LAST_CALL_ID, Answers, Stream
from lambda_udf.v1 import invoker_pb2


class MemoryContext:
    """gRPC's side. `events` has what the client gets, in order: "part 7", "answer 7", "trailers 7", "code
    UNAVAILABLE"."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[Any] = asyncio.Queue()
        self.events: list[str] = []
        self.writable = asyncio.Event()
        self.writable.set()
        self.read_error: Exception | None = None
        self.write_error: Exception | None = None
        self._at_work: set[str] = set()

    def send(self, *numbers: int, **fields: Any) -> None:
        """Requests, as the client numbers them."""
        for number in numbers:
            self._put(invoker_pb2.InvokeRequest(call_id=number, **fields))

    def send_together(self, *numbers: int, **fields: Any) -> None:
        """Several requests in one message, whose client reads several answers in one, too."""
        first, *others = [
            invoker_pb2.InvokeRequest(call_id=number, takes_more=True, **fields) for number in numbers
        ]
        first.more.extend(other.SerializeToString() for other in others)
        self._put(first)

    def _put(self, request: Request) -> None:
        self.requests.put_nowait(read_request(request.SerializeToString()))

    def end(self) -> None:
        """The client has no more."""
        self.requests.put_nowait(grpc.aio.EOF)

    @contextlib.contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """grpc.aio takes one read and one write at a time."""
        assert what not in self._at_work, f"two {what}s at a time"
        self._at_work.add(what)
        try:
            yield
        finally:
            self._at_work.discard(what)

    async def read(self) -> Any:
        with self._alone("read"):
            if self.read_error is not None:
                raise self.read_error
            return await self.requests.get()

    async def write(self, response: Response | LargeResponse) -> None:
        message = Response.FromString(write_response(response))
        with self._alone("write"):
            try:
                await self.writable.wait()
            except asyncio.CancelledError:  # the bytes are on their way all the same
                self._at_work.add("write that was cancelled")
                raise
            assert "write that was cancelled" not in self._at_work
            if self.write_error is not None:
                raise self.write_error
            if message.part:
                self.events.append(f"part {message.call_id}")
                return
            more = [invoker_pb2.InvokeResponse.FromString(each) for each in message.more]
            self.events.append("answer " + " ".join(str(each.call_id) for each in (message, *more)))

    def set_code(self, code: grpc.StatusCode) -> None:
        self.events.append(f"code {code.name}")

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        ((key, value),) = metadata
        assert key == LAST_CALL_ID
        self.events.append(f"trailers {value}")


class Calls:
    """`begun` and `cancelled` have the numbers, in order; a call ends when `end` names it."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.cancelled: list[int] = []
        self.shares: list[Share] = []
        self.payloads: list[bytes] = []
        self._ends: dict[int, asyncio.Future[None]] = {}

    async def answer(
        self, request: invoker_pb2.InvokeRequest, payload: bytes, share: Share, _answers: Answers
    ) -> invoker_pb2.InvokeResponse:
        number = request.call_id
        self.begun.append(number)
        self.shares.append(share)
        self.payloads.append(payload)
        end = self._ends[number] = asyncio.get_running_loop().create_future()
        try:
            await end
        except asyncio.CancelledError:
            self.cancelled.append(number)
            self._ends.pop(number, None)  # it may have ended in the same turn
            raise
        return invoker_pb2.InvokeResponse(call_id=number)

    @property
    def running(self) -> list[int]:
        return list(self._ends)

    def end(self, *numbers: int) -> None:
        for number in numbers:
            self._ends.pop(number).set_result(None)

    def fail(self, number: int, error: Exception) -> None:
        self._ends.pop(number).set_exception(error)


@dataclass
class Served:
    """A stream that is being served; `task` ends with it."""

    task: asyncio.Task[None]
    stream: Stream
    context: MemoryContext
    calls: Calls
    draining: asyncio.Event

    async def settle(self) -> None:
        await rest()

    async def ended(self) -> list[str]:
        """What the client has got, at the stream's end."""
        await asyncio.wait_for(self.task, 10)
        return self.context.events


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[Served]:
    """As service.py serves it: at the end what still runs is cancelled. Fails if asyncio would have to log that
    nobody looked at a task."""
    unseen: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: unseen.append(str(what["message"])))
    context, calls, draining = MemoryContext(), Calls(), asyncio.Event()
    stream = Stream(calls.answer, cast("grpc.aio.ServicerContext[Any, Any]", context))
    task = asyncio.create_task(stream.serve(draining))
    try:
        yield Served(task, stream, context, calls, draining)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.cancel_calls()
    assert unseen == []

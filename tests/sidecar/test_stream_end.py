"""The end of a stream: a client that leaves as its answer is written, and an answer that cannot be written.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from tests.support.invoker_client import connect, open_stream
from tests.support.ports import free_port
from tests.support.stack import local_config
from tests.support.waiting import wait_until

from lambda_sidecar.concurrency.slots import Share
from lambda_sidecar.contract.stream import Stream
from lambda_sidecar.testing.sidecar import SidecarProcess
from lambda_udf.v1 import invoker_pb2, monitor_pb2, monitor_pb2_grpc

# More than HTTP/2's first window: the write of the answer waits for a client that does not read.
LARGE = b'"' + b"x" * 4_000_000 + b'"'
LEFT = "a client left as its answer was written"
MOST = 100


def wait_until_answered(sidecar: SidecarProcess, calls: int) -> None:
    wait_until(lambda: sidecar.log_text().count(" outcome=success ") == calls, what="Lambda's answer")


def totals(socket: Path) -> dict[str, int]:
    with connect(socket) as channel:
        snapshot = monitor_pb2_grpc.MonitorStub(channel).Snapshot(monitor_pb2.SnapshotRequest())
    assert snapshot.in_flight == 0
    return {each.outcome: each.calls for each in snapshot.outcomes if each.calls}


def test_a_client_that_leaves_as_its_answer_is_written_makes_no_traceback_and_the_call_counts_once(
    tmp_path: Path,
) -> None:
    with SidecarProcess(tmp_path, local_config(free_port())) as sidecar:
        begun = 0
        while not sidecar.log_contains(LEFT) and begun < MOST:
            with open_stream(sidecar.socket) as stream:
                stream.send("Echo", LARGE)
                begun += 1
                wait_until_answered(sidecar, begun)
        assert sidecar.log_contains(LEFT)
        wait_until(lambda: totals(sidecar.socket) == {"success": begun}, what="each call counted once")
        with open_stream(sidecar.socket) as stream:
            assert stream.ask("Echo", b"1").result.payload == b"1"
        sidecar.stop()
        for trace in ("Traceback", "never retrieved", "internal failure"):
            assert not sidecar.log_contains(trace)


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

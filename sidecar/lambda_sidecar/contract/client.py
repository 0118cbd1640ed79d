"""The sidecar asked from outside, on its socket: whether it serves, and what it does.

For the commands, and for a sidecar that wants another one's place. Knows gRPC; nothing of who may connect."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lambda_udf.v1 import monitor_pb2, monitor_pb2_grpc

# Some turns of an event loop under load.
HEALTH_SECONDS = 3.0
SNAPSHOT_SECONDS = 5.0
AUTHORITY = ("grpc.default_authority", "localhost")
_SERVING = health_pb2.HealthCheckResponse.SERVING


class NoAnswer(Exception):
    """There was none: `code` is gRPC's name of the status (UNAVAILABLE), `details` its text."""

    def __init__(self, error: grpc.RpcError) -> None:
        self.code: str = error.code().name
        self.details: str = error.details() or ""
        super().__init__(self.code)

    @property
    def is_unknown_method(self) -> bool:
        """The sidecar is older than what it was asked."""
        return self.code == grpc.StatusCode.UNIMPLEMENTED.name


def is_serving(path: Path) -> bool:
    """Whether the sidecar behind `path` says that it serves. Raises NoAnswer."""
    with grpc.insecure_channel(f"unix:{path}", options=(AUTHORITY,)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_SECONDS)
        except grpc.RpcError as error:
            raise NoAnswer(error) from None
    return bool(answer.status == _SERVING)


async def is_serving_now(path: Path) -> bool:
    """The same for an event loop. Raises NoAnswer."""
    options = (AUTHORITY, ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(f"unix:{path}", options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise NoAnswer(error) from None
    return bool(answer.status == _SERVING)


class MonitorClient:
    """Snapshots of one sidecar, over one connection that is made anew where it breaks."""

    def __init__(self, stub: monitor_pb2_grpc.MonitorStub) -> None:
        self._stub = stub

    def snapshot(self, is_wanted: Callable[[], bool]) -> monitor_pb2.SnapshotResponse | None:
        """`is_wanted` is asked again and again during the wait, and may take some milliseconds itself; when
        it says False, the wait ends with None. Raises NoAnswer."""
        request = monitor_pb2.SnapshotRequest()
        answer = self._stub.Snapshot.future(request, timeout=SNAPSHOT_SECONDS, wait_for_ready=True)
        while not answer.done():
            if not is_wanted():
                answer.cancel()
                return None
        try:
            snapshot: monitor_pb2.SnapshotResponse = answer.result()
        except grpc.RpcError as error:
            raise NoAnswer(error) from None
        return snapshot


@contextlib.contextmanager
def monitor(path: Path) -> Iterator[MonitorClient]:
    """Nothing is connected before the first snapshot."""
    with grpc.insecure_channel(f"unix:{path.absolute()}", options=(AUTHORITY,)) as channel:
        yield MonitorClient(monitor_pb2_grpc.MonitorStub(channel))

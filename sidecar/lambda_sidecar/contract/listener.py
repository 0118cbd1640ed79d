"""The sidecar's gRPC server: its services, behind one Unix socket.

Knows which services there are; nothing of the socket's file and nothing of a call."""

from __future__ import annotations

from collections.abc import Callable

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from lambda_sidecar.contract.diagnosis import Diagnosis
from lambda_sidecar.contract.health_watch import HealthWatch
from lambda_sidecar.contract.message import MESSAGE_MAX
from lambda_sidecar.contract.monitor import LookAtOutbox, Monitor
from lambda_sidecar.contract.service import SERVICE_NAME, LambdaInvoker
from lambda_udf.v1 import diagnosis_pb2_grpc, monitor_pb2_grpc

# Of one connection at once. The library has one, and a monitor as many as it asks at a time. Without a limit
# one client that opens and resets streams (CVE-2023-44487) fills the queue of all connections, and gRPC
# answers the others' with CANCELLED.
STREAMS_MAX = 16


class Listener:
    """`start` it, then `enter_shutdown`, then `stop`."""

    def __init__(self, service: LambdaInvoker, diagnosis: Diagnosis, look_at_outbox: LookAtOutbox) -> None:
        """In a running event loop."""
        self._health = health.aio.HealthServicer()
        self._watch = HealthWatch(service.pipeline.defect, self._health, ("", SERVICE_NAME))
        self._server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", MESSAGE_MAX),
                ("grpc.max_send_message_length", MESSAGE_MAX),
                ("grpc.max_concurrent_streams", STREAMS_MAX),
                ("grpc.so_reuseport", 0),
            )
        )
        self._server.add_generic_rpc_handlers((service.handler(),))
        monitor_pb2_grpc.add_MonitorServicer_to_server(Monitor(service, look_at_outbox), self._server)
        diagnosis_pb2_grpc.add_DiagnosisServicer_to_server(diagnosis, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    async def start(self, bind: Callable[[Callable[[str], object]], None]) -> None:
        """`bind` is given what takes an address, as gRPC writes them, and calls it once."""
        bind(self._server.add_insecure_port)
        await self._server.start()
        await self._watch.start()

    async def enter_shutdown(self) -> None:
        """Health says from now on that it does not serve."""
        await self._health.enter_graceful_shutdown()

    async def stop(self) -> None:
        """Ends every connection.

        Not with a grace period: gRPC would wait up to 20 s for each idle client to answer a ping,
        and mysqld's threads read an idle channel only when they need it again."""
        await self._server.stop(None)

    async def close(self) -> None:
        """Ends the watch over health, also after a start that failed."""
        await self._watch.stop()

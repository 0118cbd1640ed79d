"""The gRPC service Monitor: what `lambda-sidecar top` shows, at one moment.

Reads; changes nothing. Whoever can open the socket may ask, as for calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol

from lambda_sidecar.calls.call import Call, Outcome
from lambda_sidecar.calls.slow_calls import WINDOW_SECONDS, EndedCall
from lambda_sidecar.calls.traffic import BUCKETS, OTHER, FunctionTraffic
from lambda_sidecar.contract.service import LambdaInvoker
from lambda_sidecar.version import version
from lambda_udf.v1 import monitor_pb2, monitor_pb2_grpc

CALLS_DEFAULT = 100
CALLS_MAX = 1000


class OutboxNumbers(Protocol):
    """The outbox at one moment; outbox/numbers.py says what each is."""

    @property
    def state(self) -> str: ...
    @property
    def is_delivering(self) -> bool: ...
    @property
    def under_way(self) -> int: ...
    @property
    def accepted(self) -> int: ...
    @property
    def retried(self) -> int: ...
    @property
    def dead(self) -> int: ...
    @property
    def duplicates(self) -> int: ...
    @property
    def waiting(self) -> int | None: ...
    @property
    def oldest_seconds(self) -> float | None: ...


# None: this sidecar has no [outbox].
LookAtOutbox = Callable[[], OutboxNumbers | None]


class Monitor(monitor_pb2_grpc.MonitorServicer):
    """Bounded answers: names are as long as MySQL and Lambda let them be, calls CALLS_MAX at most."""

    def __init__(self, service: LambdaInvoker, look_at_outbox: LookAtOutbox) -> None:
        self._service = service
        self._look_at_outbox = look_at_outbox

    async def Snapshot(
        self, request: monitor_pb2.SnapshotRequest, _context: Any
    ) -> monitor_pb2.SnapshotResponse:
        pipeline = self._service.pipeline
        traffic, slots = pipeline.traffic, pipeline.concurrency
        now = time.monotonic()
        most = min(request.calls_max or CALLS_DEFAULT, CALLS_MAX)
        numbers = self._look_at_outbox()
        held_to = pipeline.waits.held_to()
        return monitor_pb2.SnapshotResponse(
            version=version(),
            uptime_ms=int((now - traffic.began) * 1000),
            outcomes=[
                monitor_pb2.OutcomeCount(outcome=outcome.name.lower(), calls=calls)
                for outcome, calls in zip(Outcome, traffic.totals(), strict=True)
            ],
            in_flight=len(traffic.in_flight),
            running=slots.running,
            waiting=slots.waiting,
            max_concurrency=slots.maximum,
            streams=self._service.streams,
            sent_bytes=traffic.sent_bytes,
            received_bytes=traffic.received_bytes,
            calls=[_in_flight(call, now) for call in islice(traffic.in_flight, most)],
            slow=[_ended(call, now) for call in traffic.slow.slowest(now)],
            slow_seconds=int(2 * WINDOW_SECONDS),
            outbox=None if numbers is None else _outbox(numbers),
            functions=[
                _function(name, counts, held_to.get(name, 0.0))
                for name, counts in (*traffic.functions.items(), (OTHER, traffic.other))
            ],
            duration_bounds=BUCKETS,
            sidecar_id=self._service.sidecar_id,
            held_back=pipeline.waits.held_back(),
        )


def _function(name: str, counts: FunctionTraffic, held_to: float) -> monitor_pb2.FunctionCount:
    calls = sum(counts.calls)
    failed = calls - counts.calls[Outcome.SUCCESS]
    return monitor_pb2.FunctionCount(
        function=name,
        calls=calls,
        failed=failed,
        durations=counts.buckets,
        held_to=held_to,
        throttled=counts.throttled,
    )


def _in_flight(call: Call, now: float) -> monitor_pb2.CallInFlight:
    account = call.account
    subject = monitor_pb2.CallSubject(
        user=account.user,
        host=account.host,
        connection_id=call.connection_id,
        function=str(call.function) if call.function is not None else "",
        invocation_type=call.invocation.invocation_type if call.invocation is not None else "",
    )
    return monitor_pb2.CallInFlight(
        subject=subject,
        phase=monitor_pb2.Phase.Name(call.phase),
        age_us=int((now - call.began) * 1_000_000),
    )


def _ended(call: EndedCall, now: float) -> monitor_pb2.EndedCall:
    subject = monitor_pb2.CallSubject(
        user=call.user,
        host=call.host,
        connection_id=call.connection_id,
        function=call.function,
        invocation_type=call.invocation_type,
    )
    return monitor_pb2.EndedCall(
        subject=subject,
        outcome=call.outcome.name.lower(),
        duration_us=int(call.seconds * 1_000_000),
        queued_us=call.queued_us,
        ago_ms=int((now - call.ended) * 1000),
        request_id=call.request_id,
    )


def _outbox(numbers: OutboxNumbers) -> monitor_pb2.Outbox:
    oldest = numbers.oldest_seconds
    return monitor_pb2.Outbox(
        state=numbers.state,
        delivering=numbers.is_delivering,
        waiting=numbers.waiting,
        oldest_ms=None if oldest is None else int(oldest * 1000),
        under_way=numbers.under_way,
        accepted=numbers.accepted,
        retried=numbers.retried,
        dead=numbers.dead,
        duplicates=numbers.duplicates,
    )

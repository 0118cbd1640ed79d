"""One call under way: what is asked, and what is known of it so far.

Filled in by service.py as the call goes on; read by whoever counts, logs and shows calls."""

from __future__ import annotations

import enum
import time

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.function_name import FunctionName
from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.concurrency.slots import Concurrency, Need, Share, Shed, Slot
from lambda_sidecar.errors import CallTimeout, ErrorKind, Overloaded
from lambda_udf.v1 import invoker_pb2


class Outcome(enum.IntEnum):
    """What became of a call. Failures have the numbers of their ErrorKind; `name.lower()` is what metrics,
    logs and the terminal say."""

    SUCCESS = 0
    INVALID = ErrorKind.INVALID
    DENIED = ErrorKind.DENIED
    CREDENTIALS = ErrorKind.CREDENTIALS
    NETWORK = ErrorKind.NETWORK
    API = ErrorKind.API
    TIMEOUT = ErrorKind.TIMEOUT
    INTERNAL = ErrorKind.INTERNAL
    FUNCTION_ERROR = 8
    """Lambda answered that the function failed: an answer for lambda_invoke, an error for the others."""
    CANCELLED = 9
    """The client went away, as after KILL, or the sidecar stopped."""
    OVERLOADED = ErrorKind.OVERLOADED


class Phase(enum.IntEnum):
    """Where a call is. Numbers as in monitor.proto."""

    CHECKING = 1
    CREDENTIALS = 2
    WAITING = 3
    SENT = 4


# On the hot path: an enumeration's member is looked up at several times the cost of a global.
CHECKING, CREDENTIALS, WAITING, SENT = Phase


# A request that lay unread for LATE_SECONDS came while the sidecar stood still, or could not keep up. Its
# client may have given up meanwhile, and that lies unread behind it: CANCEL_SECONDS are given to read that,
# too, before anything is done that cannot be undone.
LATE_SECONDS = 0.1
CANCEL_SECONDS = 0.02


class Call:
    """`function` and `invocation` are None until they are known, `slot` while it has none, `result` until
    Lambda has answered."""

    __slots__ = (
        "began",
        "deadline",
        "function",
        "invocation",
        "late",
        "payload",
        "phase",
        "queued_us",
        "request",
        "result",
        "share",
        "slot",
        "timeout_ms",
    )

    def __init__(self, request: invoker_pb2.InvokeRequest, payload: bytes, share: Share) -> None:
        """`payload` is the request's; `share` is that of its stream."""
        self.request = request
        self.payload = payload
        self.share = share
        self.began = began = time.monotonic()
        self.timeout_ms = request.timeout_ms
        self.deadline = deadline = began + self.timeout_ms / 1000
        """On time.monotonic()'s clock: nothing is sent from then on."""
        self.late = 0.0
        """Seconds that the request lay unread, as far as it tells."""
        if (sent_for := request.deadline_ms) and (until := sent_for / 1000) < deadline:
            self.deadline, self.late = until, deadline - until
        self.queued_us = 0
        self.phase = CHECKING
        self.function: FunctionName | None = None
        self.invocation: Invocation | None = None
        self.slot: Slot | None = None
        self.result: InvocationResult | None = None

    def shorten(self, timeout_ms: int) -> None:
        """The call has a time of its own, too, counted from its arrival. The shorter one ends it."""
        if (until := self.began + timeout_ms / 1000) < self.deadline:
            self.timeout_ms, self.deadline = timeout_ms, until

    def seconds_left(self) -> float:
        """Raises CallTimeout if there are none."""
        if (left := self.deadline - time.monotonic()) <= 0:
            raise CallTimeout(self.timeout_ms)
        return left

    async def wait_for_slot(
        self, concurrency: Concurrency, function: str, account: Account, need: Need
    ) -> Slot:
        """Also a wait that the deadline ends is told. Raises Overloaded, or CallTimeout."""
        began = time.monotonic()
        self.phase = WAITING
        try:
            return await concurrency.wait(function, account, self.share, deadline=self.deadline, need=need)
        except Shed:
            self.seconds_left()
            raise Overloaded(concurrency.running, concurrency.waiting) from None
        finally:
            self.queued_us = int((time.monotonic() - began) * 1_000_000)

"""One call under way: what is asked, and what is known of it so far.

Filled in by service.py as the call goes on; read by whoever counts, logs and shows calls."""

from __future__ import annotations

import enum
import time

from lambda_sidecar.answer import InvocationResult
from lambda_sidecar.concurrency import Concurrency, Share
from lambda_sidecar.errors import ErrorKind
from lambda_sidecar.function_name import FunctionName
from lambda_sidecar.invoker import Invocation
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


class Phase(enum.IntEnum):
    """Where a call is. Numbers as in monitor.proto."""

    CHECKING = 1
    CREDENTIALS = 2
    WAITING = 3
    SENT = 4


# On the hot path: an enumeration's member is looked up at several times the cost of a global.
CHECKING, CREDENTIALS, WAITING, SENT = Phase


class Call:
    """`function` and `invocation` are None until they are known, `result` until Lambda has answered."""

    __slots__ = ("began", "function", "invocation", "phase", "queued_us", "request", "result", "share")

    def __init__(self, request: invoker_pb2.InvokeRequest, share: Share) -> None:
        """`share` is that of its stream."""
        self.request = request
        self.share = share
        self.began = time.monotonic()
        self.queued_us = 0
        self.phase = CHECKING
        self.function: FunctionName | None = None
        self.invocation: Invocation | None = None
        self.result: InvocationResult | None = None

    async def wait_for_slot(self, concurrency: Concurrency, slot: str) -> None:
        """Also a wait that the deadline ends is told."""
        began = time.monotonic()
        self.phase = WAITING
        try:
            await concurrency.wait(slot, self.share)
        finally:
            self.queued_us = int((time.monotonic() - began) * 1_000_000)

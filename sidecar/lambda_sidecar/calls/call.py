"""One call under way: what is asked, and what is known of it so far.

Plain data: pipeline.py fills it in as the call goes on; whoever counts, logs and shows calls reads it."""

from __future__ import annotations

import enum
import time
import typing
from collections.abc import Callable

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.function_name import FunctionName
from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.aws.repeats import Repeats
from lambda_sidecar.aws.response_stream import Put
from lambda_sidecar.calls.durable import DurableRequest
from lambda_sidecar.calls.lambda_invoke import Options
from lambda_sidecar.calls.lambda_map import MapOptions
from lambda_sidecar.concurrency.slots import Share, Slot
from lambda_sidecar.errors import CallTimeout, ErrorKind
from lambda_sidecar.tracing.trace import Trace

if typing.TYPE_CHECKING:
    from lambda_sidecar.tracing.spans import Span


class Outcome(enum.IntEnum):
    """The end of a call. Failures have the numbers of their ErrorKind; `name.lower()` is what metrics,
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


class Call:
    """`function` and `invocation` are None until they are known, `slot` while it has none, `result` until
    Lambda has answered."""

    __slots__ = (
        "account",
        "began",
        "connection_id",
        "deadline",
        "durable_name",
        "function",
        "function_text",
        "invocation",
        "is_repeated",
        "late",
        "lease",
        "limited_as",
        "options",
        "payload",
        "payload_hash",
        "phase",
        "put",
        "queued_us",
        "repeats",
        "result",
        "sent_at",
        "share",
        "slot",
        "span",
        "timeout_ms",
        "trace",
    )

    def __init__(
        self,
        account: Account,
        function_text: str,
        payload: bytes,
        *,
        options: Options | MapOptions | DurableRequest | str | None,
        timeout_ms: int,
        share: Share,
        connection_id: int = 0,
        until: float = 0.0,
        is_repeated: bool = False,
        durable_name: str = "",
        trace: Trace | None = None,
        put: Put | None = None,
        lease: Callable[[], float] | None = None,
    ) -> None:
        """`function_text` is the function as its caller wrote it. `options` as JSON text, or as lambda_map's,
        are not looked at yet; None stands for an invocation type that nobody knows. `timeout_ms` counts from
        now; `until`, on time.monotonic()'s clock, is when the caller gives up, 0 where that is not known.
        `share` is common to the calls that take turns as one. `connection_id` is MySQL's, 0 where there is
        none. `is_repeated`: whoever makes it makes another one by a schedule of its own, so a call that
        Lambda throttles ends, and one that is safe to repeat is attempted once. `durable_name`: the client
        has read this name out of the options, and may send the call twice; empty, it will not. `trace` is the
        one that its statement belongs to. `put` takes an answer in parts, if the options say so; None: nobody
        does. `lease` says until when the call may be sent, on time.monotonic()'s clock, as far as is known
        when it is asked, which is at each attempt, when all waits are over but that for a connection. A call
        that may not be sent any more ends as one that was cancelled."""
        self.account = account
        self.function_text = function_text
        self.payload = payload
        self.payload_hash = ""
        """Where it was made beside the payload's check."""
        self.options = options
        self.share = share
        self.connection_id = connection_id
        self.is_repeated = is_repeated
        self.durable_name = durable_name
        self.lease = lease
        self.began = began = time.monotonic()
        self.timeout_ms = timeout_ms
        self.deadline = deadline = began + timeout_ms / 1000
        """On time.monotonic()'s clock: nothing is sent from then on."""
        self.late = 0.0
        """Seconds that the call lay unread, as far as `until` says."""
        if until and until < deadline:
            self.deadline, self.late = until, deadline - until
        self.queued_us = 0
        self.phase = CHECKING
        self.function: FunctionName | None = None
        self.invocation: Invocation | None = None
        self.limited_as = ""
        """The name under which it takes a slot, once that is known."""
        self.slot: Slot | None = None
        self.repeats: Repeats | None = None
        """Of a call that is safe to repeat, once its options are known."""
        self.sent_at = 0.0
        """On time.monotonic()'s clock, of the last attempt."""
        self.result: InvocationResult | None = None
        self.put = put
        self.trace = trace
        """Its parent is the call's own span, once there is one."""
        self.span: Span | None = None

    def shorten(self, timeout_ms: int) -> None:
        """The call has a time of its own, too, counted from its arrival. The shorter one ends it."""
        if (until := self.began + timeout_ms / 1000) < self.deadline:
            self.timeout_ms, self.deadline = timeout_ms, until

    def seconds_left(self) -> float:
        """Raises CallTimeout if there are none."""
        if (left := self.deadline - time.monotonic()) <= 0:
            raise self.timeout()
        return left

    def timeout(self) -> CallTimeout:
        """What it ends with when its time is over."""
        return CallTimeout(self.timeout_ms, was_sent=self.sent_at > 0)

"""One invocation and what became of it, and the error documents that Lambda itself writes.
Pure data: knows neither HTTP nor processes."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from lambda_sidecar.local.parts import Parts
from lambda_sidecar.local.target import Target
from lambda_sidecar.quotas import RESPONSE_MAX

_TEXT_MAX = 500  # characters of an error in the log
# How Lambda names a function's error, whatever it is.
UNHANDLED = "Unhandled"


def new_trace_id() -> str:
    # "AWS X-Ray concepts", tracing header: version 1, epoch seconds in hex, 96 random bits.
    return f"Root=1-{int(time.time()):08x}-{os.urandom(12).hex()};Parent={os.urandom(8).hex()};Sampled=0"


@dataclass(slots=True, kw_only=True, eq=False)
class Invocation:
    """One attempt at running a function. Times are Unix seconds; None: not yet.

    outcome: "ok", "error" (a function error), "throttled" (429), "dry_run", or None while it waits or runs.
    client_connected: whether the HTTP request that asked for it is still open or was open until its answer.
    on_end: gets the outcome of the last attempt; None if it could not run.
    parts: where an answer in streaming response mode goes; None if the invoker wants it whole.
    """

    target: Target
    invocation_type: str
    event: bytes
    client_context: str | None = None  # JSON in ASCII
    wants_log: bool = False
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace_id: str = field(default_factory=new_trace_id)
    attempt: int = 1
    arrived: float = field(default_factory=time.time)
    started: float | None = None
    finished: float | None = None
    outcome: str | None = None
    client_connected: bool = True
    on_end: Callable[[Outcome | None], None] | None = None
    parts: Parts | None = None

    def end(self, outcome: Outcome | None) -> None:
        """There is no further attempt."""
        if self.on_end is not None:
            self.on_end(outcome)
            self.on_end = None

    def finish(self, outcome: str) -> None:
        """Records the end of this attempt."""
        self.finished = time.time()
        self.outcome = outcome

    def next_attempt(self) -> Invocation:
        """The same event once more: same request ID, as Lambda's retries have."""
        return replace(
            self, attempt=self.attempt + 1, arrived=time.time(), started=None, finished=None, outcome=None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A function's answer: JSON, or an error document if function_error is set; and the log's last 4 KB.

    payload: without the parts that were sent on already.
    error_code: the error's name at the end of a streamed answer.
    """

    payload: bytes
    function_error: bool = False
    error_code: str = UNHANDLED
    log: bytes = b""


def error_document(error_type: str, message: str) -> bytes:
    """Lambda's error document in the form that the caller gets."""
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()


def error_text(document: bytes) -> str:
    """An error document in one line: `ValueError: no such order`. The function may have sent anything."""
    try:
        found = json.loads(document)
        return f"{found['errorType']}: {found['errorMessage']}"[:_TEXT_MAX]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "an error without a type"


def timeout_document(request_id: str, seconds: float) -> bytes:
    """The function ran longer than its timeout. Texts: "Troubleshoot invocation issues in Lambda"."""
    return error_document(
        "Sandbox.Timedout", f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds"
    )


def exit_document(request_id: str, return_code: int) -> bytes:
    """The worker's process ended; return_code as subprocess reports it (negative: a signal)."""
    return error_document("Runtime.ExitError", f"RequestId: {request_id} Error: {exit_text(return_code)}")


def exit_text(return_code: int) -> str:
    """How Lambda words the end of a runtime (Go's os.ProcessState, for signals too)."""
    if return_code == 0:
        return "Runtime exited without providing a reason"
    if return_code > 0:
        return f"Runtime exited with error: exit status {return_code}"
    names = {signal.SIGKILL: "killed", signal.SIGTERM: "terminated", signal.SIGABRT: "aborted"}
    names |= {signal.SIGSEGV: "segmentation fault", signal.SIGINT: "interrupt", signal.SIGHUP: "hangup"}
    names |= {
        signal.SIGBUS: "bus error",
        signal.SIGPIPE: "broken pipe",
        signal.SIGFPE: "floating point exception",
    }
    number = -return_code
    name = names[signal.Signals(number)] if number in names else f"signal {number}"
    return f"Runtime exited with error: signal: {name}"


def too_large_document(limit: int = RESPONSE_MAX) -> bytes:
    """The function's answer is above the quota, which is so many bytes."""
    return error_document(
        "Function.ResponseSizeTooLarge",
        f"Response payload size exceeded maximum allowed payload size ({limit} bytes).",
    )

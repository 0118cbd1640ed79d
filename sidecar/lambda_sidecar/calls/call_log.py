"""The log's line of a call: who called what, what became of it, how long it took.

Neither payload, result nor error text: a function's message may quote its payload."""

from __future__ import annotations

import functools
import logging
import time

from lambda_sidecar.calls.call import Call, Outcome

log = logging.getLogger("lambda_sidecar.call")

is_debug = functools.partial(log.isEnabledFor, logging.DEBUG)
_MESSAGES = {Outcome.SUCCESS: "call answered", Outcome.CANCELLED: "call cancelled"}
# An outage fails every call. So many lines in WINDOW_SECONDS are warnings; the others are at info, where
# every failed call has its line.
WARNINGS_MAX, WINDOW_SECONDS = 100, 10.0


class Warnings:
    """How loud the next failure is."""

    def __init__(self) -> None:
        self._ends = 0.0  # of the window, on time.monotonic()'s clock
        self._failed = 0  # in it

    def level(self, now: float) -> int:
        """WARNING, or INFO in a storm. Says once for each window that there is one; and how large it was with
        the first failure after it, whenever that comes."""
        if now >= self._ends:
            self._end_window(now)
            self._ends = now + WINDOW_SECONDS
        self._failed += 1
        if self._failed == WARNINGS_MAX + 1:
            text = "more than %d calls failed within %g s: the lines of the others are at info"
            log.warning(text, WARNINGS_MAX, WINDOW_SECONDS)
        return logging.WARNING if self._failed <= WARNINGS_MAX else logging.INFO

    def _end_window(self, now: float) -> None:
        if self._failed > WARNINGS_MAX:
            ago = now - self._ends
            log.warning("%d calls failed within %g s, until %.0f s ago", self._failed, WINDOW_SECONDS, ago)
        self._failed = 0


_warnings = Warnings()


def log_call(
    call: Call, outcome: Outcome, seconds: float, *, code: str = "", request_id: str = "", reason: str = ""
) -> None:
    """One line: at debug for a success, at info for a call that was cancelled, and at warning for one that
    failed. `code` is the Lambda API's name of an error, or how the function failed (Handled, Unhandled);
    `reason` is InvokeFailure's."""
    if outcome is Outcome.SUCCESS:
        level = logging.DEBUG
    elif outcome is Outcome.CANCELLED:
        level = logging.INFO
    else:
        level = _warnings.level(time.monotonic())
    if not log.isEnabledFor(level):
        return
    fields = {
        "account": str(call.account),
        "connection": call.connection_id,
        "function": str(call.function) if call.function is not None else None,
        "type": call.invocation.invocation_type if call.invocation is not None else None,
        "outcome": outcome.name.lower(),
        "code": code or None,
        "request_id": request_id or (call.result.request_id if call.result is not None else "") or None,
        "ms": round(seconds * 1000, 1),
        "queued_ms": round(call.queued_us / 1000, 1),
    }
    if reason:
        fields["reason"] = reason
    if call.trace is not None:
        fields["trace_id"] = call.trace.trace_id
    log.log(level, _MESSAGES.get(outcome, "call failed"), extra={"fields": fields})

"""The log's line of a call: who called what, what became of it, how long it took.

Neither payload, result nor error text: a function's message may quote its payload."""

from __future__ import annotations

import functools
import logging

from lambda_sidecar.calls.call import Call, Outcome

log = logging.getLogger("lambda_sidecar.call")

is_debug = functools.partial(log.isEnabledFor, logging.DEBUG)
_MESSAGES = {Outcome.SUCCESS: "call answered", Outcome.CANCELLED: "call cancelled"}


def log_call(call: Call, outcome: Outcome, seconds: float, *, code: str = "", request_id: str = "") -> None:
    """One line: at debug for a success, otherwise at info. `code` is the Lambda API's name of an error, or
    how the function failed (Handled, Unhandled)."""
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
    level = logging.DEBUG if outcome is Outcome.SUCCESS else logging.INFO
    log.log(level, _MESSAGES.get(outcome, "call failed"), extra={"fields": fields})

"""The span of a call: when it begins and ends, and what it says of the call.

Neither payload, result nor error text, as the log; nothing of how spans are sent."""

from __future__ import annotations

import logging
import typing

from lambda_sidecar.calls.call import Call, Outcome
from lambda_sidecar.log.format import log_defect
from lambda_sidecar.tracing.trace import Trace

if typing.TYPE_CHECKING:
    from lambda_sidecar.tracing.spans import Span, Spans

log = logging.getLogger(__name__)

# The name as long as the function is not known, and of a call that never came to that.
_UNNAMED = "lambda"


def begin(call: Call, trace: Trace, spans: Spans) -> None:
    """From then on the call's trace goes on from its span. A defect of tracing is none of the call's."""
    try:
        call.span = span = spans.begin(_UNNAMED, trace)
    except Exception as error:
        log_defect(log, error)
    else:
        if span is not None:
            call.trace = span.trace


def end(call: Call, span: Span, outcome: Outcome, *, code: str, request_id: str) -> None:
    """The arguments are log_call()'s."""
    call.span = None
    try:
        if call.queued_us:
            span.event("queued", {"lambda_udf.queued_ms": call.queued_us / 1000})
        name = call.function.name if call.function is not None else _UNNAMED
        attributes = _attributes(call, outcome, code, request_id)
        span.end(name, attributes, is_error=outcome is not Outcome.SUCCESS)
    except Exception as error:
        log_defect(log, error)


def _attributes(
    call: Call, outcome: Outcome, code: str, request_id: str
) -> dict[str, str | int | float | bool]:
    """After OpenTelemetry's semantic conventions for FaaS spans ("Outgoing invocations"), general error
    attributes and AWS; what they do not have begins with lambda_udf."""
    function, result = call.function, call.result
    attributes: dict[str, str | int | float | bool] = {
        "faas.invoked_provider": "aws",
        "lambda_udf.connection_id": call.connection_id,
        "lambda_udf.outcome": outcome.name.lower(),
    }
    if function is not None:
        attributes["faas.invoked_name"] = function.name
        attributes["faas.invoked_region"] = function.region
    if call.invocation is not None:
        attributes["lambda_udf.invocation_type"] = call.invocation.invocation_type
    if outcome is not Outcome.SUCCESS:
        attributes["error.type"] = code or outcome.name.lower()
    if answered := request_id or (result.request_id if result is not None else ""):
        attributes["aws.request_id"] = answered
    return attributes

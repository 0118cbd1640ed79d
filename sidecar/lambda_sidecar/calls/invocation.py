"""What a call asks Lambda for: its options, read and checked, and the invocation that they make of it.

Pure; knows nothing of slots, credentials and attempts."""

from __future__ import annotations

from lambda_sidecar.access.function_name import FunctionName
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.aws.response_stream import Put
from lambda_sidecar.calls import durable
from lambda_sidecar.calls.call import Call
from lambda_sidecar.calls.durable import DurableOptions, DurableRequest
from lambda_sidecar.calls.lambda_invoke import Options, parse_options
from lambda_sidecar.calls.lambda_map import MapOptions, checked
from lambda_sidecar.errors import InvalidRequest
from lambda_sidecar.tracing.trace import xray_header


def read_options(options: MapOptions | DurableRequest | str | None) -> Options:
    """Raises InvalidRequest."""
    if options is None:
        raise InvalidRequest("unknown invocation type")
    if isinstance(options, DurableRequest):
        return durable.checked(options)
    return parse_options(options) if isinstance(options, str) else checked(options)


def limited_as(function: FunctionName, options: Options) -> str:
    """The name under which a call takes its slot. Whatever is no invocation has another one: it is nothing to
    the function, and Lambda does not throttle it with the function's calls."""
    if isinstance(options, DurableOptions):
        return f"{options.invocation_type} {function.unqualified}"
    return function.unqualified


def check_name(durable_name: str, options: Options) -> None:
    """The client may send the call twice because of it. Raises InvalidRequest."""
    if durable_name != options.durable_execution_name:
        raise InvalidRequest(
            "the options do not have the durable_execution_name that the library has read in them"
        )


def make_invocation(call: Call, function: FunctionName, options: Options) -> Invocation:
    return Invocation(
        function=function,
        payload=call.payload,
        invocation_type=options.invocation_type,
        log_tail=options.log_type == "Tail",
        client_context=options.client_context,
        tenant_id=options.tenant_id,
        durable_execution_name=options.durable_execution_name,
        deadline=call.deadline,
        subject=options.subject if isinstance(options, DurableOptions) else "",
        once=call.repeats is not None,
        xray=xray_header(call.trace) if call.trace is not None else "",
        put=_put(call) if options.stream else None,
        payload_hash=call.payload_hash,
        lease=call.lease,
    )


def _put(call: Call) -> Put:
    """Raises InvalidRequest."""
    if call.put is None:
        raise InvalidRequest("option stream needs a library that takes an answer in parts")
    return call.put

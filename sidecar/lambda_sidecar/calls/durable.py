"""lambda_execution, lambda_callback and lambda_callback_failure: what they ask, and by whose rules.

Pure; knows neither gRPC nor HTTP. aws/durable_api.py asks."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.function_name import FunctionName
from lambda_sidecar.access.rules import Role
from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.aws.durable_answer import FAIL, LOOK
from lambda_sidecar.calls.lambda_invoke import Options
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.errors import ApiError, InvalidRequest
from lambda_sidecar.quotas import CALLBACK_RESULT_MAX

# botocore's model, DurableExecutionArn and CallbackId.
_ARN = re.compile(
    r"(?P<function>arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9_-]+"
    r":(?:\$LATEST(?:\.PUBLISHED)?|[0-9]+))/durable-execution/[a-zA-Z0-9_-]+/[a-zA-Z0-9_-]+"
)
_CALLBACK_ID = re.compile(r"[A-Za-z0-9+/]+={0,2}")
SUBJECT_MAX = 1024
# Of the third argument; and of ErrorObject in botocore's model.
OPTION_NAMES = ("function", "region", "role")
ERROR_NAMES = ("ErrorType", "ErrorMessage", "ErrorData", "StackTrace")
# Lines of a StackTrace. The SDK looks at each one: a megabyte of short ones held the event loop for a quarter
# of a second.
TRACE_MAX = 1000
# Stands for the function of a callback where nobody has named it; none can be called so.
ANY = "(callback)"
_KIND = "a callback"
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_members = msgspec.json.Decoder(
    msgspec.defstruct(
        "_Error", [(name, msgspec.Raw, msgspec.Raw()) for name in ERROR_NAMES], forbid_unknown_fields=True
    )
).decode
_lines = msgspec.json.Decoder(Annotated[list[str], msgspec.Meta(max_length=TRACE_MAX)]).decode
_text = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True)
class DurableRequest:
    """As it was written in SQL. `options` is JSON text, or empty."""

    operation: str
    subject: str
    payload: bytes
    options: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableOptions(Options):
    """The same, validated. `function` is empty where only IAM knows it."""

    subject: str
    function: str
    payload: bytes


def checked(request: DurableRequest) -> DurableOptions:
    """Raises InvalidRequest, which quotes nothing of what was written."""
    is_look = request.operation == LOOK
    match = (_ARN if is_look else _CALLBACK_ID).fullmatch(request.subject[: SUBJECT_MAX + 1])
    if match is None or len(request.subject) > SUBJECT_MAX:
        if is_look:
            raise InvalidRequest("not a durable execution's ARN")
        raise InvalidRequest("not a callback's id")
    options = _options(request.options)
    if is_look:
        options["function"] = match["function"]
    return DurableOptions(
        invocation_type=request.operation,
        subject=request.subject,
        payload=_payload(request),
        region=options.get("region", ""),
        role=options.get("role", ""),
        function=options.get("function", ""),
    )


def target(options: DurableOptions, policy: Policy, account: Account) -> tuple[FunctionName, Role | None]:
    """The function whose rules count, and the role that they give. Raises AccessDenied and InvalidRequest."""
    if options.function:
        function = policy.function_name(options.function, options.region, "")
        return function, policy.access.decide(account, function, options.role).role
    named = policy.function_name("any", options.region, "")
    function = dataclasses.replace(named, name=ANY, account_id=None)
    return function, policy.access.decide_for_all(account, options.role).role


def check_document(result: InvocationResult, most: int) -> None:
    """Raises ApiError for an execution that no message could hold."""
    if (size := len(result.payload)) > most:
        text = f"the execution's input and result have {size} bytes as JSON"
        raise ApiError("ResponseTooLarge", text, request_id=result.request_id)


def _options(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        given = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.ValidationError:
        raise InvalidRequest("options must be a JSON object") from None
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest("options are not JSON") from None
    for name, value in given.items():
        if name not in OPTION_NAMES:
            raise InvalidRequest(f"unknown option '{name[:64]}'; known are {', '.join(OPTION_NAMES)}")
        if not isinstance(value, str) or not value:
            raise InvalidRequest(f"option {name} must be a string that is not empty")
    return given


def _payload(request: DurableRequest) -> bytes:
    """As aws/durable_api.py takes it: the result as it is, an error as a JSON object."""
    if request.operation == LOOK:
        return b""
    payload = request.payload
    if request.operation == FAIL:
        payload = json.dumps(_error(request.payload), ensure_ascii=False).encode(errors="replace")
    if (size := len(payload)) > CALLBACK_RESULT_MAX:
        raise InvalidRequest(
            f"payload too large: it has {size} bytes, Lambda takes at most {CALLBACK_RESULT_MAX} for {_KIND}"
        )
    return payload


def _error(payload: bytes) -> dict[str, Any]:
    """A JSON object with members of an ErrorObject, or a message."""
    try:
        text = payload.decode()
    except UnicodeDecodeError as fault:
        raise InvalidRequest(f"payload is not UTF-8: {fault.reason} at byte {fault.start}") from None
    try:
        given = msgspec.structs.asdict(_members(payload))
    except msgspec.ValidationError as error:
        if (unknown := _UNKNOWN.fullmatch(str(error))) is None:  # it is no object
            return {"ErrorMessage": text}
        raise InvalidRequest(
            f"unknown member '{unknown[1][:64]}' of the error; known are {', '.join(ERROR_NAMES)}"
        ) from None
    except (msgspec.DecodeError, RecursionError):
        return {"ErrorMessage": text}
    return {name: _member(name, value) for name, value in given.items() if value}


def _member(name: str, value: msgspec.Raw) -> Any:
    try:
        return _lines(value) if name == "StackTrace" else _text(value)
    except (msgspec.DecodeError, RecursionError):
        kind = f"an array of at most {TRACE_MAX} strings" if name == "StackTrace" else "a string"
        raise InvalidRequest(f"member {name} of the error must be {kind}") from None

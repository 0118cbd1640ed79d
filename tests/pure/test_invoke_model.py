"""Invoke as botocore's model of Lambda has it, beside what we offer of it: this fails when the API grows.

Each test's name is the sentence that it proves; tests/fuzz/test_fuzz_functions.py compares what the patterns take."""

from __future__ import annotations

import base64
import json
import re

import pytest
from botocore.loaders import Loader
from tests.support.checkout import ROOT
from tests.support.sidecar_modules import PACKAGE

from lambda_sidecar.aws import lambda_api, response_stream
from lambda_sidecar.aws.answer import RETRYABLE, read_answer
from lambda_sidecar.calls.lambda_invoke import INVOCATION_TYPES, LOG_TYPES, Options, document, parse_options
from lambda_sidecar.contract.message import RESULT_MAX
from lambda_sidecar.errors import InvalidRequest
from lambda_sidecar.local import errors as local_errors
from lambda_sidecar.local import invoke_request as local_request
from lambda_sidecar.local.target import resolve
from lambda_sidecar.quotas import (
    CLIENT_CONTEXT_MAX,
    DURABLE_EXECUTION_ARN_MAX,
    EVENT_MAX,
    FUNCTION_NAME_MAX,
    QUALIFIER_MAX,
    REQUEST_RESPONSE_MAX,
)
from lambda_sidecar.text.pacer import at_once

_MODEL = Loader().load_service_model("lambda", "service-2")
_INVOKE = _MODEL["operations"]["Invoke"]
_STREAM = _MODEL["operations"]["InvokeWithResponseStream"]
_SHAPES = _MODEL["shapes"]
_REQUEST = _SHAPES[_INVOKE["input"]["shape"]]["members"]
_ANSWER = _SHAPES[_INVOKE["output"]["shape"]]["members"]
_ERRORS = {error["shape"] for error in _INVOKE["errors"]}

# What lambda_invoke makes of each member of the request.
ARGUMENTS = {"FunctionName", "Payload"}
OPTIONS = {
    "InvocationType": "invocation_type",
    "LogType": "log_type",
    "ClientContext": "client_context",
    "DurableExecutionName": "durable_execution_name",
    "Qualifier": "qualifier",
    "TenantId": "tenant_id",
}
# Options that are not the API's: where to, as whom, for how long.
OF_OURS = {"region", "role", "timeout_ms", "traceparent"}
# Which of the two operations.
OF_STREAMS = {"stream"}
# Which shape each has, with its least and greatest length and its pattern, as access/, calls/ and quotas.py restate it.
SHAPES = {
    "FunctionName": (
        "NamespacedFunctionName",
        1,
        FUNCTION_NAME_MAX,
        r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?"
        r"(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?",
    ),
    "Qualifier": (
        "NumericLatestPublishedOrAliasQualifier",
        1,
        QUALIFIER_MAX,
        r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+",
    ),
    "TenantId": ("TenantId", 1, 256, r"[a-zA-Z0-9\._:\/=+\-@ ]+"),
    "DurableExecutionName": ("DurableExecutionName", 1, 64, r"[a-zA-Z0-9-_]+"),
}


# ---- the request ----


def test_each_member_of_the_request_is_an_argument_or_an_option() -> None:
    assert set(_REQUEST) == ARGUMENTS | set(OPTIONS)
    assert set(Options.__dataclass_fields__) == {*OPTIONS.values(), *OF_OURS, *OF_STREAMS}


def test_each_invocation_type_and_log_type_is_there_wherever_we_name_them() -> None:
    types = set(_SHAPES[_REQUEST["InvocationType"]["shape"]]["enum"])
    assert types == set(INVOCATION_TYPES) == set(local_request.INVOCATION_TYPES) == set(_outbox_types())
    assert set(_SHAPES[_REQUEST["LogType"]["shape"]]["enum"]) == set(LOG_TYPES)


def _outbox_types() -> list[str]:
    (types,) = re.findall(
        r'"invocation_type": \{"enum": (\[.*?\])\}', (ROOT / "udf/sql/install.sql").read_text()
    )
    return list(json.loads(types))


@pytest.mark.parametrize("member", SHAPES)
def test_a_pattern_and_its_lengths_are_those_that_we_restate(member: str) -> None:
    shape = _SHAPES[_REQUEST[member]["shape"]]
    found = (_REQUEST[member]["shape"], shape["min"], shape["max"], shape["pattern"])
    assert found == SHAPES[member]


@pytest.mark.parametrize("option", ["tenant_id", "durable_execution_name"])
def test_an_option_may_be_as_long_as_the_model_has_it_and_no_longer(option: str) -> None:
    (most,) = [SHAPES[member][2] for member, name in OPTIONS.items() if name == option]
    assert getattr(parse_options(json.dumps({option: "x" * most})), option) == "x" * most
    with pytest.raises(InvalidRequest, match=f"option {option} must have 1 to {most} of"):
        parse_options(json.dumps({option: "x" * (most + 1)}))


def test_the_models_words_have_our_limits_of_what_it_gives_no_number_for() -> None:
    assert f"Up to {CLIENT_CONTEXT_MAX:,} bytes of base64-encoded data" in _documentation("ClientContext")
    sizes = f"{REQUEST_RESPONSE_MAX >> 20} MB for synchronous invocations and {EVENT_MAX >> 20} MB for asynch"
    assert sizes in _documentation("Payload")


def _documentation(member: str) -> str:
    return str(_REQUEST[member]["documentation"])


@pytest.mark.parametrize(
    ("name", "qualifier", "member"), [("a b", None, "FunctionName"), ("f", "a b", "Qualifier")]
)
def test_the_local_lambda_refuses_with_the_models_pattern(
    name: str, qualifier: str | None, member: str
) -> None:
    with pytest.raises(local_errors.ApiError) as refused:
        resolve(name, qualifier, region="us-east-1", account_id="123456789012")
    assert str(refused.value).endswith(
        f" at '{member[0].lower()}{member[1:]}' failed to satisfy constraint: Member must satisfy regular"
        f" expression pattern: {SHAPES[member][3]}"
    )


# ---- the answer ----


def _read(headers: dict[str, str]) -> dict[str, object]:
    """lambda_invoke's document of an answer with these headers."""
    result = read_answer(200, "OK", {name.lower(): value for name, value in headers.items()}, b'"payload"')
    made: dict[str, object] = json.loads(at_once(document(result, RESULT_MAX)))
    return made


def test_each_member_of_the_answer_is_a_field_of_the_document_from_where_the_model_has_it() -> None:
    headers = {
        member["locationName"]: base64.b64encode(name.encode()).decode() if name == "LogResult" else name
        for name, member in _ANSWER.items()
        if member.get("location") == "header"
    }
    assert {name for name, member in _ANSWER.items() if member.get("location") != "header"} == {
        "StatusCode",
        "Payload",
    }
    assert _read({**headers, "x-amzn-RequestId": "r-1"}) == {
        **{name: name for name in _ANSWER},
        "StatusCode": 200,
        "Payload": "payload",
        "RequestId": "r-1",
    }
    assert [name for name, value in _read({}).items() if value is None] == [
        "ExecutedVersion",
        "LogResult",
        "FunctionError",
        "RequestId",
        "DurableExecutionArn",
    ]


def test_an_executions_arn_is_cut_at_the_models_length() -> None:
    assert _SHAPES[_ANSWER["DurableExecutionArn"]["shape"]]["max"] == DURABLE_EXECUTION_ARN_MAX
    for length in (DURABLE_EXECUTION_ARN_MAX, DURABLE_EXECUTION_ARN_MAX + 1):
        arn = _read({"X-Amz-Durable-Execution-Arn": "x" * length})["DurableExecutionArn"]
        assert arn == "x" * DURABLE_EXECUTION_ARN_MAX


# ---- InvokeWithResponseStream ----


def test_a_stream_takes_the_same_arguments_and_options_but_for_those_that_are_refused_with_it() -> None:
    members = _SHAPES[_STREAM["input"]["shape"]]["members"]
    assert set(_REQUEST) - set(members) == {"DurableExecutionName"}
    assert set(members) <= set(_REQUEST)
    for name, member in members.items():
        mine = {key: value for key, value in member.items() if key not in ("documentation", "shape")}
        assert mine == {key: _REQUEST[name].get(key) for key in mine}, name
    assert set(_SHAPES[members["InvocationType"]["shape"]]["enum"]) == {"RequestResponse", "DryRun"}
    for refused in ({"invocation_type": "Event"}, {"durable_execution_name": "n"}):
        with pytest.raises(InvalidRequest, match="option stream is not for"):
            parse_options(json.dumps({"stream": True, **refused}))


def test_a_stream_is_asked_for_where_the_model_has_it_and_its_events_are_known() -> None:
    version, operation = lambda_api._STREAM
    assert _STREAM["http"]["requestUri"] == f"/{version}/functions/{{FunctionName}}/{operation}"
    answer = _SHAPES[_STREAM["output"]["shape"]]
    assert set(answer["members"]) == {
        "StatusCode",
        "ExecutedVersion",
        "EventStream",
        "ResponseStreamContentType",
    }
    events = _SHAPES[answer["members"]["EventStream"]["shape"]]["members"]
    assert set(events) == {"PayloadChunk", "InvokeComplete"}
    completion = _SHAPES[events["InvokeComplete"]["shape"]]["members"]
    assert set(completion) == set(response_stream._Completion.__struct_fields__)


# ---- errors ----


def test_every_error_that_a_call_is_repeated_after_is_one_of_invokes() -> None:
    assert RETRYABLE <= _ERRORS


def test_each_reason_to_throttle_is_believed() -> None:
    reasons = _SHAPES["ThrottleReason"]["enum"]
    assert _SHAPES["TooManyRequestsException"]["members"]["Reason"] == {"shape": "ThrottleReason"}
    for reason in reasons:
        with pytest.raises(Exception, match=rf": TooManyRequestsException: Rate Exceeded\. \({reason}\)$"):
            read_answer(429, "", {}, json.dumps({**THROTTLED, "Reason": reason}).encode())
    sources = "".join(path.read_text() for path in (PACKAGE / "local").glob("*.py"))
    assert set(re.findall(r"\w+LimitExceeded", sources)) <= set(reasons)


THROTTLED = {"__type": "TooManyRequestsException", "message": "Rate Exceeded."}


@pytest.mark.parametrize(
    "error",
    [
        local_errors.not_found("f"),
        local_errors.invalid_parameter("m"),
        local_errors.invalid_content("m"),
        local_errors.too_large("m"),
        local_errors.throttled("CallerRateLimitExceeded"),
        local_errors.broken_function(local_errors.FunctionConfigError("m")),
        local_errors.service_error("m"),
    ],
    ids=lambda error: error.code,
)
def test_the_local_lambdas_errors_are_invokes(error: local_errors.ApiError) -> None:
    shape = _SHAPES[error.code]
    assert error.code in _ERRORS
    assert shape["error"]["httpStatusCode"] == error.status
    assert set(json.loads(error.body())) <= set(shape["members"])

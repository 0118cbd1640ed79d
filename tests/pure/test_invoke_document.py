"""The document of lambda_invoke, and the texts of AWS's errors, made in this process.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.support.answered import answered
from tests.support.invoker_client import REQUEST_RESPONSE
from tests.support.results import payload_in_document, result

from lambda_sidecar.access.function_name import Defaults
from lambda_sidecar.access.rules import AccessRules
from lambda_sidecar.access.settings import AccessSettings
from lambda_sidecar.aws.answer import InvocationResult, function_error_sentence, read_answer
from lambda_sidecar.aws.credentials import PlaceholderCredentials
from lambda_sidecar.calls.call import Outcome
from lambda_sidecar.calls.lambda_invoke import document, parse_options
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.concurrency.slots import Concurrency
from lambda_sidecar.contract.message import MESSAGE_MAX, RESULT_MAX, Request
from lambda_sidecar.contract.service import LambdaInvoker
from lambda_sidecar.errors import MESSAGE_MAX as TEXT_MAX
from lambda_sidecar.errors import ApiError, InvalidRequest
from lambda_sidecar.quotas import RESPONSE_MAX
from lambda_sidecar.text.json_text import STRING_STEP
from lambda_sidecar.text.pacer import at_once


def test_a_number_of_any_length_stays_a_number() -> None:
    made = at_once(document(result(b"1" * 4301), RESULT_MAX))
    assert b'"Payload": %s, "' % (b"1" * 4301) in made


def test_a_log_tail_of_any_bytes_is_text() -> None:
    made = json.loads(at_once(document(result(b"1", log_tail=b'"\xff\n\x00'), RESULT_MAX)))
    assert made["LogResult"] == '"\ufffd\n\x00'


def test_a_large_result_that_is_no_json_is_made_a_string_in_pieces() -> None:
    work = document(result(b"\n" * 3_000_000), RESULT_MAX)
    assert sum(1 for _ in work) >= 3_000_000 // STRING_STEP
    assert payload_in_document(b"\n" * 3_000_000) == "\n" * 3_000_000


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": b"\n" * 4_000_000},
        {"payload": b'"' + b"x" * (RESPONSE_MAX - 2) + b'"', "log_tail": b"\x01" * 20_000},
    ],
    ids=["a string that grows", "a log tail that grows"],
)
def test_a_document_that_no_message_could_hold_is_refused_with_the_request_id(fields: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match=r"ResponseTooLarge: the function has run, but its result of \d+ bytes"
    ) as raised:  # fmt: skip
        at_once(document(result(**fields), RESULT_MAX))
    assert (raised.value.code, raised.value.request_id) == ("ResponseTooLarge", "r-1")


def test_the_largest_result_fits_into_a_document_and_into_a_message() -> None:
    payload = b'"' + b"x" * (RESPONSE_MAX - 2) + b'"'
    made = at_once(document(result(payload, log_tail=b"x" * 4096), RESULT_MAX))
    assert len(made) <= RESULT_MAX < MESSAGE_MAX


def test_a_result_that_no_message_could_hold_is_a_failure_that_is_counted() -> None:
    """No endpoint can answer so much: the HTTP client stops reading. It is looked at all the same."""
    defaults = Defaults(partitions={"us-east-1": "aws"}, region="us-east-1", account_id="123456789012")
    policy = Policy(defaults, AccessRules(AccessSettings(), defaults))

    async def invoke(*_: object) -> InvocationResult:
        return result(b"1" * RESPONSE_MAX, log_tail=b"x" * (MESSAGE_MAX - RESPONSE_MAX))

    async def main() -> Pipeline:
        pipeline = Pipeline(invoke, PlaceholderCredentials(), policy, Concurrency(10, None))
        service = LambdaInvoker(pipeline)
        request = Request(function="f", payload=b"1", timeout_ms=20_000, invocation_type=REQUEST_RESPONSE)
        response = await answered(service, request)
        assert response.error.code == "ResponseTooLarge"
        assert response.ByteSize() < 1000
        return pipeline

    assert asyncio.run(main()).traffic.totals()[Outcome.API] == 1


def test_client_context_is_sent_as_it_was_written_but_for_spaces() -> None:
    context = '{"custom" : {"a": 1e400, "b": 1.10, "c": "ключ \\ud83d\\ude00"} }'
    options = parse_options(f'{{"client_context": {context}}}')
    assert options.client_context == '{"custom":{"a":1e400,"b":1.10,"c":"ключ \\ud83d\\ude00"}}'


TENANT = "option tenant_id must have 1 to 256 of letters, digits, space and ._:/=+-@"
DURABLE = "option durable_execution_name must have 1 to 64 of letters, digits, - and _"


@pytest.mark.parametrize("name", ["tenant_id", "durable_execution_name"])
@pytest.mark.parametrize("value", ["a", "Tenant-7_b", "9" * 64])
def test_a_tenant_and_a_durable_name_are_taken_as_they_are(name: str, value: str) -> None:
    assert getattr(parse_options(json.dumps({name: value})), name) == value


def test_of_a_durable_name_that_stands_twice_or_under_an_escaped_name_the_last_one_counts() -> None:
    for text, name in (
        ('{"durable_execution_name": "a", "durable_execution_name": "b"}', "b"),
        ('{"durable_execution_name": "a", "durable\\u005fexecution_name": "b"}', "b"),
        ('{"durable\\u005fexecution_name": "order-\\u0031"}', "order-1"),
    ):
        assert parse_options(text).durable_execution_name == name


@pytest.mark.parametrize("value", [" ", "a b", "/:=+@.", "t" * 256], ids=lambda value: value[:8])
def test_a_tenant_has_what_lambda_takes_beside_letters_and_digits(value: str) -> None:
    assert parse_options(json.dumps({"tenant_id": value})).tenant_id == value


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("tenant_id", "t" * 257, TENANT),
        ("tenant_id", "é", TENANT),
        ("tenant_id", "a\r\nx-amz-other: 1", TENANT),
        ("tenant_id", "a\n", TENANT),
        ("tenant_id", "", "option tenant_id must be a string that is not empty"),
        ("tenant_id", 7, "option tenant_id must be a string that is not empty"),
        ("durable_execution_name", "d" * 65, DURABLE),
        ("durable_execution_name", "a b", DURABLE),
        ("durable_execution_name", "a.b", DURABLE),
        ("durable_execution_name", "a\n", DURABLE),
        ("durable_execution_name", None, "option durable_execution_name must be a string that is not empty"),
    ],
)
def test_a_wrong_tenant_or_durable_name_is_an_error_that_says_what_is_taken(
    name: str, value: Any, expected: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_options(json.dumps({name: value}))
    assert raised.value.text == expected


# ---- error documents ----


def sentence(body: bytes) -> str:
    return at_once(function_error_sentence(result(body, function_error="Unhandled")))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"errorType": "E", "errorMessage": "m"}', "Unhandled: E: m"),
        (b'{"errorMessage": null, "errorType": 5}', "Unhandled: 5"),
        (b'{"errorMessage": {"a": [1]}, "errorType": ""}', 'Unhandled: {"a": [1]}'),
        (b'{"errorMessage": "one\\ntwo\\u001b\\u202e"}', r"Unhandled: one\ntwo\x1b\u202e"),
        (rb'{"errorType": "\ud800", "errorMessage": "\ud83d\ude00\udfff\u00e9"}', "Unhandled: ?: 😀?é"),
        (b'{"stackTrace": [NaN], "errorMessage": "m"}', "Unhandled"),
        (b"[1]", "Unhandled"),
        (b"[" * 100_000, "Unhandled"),
        (b"", "Unhandled"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_an_error_document_of_any_form_becomes_one_sentence_on_one_line(body: bytes, text: str) -> None:
    assert sentence(body) == text


@pytest.mark.parametrize("unit", ["x", "é", "😀", r"\u0041", r"\ud83d\ude00", r"\\", r"\"", r"\n"])
@pytest.mark.parametrize("shift", range(4))
def test_a_long_message_is_cut_between_two_characters(unit: str, shift: int) -> None:
    message = "x" * shift + unit * 100_000
    body = f'{{"errorType": "E", "errorMessage": "{message}"}}'.encode()
    whole = json.loads(f'"{message[: shift + len(unit) * 250]}"').replace("\n", r"\n")
    told = sentence(body).removeprefix("Unhandled: E: ")
    assert whole.startswith(told)
    assert 190 <= len(told.replace(r"\n", "n").encode()) <= 200


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({}, b'{"__type": "com.aws#ResourceNotFoundException"}', "ResourceNotFoundException"),
        ({}, b'{"code": "Odd:http://x"}', "Odd"),
        ({}, b'{"code": 42}', "42"),
        ({"x-amzn-errortype": "A_b.C1:x"}, b"{}", "A_b.C1"),
        ({"x-amzn-errortype": "Bad\x1b[31m"}, b"{}", "Bad"),
        ({"x-amzn-errortype": "\udcff"}, b"{}", "HTTP 400"),
        ({}, b'{"__type": "%s"}' % (b"x" * 3_000_000), "x" * 100),
        ({}, b'{"message": "m"}', "HTTP 400"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_an_api_errors_name_is_a_name_and_short(headers: dict[str, str], body: bytes, code: str) -> None:
    with pytest.raises(ApiError) as raised:
        read_answer(400, "Bad Request", headers, body)
    assert raised.value.code == code
    assert len(raised.value.text) < 600


LIMIT = "ReservedFunctionConcurrentInvocationLimitExceeded"


@pytest.mark.parametrize(
    ("headers", "fields", "message"),
    [
        ({}, {"message": "Rate Exceeded.", "Reason": LIMIT}, f"Rate Exceeded. ({LIMIT})"),
        ({"reason": LIMIT}, {"message": "Rate Exceeded."}, f"Rate Exceeded. ({LIMIT})"),
        ({"reason": "Other"}, {"message": "Rate Exceeded.", "Reason": LIMIT}, f"Rate Exceeded. ({LIMIT})"),
        ({}, {"Reason": LIMIT}, f"Too Many Requests ({LIMIT})"),
        ({}, {"message": f"Rate Exceeded: {LIMIT}", "Reason": LIMIT}, f"Rate Exceeded: {LIMIT}"),
        ({}, {"message": "x" * 1000, "Reason": LIMIT}, f"{'x' * (TEXT_MAX - len(LIMIT) - 3)} ({LIMIT})"),
        ({}, {"message": "m", "Reason": "x" * 64}, f"m ({'x' * 64})"),
        ({}, {"message": "m", "Reason": "x" * 65}, "m"),
        ({}, {"message": "m", "Reason": "x" * 3_000_000}, "m"),
        ({}, {"message": "m", "Reason": "a b"}, "m"),
        ({}, {"message": "m", "Reason": "a\x1b[31m"}, "m"),
        ({}, {"message": "m", "Reason": ["a"]}, "m"),
        ({}, {"message": "m", "Reason": None}, "m"),
        ({}, {"message": "m", "Reason": ""}, "m"),
        ({"reason": "\udcff"}, {"message": "m"}, "m"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_which_limit_throttles_stands_behind_the_message_if_it_is_a_plain_word(
    headers: dict[str, str], fields: dict[str, Any], message: str
) -> None:
    body = json.dumps({"__type": "TooManyRequestsException", **fields}).encode()
    with pytest.raises(ApiError) as raised:
        read_answer(429, "Too Many Requests", headers, body)
    assert raised.value.text == f"Lambda API returned error: TooManyRequestsException: {message}"


def test_only_what_throttles_has_a_reason() -> None:
    body = json.dumps({"__type": "ServiceException", "message": "m", "Reason": LIMIT}).encode()
    with pytest.raises(ApiError) as raised:
        read_answer(500, "", {"reason": LIMIT}, body)
    assert raised.value.text == "Lambda API returned error: ServiceException: m"

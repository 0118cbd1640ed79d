"""lambda_invoke(function, payload, options): every option, good and bad, and every field of its document.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import mysql.connector
import pytest
from tests.support.account import ARN
from tests.support.stack import Stack

FIELDS = [
    "StatusCode",
    "Payload",
    "ExecutedVersion",
    "LogResult",
    "FunctionError",
    "RequestId",
    "DurableExecutionArn",
]


def invoke(stack: Stack, function: str, payload: Any, options: Any = None) -> dict[str, Any]:
    """Runs it; the document, whose fields are in their order."""
    text = stack.value(
        "SELECT lambda_invoke(%s, %s, %s)",
        (function, json.dumps(payload), None if options is None else json.dumps(options)),
    )
    document: dict[str, Any] = json.loads(text)
    assert list(document) == FIELDS
    return document


def error_of(stack: Stack, options: str, function: str = "Echo") -> str:
    with pytest.raises(mysql.connector.Error) as raised:
        stack.query("SELECT lambda_invoke(%s, '1', %s)", (function, options))
    assert (raised.value.errno, raised.value.sqlstate) == (3200, "HY000")
    assert raised.value.msg is not None
    return raised.value.msg.removeprefix("lambda_invoke UDF failed; ")


def test_the_document_holds_everything_that_lambda_says(stack: Stack) -> None:
    document = invoke(stack, "Echo", {"a": [1, "é🐬"]})
    (call,) = stack.record.calls("Echo")
    assert document == {
        "StatusCode": 200,
        "Payload": {"a": [1, "é🐬"]},
        "ExecutedVersion": "$LATEST",
        "LogResult": None,
        "FunctionError": None,
        "RequestId": call["request_id"],
        "DurableExecutionArn": None,
    }


def test_the_options_may_be_left_out_or_null(stack: Stack) -> None:
    assert json.loads(stack.value("SELECT lambda_invoke('Echo', '1')"))["Payload"] == 1
    assert json.loads(stack.value("SELECT lambda_invoke('Echo', '1', NULL)"))["Payload"] == 1


def test_json_functions_reach_into_the_document(stack: Stack) -> None:
    sql = "SELECT JSON_VALUE(lambda_invoke('Echo', '{\"n\": 7}', JSON_OBJECT('log_type', 'Tail')), '$.Payload.n')"
    assert stack.value(sql) == "7"


def test_an_event_is_accepted(stack: Stack) -> None:
    document = invoke(stack, "Echo", 1, {"invocation_type": "Event"})
    assert (document["StatusCode"], document["Payload"]) == (202, None)
    assert [call["invocation_type"] for call in stack.record.calls("Echo")] == ["Event"]


def test_a_dry_run_invokes_nothing(stack: Stack) -> None:
    document = invoke(stack, "Echo", 1, {"invocation_type": "DryRun"})
    assert (document["StatusCode"], document["Payload"]) == (204, None)
    assert [call["outcome"] for call in stack.record.calls("Echo")] == ["dry_run"]


def test_the_log_tail_comes_decoded(stack: Stack) -> None:
    document = invoke(stack, "Echo", 1, {"log_type": "Tail"})
    assert document["LogResult"].startswith(f"START RequestId: {document['RequestId']}")
    assert invoke(stack, "Echo", 1, {"log_type": "None"})["LogResult"] is None


def test_a_function_error_is_a_field_and_never_raises(stack: Stack) -> None:
    document = invoke(stack, "Raise", {"message": "why"}, {"log_type": "Tail"})
    assert (document["StatusCode"], document["FunctionError"]) == (200, "Unhandled")
    assert document["Payload"]["errorMessage"] == "why"


def test_region_and_qualifier_complete_the_name(stack: Stack) -> None:
    invoke(stack, "Echo", 1, {"region": "eu-west-1", "qualifier": "live"})
    (call,) = stack.record.calls("Echo")
    assert call["invoked_arn"] == "arn:aws:lambda:eu-west-1:123456789012:function:Echo:live"
    assert invoke(stack, f"{ARN}Echo:live", 1, {"region": "us-east-1", "qualifier": "live"})["Payload"] == 1
    assert invoke(stack, f"{ARN}Echo", 1, {"qualifier": "$LATEST.PUBLISHED"})["Payload"] == 1


def test_the_client_context_reaches_the_function(stack: Stack) -> None:
    assert invoke(stack, "Echo", 1, {"client_context": {"custom": {"k": "ключ"}}})["Payload"] == 1


def test_timeout_ms_ends_the_call(stack: Stack) -> None:
    began = time.monotonic()
    with pytest.raises(mysql.connector.Error, match="lambda_invoke UDF failed; timed out after 300 ms"):
        stack.query("""SELECT lambda_invoke('Sleep', '{"seconds": 30}', '{"timeout_ms": 300}')""")
    assert time.monotonic() - began < 2


LONG_CONTEXT = json.dumps({"client_context": {"k": "x" * 3000}})
LONG_CONTEXT_BYTES = len(base64.b64encode(json.dumps({"k": "x" * 3000}, separators=(",", ":")).encode()))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("", "options are empty; a JSON object is expected, {} at least"),
        ("{", "options are not JSON: unexpected end at byte 1"),
        ('{"timeout_ms": NaN}', "options are not JSON: NaN is not a JSON number at byte 15"),
        ('{"qualifier": "\\ud800", "region": "x"}', "options are not JSON: half a surrogate pair at byte 21"),
        ("[" * 16_000, "options are not JSON that can be checked: nested too deeply"),
        ("[]", "options must be a JSON object"),
        ('"x"', "options must be a JSON object"),
        (
            '{"invocationType": "Event"}',
            "unknown option 'invocationType'; known are client_context, durable_execution_name,"
            " invocation_type, log_type, qualifier, region, role, stream, tenant_id, timeout_ms, traceparent",
        ),
        (
            '{"invocation_type": "event"}',
            "option invocation_type must be one of RequestResponse, Event, DryRun",
        ),
        ('{"invocation_type": 1}', "option invocation_type must be a string that is not empty"),
        ('{"log_type": "All"}', "option log_type must be one of None, Tail"),
        ('{"log_type": null}', "option log_type must be a string that is not empty"),
        ('{"region": ""}', "option region must be a string that is not empty"),
        (
            '{"region": "us-nowhere-1"}',
            "unknown region 'us-nowhere-1': not one that the AWS SDK knows for Lambda",
        ),
        (
            '{"qualifier": "a/b"}',
            "not a qualifier: a version number, an alias, $LATEST or $LATEST.PUBLISHED is expected",
        ),
        ('{"client_context": "x"}', "option client_context must be a JSON object"),
        (
            LONG_CONTEXT,
            f"option client_context has {LONG_CONTEXT_BYTES} bytes in base64, Lambda takes at most 3583",
        ),
        (
            '{"client_context": {}, "invocation_type": "Event"}',
            "option client_context is only for invocation_type RequestResponse",
        ),
        ('{"timeout_ms": 0}', "option timeout_ms must be a whole number from 1 to 86400000"),
        ('{"timeout_ms": 1.5}', "option timeout_ms must be a whole number from 1 to 86400000"),
        ('{"timeout_ms": true}', "option timeout_ms must be a whole number from 1 to 86400000"),
        ('{"timeout_ms": "5"}', "option timeout_ms must be a whole number from 1 to 86400000"),
        ('{"timeout_ms": %s}' % ("1" * 5000), "option timeout_ms must be a whole number from 1 to 86400000"),
        ('{"role": 5}', "option role must be a string that is not empty"),
        (" " * 16_385, "options too long: 16385 bytes, at most 16384 are allowed"),
    ],
    ids=lambda value: value[:40],
)
def test_a_wrong_option_is_named_and_nothing_is_sent(stack: Stack, options: str, text: str) -> None:
    assert error_of(stack, options) == text
    assert stack.record.count() == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            '{"region": "eu-west-1"}',
            "region 'eu-west-1' disagrees with the function's ARN, which says 'us-east-1'",
        ),
        ('{"qualifier": "2"}', "qualifier '2' disagrees with the function's, which is '1'"),
    ],
)
def test_an_option_that_disagrees_with_the_arn_is_refused(stack: Stack, options: str, text: str) -> None:
    assert error_of(stack, options, f"{ARN}Echo:1") == text
    assert stack.record.count() == 0


def test_options_in_bytes_that_are_no_text_are_refused(stack: Stack) -> None:
    with pytest.raises(mysql.connector.Error, match="options are not JSON: they are not UTF-8"):
        stack.query("SELECT lambda_invoke('Echo', '1', _binary X'FF')")


def test_an_event_may_have_1_mb_and_a_request_6_mb(stack: Stack) -> None:
    sql = "SELECT lambda_invoke('Echo', CONCAT('\"', REPEAT('x', 1048575), '\"'), %s)"
    with pytest.raises(mysql.connector.Error, match="payload too large: it has 1048577 bytes"):
        stack.query(sql, ('{"invocation_type": "Event"}',))
    assert len(json.loads(stack.value(sql, ("{}",)))["Payload"]) == 1_048_575


def test_a_wrong_number_of_arguments_names_the_right_call(stack: Stack) -> None:
    with pytest.raises(mysql.connector.Error) as raised:
        stack.query("SELECT lambda_invoke('Echo')")
    usage = "lambda_invoke(function, payload[, options]) takes 2 or 3 arguments, 1 given"
    assert (raised.value.errno, raised.value.msg) == (
        1123,
        f"Can't initialize function 'lambda_invoke'; {usage}",
    )

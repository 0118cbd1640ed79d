"""A look at a durable execution, and the end of a callback: what Lambda is asked, by whose rules, and what comes back.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from tests.pure.test_trace import GOOD, TRACE_ID
from tests.support.aws_sidecar import AwsSidecar, aws_sidecar
from tests.support.lambda_endpoint import Answer, Handler, hangs_up, resets, says

from lambda_udf.v1 import invoker_pb2

LOOK = invoker_pb2.INVOCATION_TYPE_EXECUTION
SUCCEED = invoker_pb2.INVOCATION_TYPE_CALLBACK_SUCCESS
FAIL = invoker_pb2.INVOCATION_TYPE_CALLBACK_FAILURE
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:Order"
ARN = f"{FUNCTION}:$LATEST/durable-execution/order-17/7b9c"
ID = "Ab3+/x9=="
OK = says(200, b"{}", x_amzn_RequestId="r-1")
EXECUTION: dict[str, Any] = {
    "DurableExecutionArn": ARN,
    "DurableExecutionName": "order-17",
    "FunctionArn": FUNCTION,
    "InputPayload": '{"order": 17}',
    "Result": '{"done": "\\u00e9"}',
    "Error": {"ErrorType": "E", "ErrorMessage": "m", "ErrorData": '{"a": 1}', "StackTrace": ["a", "b"]},
    "StartTimestamp": 1764140400.123,
    "EndTimestamp": 1764140401,
    "Status": "SUCCEEDED",
    "Version": "$LATEST",
    "TraceHeader": {"XAmznTraceId": "Root=1"},
    "ExecutionDataIncluded": True,
    "DurableConfig": {"RetentionPeriodInDays": 1, "ExecutionTimeout": 60},
}
FOUND = says(200, json.dumps(EXECUTION).encode(), x_amzn_RequestId="r-1")
THROTTLED = says(429, b'{"message": "m"}', x_amzn_ErrorType="TooManyRequestsException")
GONE = says(404, b'{"Message": "no such callback"}', x_amzn_ErrorType="ResourceNotFoundException")


def bodies(into: list[bytes], answer: Answer) -> Answer:
    """Notes what came."""

    def reply(handler: Handler) -> None:
        into.append(handler.body)
        answer(handler)

    return reply


def test_the_trace_of_a_look_is_in_the_log_and_in_no_header(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, GONE) as aws:
        assert aws.stream.ask(ARN, b"", invocation_type=LOOK, traceparent=GOOD).HasField("error")
        assert "x-amzn-trace-id" not in aws.endpoint.headers[0]
        aws.sidecar.stop()
        assert TRACE_ID in aws.sidecar.log_text()


def test_an_execution_is_one_document_with_every_field_of_the_api(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, FOUND) as aws:
        result = aws.stream.ask(ARN, b"", invocation_type=LOOK).result
        path, _, query = aws.endpoint.paths[0].partition("?")
        assert unquote(path) == f"/2025-12-01/durable-executions/{ARN}"
        assert query == "IncludeExecutionData=true"
        assert "Credential=AKIDBASE/" in aws.endpoint.headers[0]["authorization"]
    times = {"StartTimestamp": "2025-11-26T07:00:00.123Z", "EndTimestamp": "2025-11-26T07:00:01.000Z"}
    assert json.loads(result.payload) == EXECUTION | times
    assert (result.status_code, result.request_id) == (200, "r-1")


def test_a_result_leaves_as_it_is_and_an_error_as_an_object(tmp_path: Path) -> None:
    came: list[bytes] = []
    with aws_sidecar(tmp_path, bodies(came, OK)) as aws:
        for payload in (b'{"a": 1}', b"plain \xff bytes", b""):
            result = aws.stream.ask(ID, payload, invocation_type=SUCCEED).result
            assert (result.status_code, result.request_id, result.payload) == (200, "r-1", b"")
            assert came.pop() == payload
        assert (
            aws.endpoint.paths[0] == f"/2025-12-01/durable-execution-callbacks/{quote(ID, safe='')}/succeed"
        )
        whole = {"ErrorType": "Denied", "ErrorMessage": "é", "ErrorData": "{}", "StackTrace": ["1"]}
        for payload, sent in [
            (json.dumps(whole).encode(), whole),
            (b"no, \xc3\xa9", {"ErrorMessage": "no, é"}),
            (b'"text"', {"ErrorMessage": '"text"'}),
            (b"[" * 100_000, {"ErrorMessage": "[" * 100_000}),
            (b"{}", {}),
            (b' {"StackTrace": [' + b'"",' * 999 + b'""]}', {"StackTrace": [""] * 1000}),
            (b'{"ErrorData": ' + b"[" * 10_000, {"ErrorMessage": '{"ErrorData": ' + "[" * 10_000}),
            (b'{"ErrorData": "x"', {"ErrorMessage": '{"ErrorData": "x"'}),
        ]:
            assert aws.stream.ask(ID, payload, invocation_type=FAIL).HasField("result")
            assert json.loads(came.pop() or b"{}") == sent
        assert aws.endpoint.paths[-1].endswith("/fail")


@pytest.mark.parametrize(
    ("kind", "subject", "payload", "options", "text"),
    [
        (LOOK, FUNCTION, b"", "", "not a durable execution's ARN"),
        (LOOK, ARN + "\n", b"", "", "not a durable execution's ARN"),
        (LOOK, ARN + "x" * 1024, b"", "", "not a durable execution's ARN"),
        (LOOK, ARN.replace("us-east-1", "us-mars-1"), b"", "", "unknown region"),
        (SUCCEED, "", b"1", "", "not a callback's id"),
        (SUCCEED, "a b", b"1", "", "not a callback's id"),
        (SUCCEED, "a" * 1025, b"1", "", "not a callback's id"),
        (SUCCEED, ID, b"x" * 1_048_577, "", "payload too large: it has 1048577 bytes"),
        (SUCCEED, ID, b"1", "[]", "options must be a JSON object"),
        (SUCCEED, ID, b"1", "{", "options are not JSON"),
        (
            SUCCEED,
            ID,
            b"1",
            '{"tenant_id": "x"}',
            "unknown option 'tenant_id'; known are function, region, role",
        ),
        (SUCCEED, ID, b"1", '{"function": 1}', "option function must be a string that is not empty"),
        (SUCCEED, ID, b"1", '{"function": "a b"}', "not a function name or ARN"),
        (FAIL, ID, b'{"Error": "x"}', "", "unknown member 'Error' of the error"),
        (FAIL, ID, b'{"ErrorData": {}}', "", "member ErrorData of the error must be a string"),
        (FAIL, ID, b'{"StackTrace": "x"}', "", "member StackTrace of the error must be an array of at most"),
        (FAIL, ID, b'{"StackTrace": [1]}', "", "must be an array of at most 1000 strings"),
        (
            FAIL,
            ID,
            b'{"StackTrace": [' + b'"",' * 1000 + b'""]}',
            "",
            "must be an array of at most 1000 strings",
        ),
        (FAIL, ID, b"\xff", "", "payload is not UTF-8"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_sent(
    shared: AwsSidecar, kind: int, subject: str, payload: bytes, options: str, text: str
) -> None:
    shared.endpoint.paths.clear()
    assert text in shared.stream.error(subject, payload, invocation_type=kind, callback_options_json=options)
    assert shared.endpoint.paths == []


@pytest.fixture(scope="module", name="shared")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with aws_sidecar(tmp_path_factory.mktemp("durable")) as aws:
        yield aws


@pytest.mark.parametrize(
    ("kind", "first", "attempts"),
    [
        (LOOK, hangs_up, 2), (LOOK, says(500, b"{}"), 2), (LOOK, THROTTLED, 2), (LOOK, GONE, 1),
        (LOOK, resets, 2), (SUCCEED, resets, 1), (FAIL, resets, 1),
        (SUCCEED, hangs_up, 1), (SUCCEED, says(500, b"{}"), 1), (SUCCEED, THROTTLED, 2), (FAIL, GONE, 1),
    ],
)  # fmt: skip
def test_a_look_is_repeated_and_a_callback_only_where_it_was_not_taken(
    shared: AwsSidecar, kind: int, first: Answer, attempts: int
) -> None:
    shared.endpoint.answers[:] = [first, FOUND if kind == LOOK else OK]
    shared.endpoint.paths.clear()
    response = shared.stream.ask(ARN if kind == LOOK else ID, b"1", invocation_type=kind)
    assert len(shared.endpoint.paths) == attempts
    assert response.HasField("result") == (attempts == 2)
    if first is GONE:
        assert response.error.code == "ResourceNotFoundException"
        if kind == FAIL:
            assert response.error.message.endswith("ResourceNotFoundException: no such callback")
    if first in (hangs_up, resets) and kind != LOOK:
        assert "may have been carried out" in response.error.message


@pytest.mark.parametrize(("fault", "most"), [(resets, 6), (hangs_up, 6), (says(500, b"{}"), 3)])
def test_a_look_has_three_attempts_each_of_two_requests_at_most_where_connections_break(
    shared: AwsSidecar, fault: Answer, most: int
) -> None:
    shared.endpoint.answers[:] = [fault]
    shared.endpoint.paths.clear()
    assert shared.stream.ask(ARN, b"", invocation_type=LOOK).HasField("error")
    assert 3 <= len(shared.endpoint.paths) <= most


def test_the_executions_function_decides_and_an_id_needs_one_that_is_named(tmp_path: Path) -> None:
    allow = [{"account": "app@%", "function": "Order"}, {"account": "all@%", "function": "*"}]
    everyone = invoker_pb2.Caller(user="all", host="%")
    with aws_sidecar(tmp_path, FOUND, allow=allow) as aws:
        ask = aws.stream.ask
        assert ask(ARN, b"", invocation_type=LOOK).HasField("result")
        other = aws.stream.error(ARN.replace(":Order:", ":Other:"), b"", invocation_type=LOOK)
        assert other.startswith("AccessDenied: account 'app'@'%' may not invoke ")
        text = aws.stream.error(ID, b"1", invocation_type=SUCCEED)
        assert text == (
            "AccessDenied: account 'app'@'%' may not invoke every function: name it in the options"
        )
        named = {"invocation_type": SUCCEED, "callback_options_json": '{"function": "Order"}'}
        assert ask(ID, b"1", **named).HasField("result")
        assert "may not invoke" in aws.stream.error(
            ID, b"1", invocation_type=SUCCEED, callback_options_json='{"function": "Other"}'
        )
        assert ask(ID, b"1", invocation_type=SUCCEED, caller=everyone).HasField("result")
        assert len(aws.endpoint.paths) == 3


def test_each_request_is_signed_by_the_role_that_the_rules_give(tmp_path: Path) -> None:
    roles = [
        {"account": "app@%", "function": "Order", "role": "arn:aws:iam::123456789012:role/order"},
        {"account": "all@%", "function": "*", "role": "arn:aws:iam::123456789012:role/all"},
    ]
    everyone = invoker_pb2.Caller(user="all", host="%")
    with aws_sidecar(tmp_path, FOUND, role_rules=roles) as aws:
        assert aws.stream.ask(ARN, b"", invocation_type=LOOK).HasField("result")
        assert aws.stream.ask(ID, b"1", invocation_type=SUCCEED, caller=everyone).HasField("result")
        signed = aws.signed_by()
        assert len(set(signed)) == 2
        assert "AKIDBASE" not in signed
        text = aws.stream.error(ID, b"1", invocation_type=SUCCEED)
        assert (
            text
            == "AccessDenied: the role of account 'app'@'%' depends on the function: name it in the options"
        )


def test_neither_ids_nor_results_are_logged_and_a_call_has_its_line(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, OK) as aws:
        aws.stream.ask("canary4id", b"canary-result", invocation_type=SUCCEED)
        aws.endpoint.answers[:] = [says(400, b'{"message": "canary4id"}')]
        aws.stream.ask("canary4id", b'{"ErrorData": "canary-data"}', invocation_type=FAIL)
        aws.stream.ask("canary4id\n", b"canary-result", invocation_type=FAIL)
        aws.sidecar.stop()
        log = aws.sidecar.log_text()
    assert "canary" not in log
    assert "type=SendDurableExecutionCallbackSuccess outcome=success" in log
    assert "type=SendDurableExecutionCallbackFailure outcome=api" in log


def test_a_document_that_no_message_holds_is_an_error_and_the_stream_goes_on(tmp_path: Path) -> None:
    huge = says(200, json.dumps(EXECUTION | {"Result": "x" * 6_400_000}).encode())
    with aws_sidecar(tmp_path, huge, FOUND) as aws:
        error = aws.stream.ask(ARN, b"", invocation_type=LOOK).error
        assert error.code == "ResponseTooLarge"
        assert aws.stream.ask(ARN, b"", invocation_type=LOOK).HasField("result")


def test_what_is_no_answer_of_lambda_is_an_error(shared: AwsSidecar) -> None:
    page = says(200, b"<html>", Content_Type="text/html")
    for answer in (
        page,
        says(200, b"<html>"),
        says(204),
        says(302),
        says(200, b'{"Status": ["x"'),
        says(200, b"{}"),
        says(200, b"[" * 100_000),
        says(200, b'{"StartTimestamp": 1e400}'),
        says(200, b'{"StartTimestamp": ' + b"9" * 400 + b"}"),
    ):
        shared.endpoint.answers[:] = [answer]
        assert "Lambda API returned error: " in shared.stream.error(ARN, b"", invocation_type=LOOK)
    for answer in (page, says(204), says(302), says(200), says(200, b"ok", Content_Type="text/plain")):
        shared.endpoint.answers[:] = [answer]
        for kind in (SUCCEED, FAIL):
            assert "Lambda API returned error: " in shared.stream.error(ID, b"", invocation_type=kind)


def test_a_callback_is_taken_by_whoever_names_a_request_or_answers_json(shared: AwsSidecar) -> None:
    """The latter is what AWS's emulator of durable executions does."""
    for answer in (
        says(200, x_amzn_RequestId="r-1"),
        says(200, b"{}", Content_Type="application/json"),
        says(200, b"{}", content_type="Application/JSON; charset=utf-8"),
    ):
        shared.endpoint.answers[:] = [answer]
        assert shared.stream.ask(ID, b"", invocation_type=SUCCEED).HasField("result")

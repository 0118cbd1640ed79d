"""lambda_invoke's document is JSON for MySQL, and as large as a message can be, whatever the function answers.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import boto3
import pytest
from tests.support.aws_sidecar import aws_sidecar
from tests.support.lambda_endpoint import says
from tests.support.results import payload_in_document, result
from tests.support.stack import Stack

from lambda_sidecar.calls.lambda_invoke import document
from lambda_sidecar.contract.message import RESULT_MAX
from lambda_sidecar.text.pacer import at_once

EMBEDDED = ["1", '"text"', " {}\n", '{"a": [1, 2.50, null]}', r'"\ud83d\ude00"', '"é"']
# Not RFC 8259's JSON, or nothing that MySQL takes for it.
AS_STRINGS = [
    "NaN", "[Infinity]", "-Infinity", r'"\ud800"', r'{"\udfff": 1}', "\ufeff{}", "<html>\n", '"', "1 2", "\x00",
    "[" * 20_000 + "]" * 20_000,
]  # fmt: skip


@pytest.mark.parametrize("payload", EMBEDDED, ids=ascii)
def test_json_is_embedded_as_it_is(stack: Stack, payload: str) -> None:
    made = at_once(document(result(payload.encode()), RESULT_MAX)).decode()
    assert f'"Payload": {payload}, "' in made
    assert stack.value("SELECT JSON_EXTRACT(%s, '$.Payload') = CAST(%s AS JSON)", (made, payload)) == 1


@pytest.mark.parametrize("payload", AS_STRINGS, ids=lambda payload: ascii(payload)[:20])
def test_anything_else_becomes_a_string_and_the_document_is_json_for_mysql(
    stack: Stack, payload: str
) -> None:
    made = at_once(document(result(payload.encode()), RESULT_MAX)).decode()
    assert stack.value("SELECT JSON_VALID(%s)", (made,)) == 1
    assert stack.value("SELECT JSON_TYPE(JSON_EXTRACT(%s, '$.Payload'))", (made,)) == "STRING"
    assert payload_in_document(payload.encode()) == payload


def test_an_answer_that_no_message_could_hold_fails_and_its_stream_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    newlines = says(200, b"\n" * 4_000_000, x_amzn_RequestId="r-9")
    small = says(200, b"NaN", x_amzn_RequestId="r-10")
    with aws_sidecar(tmp_path, newlines, newlines, small, log_level="info") as aws:
        failed = aws.stream.ask("f", options_json="{}").error
        assert failed.code == "ResponseTooLarge"
        assert "the function has run" in failed.message
        assert aws.stream.ask("f").result.payload == b"\n" * 4_000_000
        assert json.loads(aws.stream.ask("f", options_json="{}").result.payload)["Payload"] == "NaN"
        aws.sidecar.stop()
        (line,) = [line for line in aws.sidecar.log_text().splitlines() if "lambda_sidecar.call" in line]
    assert "outcome=api code=ResponseTooLarge request_id=r-9 " in line


def test_a_tenant_and_a_durable_name_reach_lambda_in_headers_that_are_signed(tmp_path: Path) -> None:
    options = {"tenant_id": "tenant 7/a", "durable_execution_name": "order-17_1"}
    with aws_sidecar(tmp_path) as aws:
        assert aws.stream.ask("f", options_json=json.dumps(options)).HasField("result")
        assert aws.stream.ask("f").HasField("result")
        with_both, without = aws.endpoint.headers
    names = ("x-amz-tenant-id", "x-amz-durable-execution-name")
    assert [with_both[name] for name in names] == ["tenant 7/a", "order-17_1"]
    assert all(name in with_both["authorization"] for name in names)
    assert not any(name in without for name in names)


def test_each_option_travels_where_botocore_sends_it_and_each_field_comes_from_where_it_reads_it(
    tmp_path: Path,
) -> None:
    arn = "arn:aws:lambda:us-east-1:123456789012:function:f.g:7/durable-execution/order-17/abc"
    answers = says(
        200,
        b"1",
        x_amzn_RequestId="r-1",
        X_Amz_Executed_Version="7",
        X_Amz_Durable_Execution_Arn=arn,
        X_Amz_Function_Error="Unhandled",
        X_Amz_Log_Result="bG9n",
    )
    asked = {
        "invocation_type": "RequestResponse",
        "log_type": "Tail",
        "client_context": {"custom": {}},
        "durable_execution_name": "order-17",
        "qualifier": "$LATEST.PUBLISHED",
        "tenant_id": "t",
    }
    with aws_sidecar(tmp_path, answers) as aws:
        made = json.loads(aws.stream.ask("f.g", options_json=json.dumps(asked)).result.payload)
        client = boto3.client(
            "lambda",
            endpoint_url=aws.endpoint.url,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )
        answered = client.invoke(
            FunctionName="arn:aws:lambda:us-east-1:123456789012:function:f.g",
            Payload=b"{}",
            InvocationType="RequestResponse",
            LogType="Tail",
            ClientContext=base64.b64encode(b'{"custom":{}}').decode(),
            DurableExecutionName="order-17",
            Qualifier="$LATEST.PUBLISHED",
            TenantId="t",
        )
        ours, theirs = aws.endpoint.headers
        assert aws.endpoint.paths[0] == aws.endpoint.paths[1]
    names = {name for name in theirs if name.startswith("x-amz-") and name != "x-amz-date"}
    assert len(names) == 5
    assert {name: ours.get(name) for name in names} == {name: theirs[name] for name in names}
    assert made == {
        "StatusCode": 200,
        "Payload": json.loads(answered["Payload"].read()),
        "ExecutedVersion": answered["ExecutedVersion"],
        "LogResult": base64.b64decode(answered["LogResult"]).decode(),
        "FunctionError": answered["FunctionError"],
        "RequestId": answered["ResponseMetadata"]["RequestId"],
        "DurableExecutionArn": answered["DurableExecutionArn"],
    }
    assert made["DurableExecutionArn"] == arn


def test_answers_with_huge_names_leave_neither_memory_nor_log_behind(tmp_path: Path) -> None:
    huge = says(400, b'{"__type": "%s", "message": "%s"}' % (b"x" * 3_000_000, b"y\\n" * 900_000))
    with aws_sidecar(tmp_path, huge) as aws:
        for _ in range(10):
            aws.stream.ask("f")
        before = resident_mb(aws.sidecar.pid)
        for _ in range(60):
            error = aws.stream.ask("f").error
        grown = resident_mb(aws.sidecar.pid) - before
        aws.sidecar.stop()
        log = aws.sidecar.log_text()
    assert (error.code, len(error.message) < 2000) == ("x" * 100, True)
    assert len(log) < 70 * 1000
    assert grown < 60, "MB; each answer had 5.7"


def resident_mb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))) // 1024

"""A call's trace on its way through the sidecar: from the contract to the header that Lambda gets, and into the log.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pure.test_trace import GOOD, MALFORMED, PARENT_ID, TRACE_ID
from tests.support.aws_sidecar import OK, AwsSidecar, aws_sidecar
from tests.support.invoker_client import open_stream
from tests.support.lambda_endpoint import says
from tests.support.stack import local_config
from tests.support.waiting import wait_until

from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess
from lambda_udf.v1 import invoker_pb2

HEADER = f"Root=1-{TRACE_ID[:8]}-{TRACE_ID[8:]};Parent={PARENT_ID};Sampled=1"
OTHER = f"00-{'ab' * 16}-{'cd' * 8}-00"
OTHER_HEADER = f"Root=1-abababab-{'ab' * 12};Parent={'cd' * 8};Sampled=0"
THROTTLED = says(429, b"{}", x_amzn_ErrorType="TooManyRequestsException")
ROW = {
    "invocation_type": invoker_pb2.INVOCATION_TYPE_ROW,
    "answer_form": invoker_pb2.ANSWER_FORM_JSON,
}


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[AwsSidecar]:
    with aws_sidecar(tmp_path) as aws:
        yield aws


def headers(aws: AwsSidecar) -> list[str | None]:
    """X-Amzn-Trace-Id of each request that came."""
    return [each.get("x-amzn-trace-id") for each in aws.endpoint.headers]


def test_a_calls_trace_reaches_lambda_and_no_other_call_has_it(aws: AwsSidecar) -> None:
    aws.stream.ask("f")
    aws.stream.ask("f", traceparent=GOOD)
    aws.stream.ask("f", traceparent=OTHER)
    aws.stream.ask("f")
    assert headers(aws) == [None, HEADER, OTHER_HEADER, None]


def test_a_trace_that_is_not_well_formed_is_none_and_never_an_error(aws: AwsSidecar) -> None:
    for text in MALFORMED:
        assert aws.stream.ask("f", traceparent=text).result.payload == b'"done"'
    assert headers(aws) == [None] * len(MALFORMED)
    aws.sidecar.stop()
    assert "trace_id" not in aws.sidecar.log_text()


@pytest.mark.parametrize(
    "fields",
    [{"invocation_type": invoker_pb2.INVOCATION_TYPE_EVENT}, ROW],
    ids=["lambda_async", "lambda_map"],
)
def test_every_way_of_invoking_carries_it(tmp_path: Path, fields: dict[str, Any]) -> None:
    answer = says(202) if "answer_form" not in fields else OK
    with aws_sidecar(tmp_path, answer) as aws:
        assert aws.stream.ask("f", traceparent=GOOD, **fields).HasField("result")
        assert headers(aws) == [HEADER]


def test_each_attempt_of_a_call_carries_it(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, THROTTLED, OK) as aws:
        aws.stream.ask("f", traceparent=GOOD)
        assert headers(aws) == [HEADER, HEADER]


def test_each_invocation_of_a_batch_carries_it(tmp_path: Path) -> None:
    batch = invoker_pb2.Batch(
        contract=invoker_pb2.BATCH_CONTRACT_REDSHIFT,
        rows=1,
        query_id="00000000-0000-4000-8000-000000000001",
        retry_service_errors=True,
    )
    answer = json.dumps({"success": True, "num_records": 1, "results": [1]}).encode()
    broken = says(500, b"{}", x_amzn_ErrorType="ServiceException")
    with aws_sidecar(tmp_path, broken, says(200, answer)) as aws:
        assert aws.stream.ask("f", b"[1]", traceparent=GOOD, batch=batch, **ROW).result.payload == b"1"
        assert headers(aws) == [HEADER, HEADER]


@pytest.mark.parametrize(
    ("value", "header"),
    [
        (json.dumps(OTHER), OTHER_HEADER),
        ("null", HEADER),
        ('""', HEADER),
        ("17", HEADER),
        (json.dumps(OTHER + "x"), HEADER),
        ("{}", HEADER),
    ],
)
def test_the_option_goes_before_the_statements_trace_if_it_is_one(
    aws: AwsSidecar, value: str, header: str
) -> None:
    options = f'{{"traceparent": {value}}}'
    kind = invoker_pb2.INVOCATION_TYPE_UNSPECIFIED
    response = aws.stream.ask("f", traceparent=GOOD, options_json=options, invocation_type=kind)
    assert json.loads(response.result.payload)["Payload"] == "done"
    assert headers(aws) == [header]


def test_the_log_names_the_trace_of_a_call_and_none_where_there_is_none(tmp_path: Path) -> None:
    refused = says(400, b'{"message": "no"}', x_amzn_ErrorType="InvalidParameterValueException")
    with aws_sidecar(tmp_path, OK, refused, log_format="json") as aws:
        aws.stream.ask("f", traceparent=GOOD)
        aws.stream.ask("f", traceparent=GOOD)
        aws.stream.ask("no/name", traceparent=GOOD)
        aws.stream.ask("f")
        aws.sidecar.stop()
        lines = [json.loads(line) for line in aws.sidecar.log_text().splitlines()]
    calls = [line for line in lines if line["logger"] == "lambda_sidecar.call"]
    assert [call["outcome"] for call in calls] == ["success", "api", "invalid", "api"]
    assert [call.get("trace_id") for call in calls] == [TRACE_ID] * 3 + [None]


def test_the_log_in_text_ends_with_it(aws: AwsSidecar) -> None:
    aws.stream.ask("f", traceparent=GOOD)
    wait_until(lambda: aws.sidecar.log_contains("call answered: "), what="the call's line")
    (line,) = [line for line in aws.sidecar.log_text().splitlines() if "call answered: " in line]
    assert line.endswith(f" trace_id={TRACE_ID}")


def test_a_function_of_the_local_lambda_finds_the_trace_where_functions_do_at_aws(tmp_path: Path) -> None:
    functions = tmp_path / "functions"
    (functions / "Trace").mkdir(parents=True)
    (functions / "Trace/lambda_function.py").write_text(
        "import os\n\n\ndef lambda_handler(event, context):\n    return os.environ['_X_AMZN_TRACE_ID']\n"
    )
    config = local_config(free_port(), functions)
    with SidecarProcess(tmp_path / "s", config) as sidecar, open_stream(sidecar.socket) as stream:
        assert json.loads(stream.ask("Trace", traceparent=GOOD).result.payload) == HEADER
        assert json.loads(stream.ask("Trace", traceparent=OTHER).result.payload) == OTHER_HEADER
        assert json.loads(stream.ask("Trace").result.payload).startswith("Root=1-")

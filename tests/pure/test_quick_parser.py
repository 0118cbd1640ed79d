"""Our parser of the SDK's answers beside botocore's own: the same of every body, and sooner.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import botocore.parsers
import botocore.session
import pytest

from lambda_sidecar.aws.durable_answer import read_result
from lambda_sidecar.aws.quick_parser import QuickParserFactory

EXECUTION = {
    "DurableExecutionArn": "arn",
    "Status": "SUCCEEDED",
    "StartTimestamp": 1764140400.123,
    "EndTimestamp": 1764140401,
    "Result": '{"a": "é\U0001f600"}',
    "Error": {"ErrorType": "E", "StackTrace": ["a", "b"]},
    "Unknown": [1, 2.5, None, True],
}
BODIES = [
    json.dumps(EXECUTION).encode(),
    json.dumps(EXECUTION, ensure_ascii=False).encode(),
    b"",
    b"{}",
    b'{"Status": "\\ud800", "Result": "\\udfff and \\ud83d\\ude00"}',
    b'{"Status": NaN}',
    b"<html>",
    b'{"Status": "x"',
    b'{"Status": "x", "Status": "y"}',
    b'{"StartTimestamp": 123456789012}',
]


def parsed(parser: Any, body: bytes, status: int) -> Any:
    service = botocore.session.get_session().get_service_model("lambda")
    shape = service.operation_model("GetDurableExecution").output_shape
    answer = {"status_code": status, "headers": {"x-amzn-RequestId": "r"}, "body": body, "context": {}}
    try:
        made = parser.parse(answer, shape)
        return asyncio.run(made) if asyncio.iscoroutine(made) else made
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_every_body_is_read_as_botocore_reads_it(body: bytes, status: int) -> None:
    ours = parsed(QuickParserFactory().create_parser("rest-json"), body, status)
    assert ours == parsed(botocore.parsers.create_parser("rest-json"), body, status)


def test_what_is_json_is_not_read_by_pythons_own_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for where botocore calls it: after a change of names there ours would never be asked."""

    def refuse(_text: str) -> None:
        raise AssertionError("too slow")

    monkeypatch.setattr(botocore.parsers.json, "loads", refuse)
    answer = parsed(QuickParserFactory().create_parser("rest-json"), BODIES[0], 200)
    assert answer["Status"] == "SUCCEEDED"


def test_half_a_surrogate_pair_is_a_question_mark_in_the_document() -> None:
    answer = parsed(QuickParserFactory().create_parser("rest-json"), BODIES[4], 200)
    assert json.loads(read_result(answer).payload) == {"Status": "?", "Result": "? and \U0001f600"}

"""lambda_batch's calls through a sidecar: how often a batch is sent, with which ids, and what its answer becomes.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.invoker_client import InvokerStream, open_stream
from tests.support.scripted_lambda import (
    FAILED,
    HANG_UP,
    NOT_FOUND,
    Answer,
    ScriptedLambda,
    answering,
    scripted_lambda,
    throttled,
)

from lambda_sidecar.testing.sidecar import SidecarProcess
from lambda_udf.v1 import invoker_pb2
from lambda_udf.v1.invoker_pb2 import (
    ANSWER_FORM_JSON,
    BATCH_CONTRACT_BIGQUERY,
    BATCH_CONTRACT_REDSHIFT,
    BATCH_CONTRACT_SNOWFLAKE,
)

QUERY = "0f8fad5b-d9cb-469f-a165-70867728950e"
ROWS = b'["a",1],["b",2]'
NUMBERED = b'[0,"a",1],[1,"b",2]'
GOOD = answering(b'{"success": true, "num_records": 2, "results": [10, {"k": null}]}')
ACCEPTED = answering(b'{"statusCode": 202}')
DONE = answering(b'{"statusCode": 200, "body": "{\\"data\\": [[0, 10], [1, null]]}"}')


@dataclass(frozen=True)
class Running:
    stream: InvokerStream
    endpoint: ScriptedLambda
    sidecar: SidecarProcess

    def ask(
        self,
        text: bytes = ROWS,
        contract: int = BATCH_CONTRACT_REDSHIFT,
        *,
        timeout_ms: int = 20_000,
        **batch: Any,
    ) -> invoker_pb2.InvokeResponse:
        fields = {"contract": contract, "rows": 2, "query_id": QUERY, "signature": "(a1 VARCHAR)", **batch}
        return self.stream.ask(
            "score",
            text,
            timeout_ms=timeout_ms,
            answer_form=ANSWER_FORM_JSON,
            batch=invoker_pb2.Batch(**fields),
        )

    def events(self) -> list[Any]:
        return [json.loads(payload) for payload in self.endpoint.payloads("score")]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with scripted_lambda() as endpoint:
        environment = {
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL_LAMBDA": endpoint.url,
        }
        config = {"region": "us-east-1", "account_id": "123456789012", "log_level": "debug"}
        sidecar = SidecarProcess(tmp_path, config, environment=environment)
        with sidecar, open_stream(sidecar.socket) as stream:
            yield Running(stream, endpoint, sidecar)


def test_a_batch_is_one_invocation_and_its_results_are_the_answer(running: Running) -> None:
    running.endpoint.answer("score", GOOD)
    assert running.ask().result.payload == b'10, {"k": null}'
    (event,) = running.events()
    assert (event["arguments"], event["num_records"]) == ([["a", 1], ["b", 2]], 2)
    assert (event["user"], event["external_function"]) == ("app@%", "score")


def test_bigquerys_contract_goes_the_same_way(running: Running) -> None:
    running.endpoint.answer("score", answering(b'{"replies": ["x", "y"]}'))
    assert running.ask(contract=BATCH_CONTRACT_BIGQUERY).result.payload == b'"x", "y"'
    (event,) = running.events()
    assert event["calls"] == [["a", 1], ["b", 2]]


def test_a_function_that_answers_202_is_asked_again_under_the_same_batch_id(running: Running) -> None:
    running.endpoint.answer("score", ACCEPTED, ACCEPTED, DONE)
    assert running.ask(NUMBERED, BATCH_CONTRACT_SNOWFLAKE).result.payload == b"10, null"
    events = running.events()
    assert [event["httpMethod"] for event in events] == ["POST", "GET", "GET"]
    assert [event["body"] is None for event in events] == [False, True, True]
    assert len({event["headers"]["sf-external-function-query-batch-id"] for event in events}) == 1


def test_a_function_that_answers_202_for_ever_times_out(running: Running) -> None:
    running.endpoint.answer("score", ACCEPTED)
    error = running.ask(NUMBERED, BATCH_CONTRACT_SNOWFLAKE, timeout_ms=500).error
    assert error.kind == invoker_pb2.ERROR_KIND_TIMEOUT
    assert error.message == "timed out after 500 ms"
    assert len(running.events()) > 1


@pytest.mark.parametrize("failure", [FAILED, HANG_UP], ids=["500", "hang up"])
def test_a_failure_of_the_service_is_not_repeated_unless_that_was_asked_for(
    running: Running, failure: Answer
) -> None:
    running.endpoint.answer("score", failure)
    assert running.ask().error.message.startswith("Lambda API returned error: ")
    assert len(running.events()) == 1


@pytest.mark.parametrize("retry_service_errors", [False, True])
def test_what_lambda_throttles_is_sent_again_within_its_time_and_not_before_its_retry_after(
    running: Running, retry_service_errors: bool
) -> None:
    running.endpoint.answer("score", throttled(), throttled(1), GOOD)
    assert running.ask(retry_service_errors=retry_service_errors).result.payload == b'10, {"k": null}'
    _, refused, taken = running.endpoint.of("score")
    assert taken.at - refused.at >= 1
    running.endpoint.answer("score", throttled(30))
    error = running.ask(retry_service_errors=retry_service_errors).error
    assert (
        error.message
        == "Lambda API returned error: TooManyRequestsException: Rate Exceeded. (ConcurrentInvocationLimitExceeded)"
    )
    assert len(running.events()) == 4


@pytest.mark.parametrize("failure", [FAILED, HANG_UP, throttled()], ids=["500", "hang up", "throttled"])
def test_with_retry_service_errors_the_same_batch_is_sent_again_until_it_succeeds(
    running: Running, failure: Answer
) -> None:
    running.endpoint.answer("score", *[failure] * 4, GOOD)
    assert running.ask(retry_service_errors=True).result.payload == b'10, {"k": null}'
    events = running.events()
    assert len(events) == 5
    assert events == [events[0]] * 5


def test_with_retry_service_errors_the_last_failure_is_reported_once_the_time_is_over(
    running: Running,
) -> None:
    running.endpoint.answer("score", FAILED)
    error = running.ask(retry_service_errors=True, timeout_ms=700).error
    failed = "Lambda API returned error: ServiceException: scripted failure"
    assert error.message == f"{failed}; the call may have been carried out", "by an attempt before"
    assert len(running.events()) > 2


@pytest.mark.parametrize(
    "answer",
    [NOT_FOUND, answering(b'{"errorMessage": "no"}', function_error="Unhandled"), answering(b"{}")],
    ids=["API error", "function error", "contract broken"],
)
def test_with_retry_service_errors_nothing_else_is_repeated(running: Running, answer: Answer) -> None:
    running.endpoint.answer("score", answer)
    running.ask(retry_service_errors=True)
    assert len(running.events()) == 1


def test_a_function_that_raised_answers_as_for_every_call(running: Running) -> None:
    body = b'{"errorType": "ValueError", "errorMessage": "bad"}'
    running.endpoint.answer("score", answering(body, function_error="Unhandled"))
    result = running.ask().result
    assert (result.function_error, result.payload) == ("Unhandled", body)
    assert result.function_error_text == "Unhandled: ValueError: bad"


def test_a_function_that_says_that_it_failed_counts_as_one_that_raised(running: Running) -> None:
    running.endpoint.answer("score", answering(b'{"success": false, "error_msg": "bad row"}'))
    result = running.ask().result
    assert result.function_error == "Handled"
    assert result.function_error_text == "success is false: bad row"
    assert json.loads(result.payload) == {"errorType": "success is false", "errorMessage": "bad row"}
    running.sidecar.stop()
    assert "outcome=function_error code=Handled" in running.sidecar.log_text()


def test_an_answer_that_breaks_the_contract_is_an_error_with_its_code(running: Running) -> None:
    running.endpoint.answer("score", answering(b'{"results": [1]}'))
    error = running.ask().error
    assert (error.kind, error.code) == (invoker_pb2.ERROR_KIND_API, "BatchAnswerInvalid")
    assert error.message.endswith("results has 1 elements for 2 rows")


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        ({"contract": 0}, "unknown batch contract 0"),
        ({"contract": 99}, "unknown batch contract 99"),
        ({"rows": 0}, "the batch has 0 rows; 1 to 100000 are expected"),
        ({"query_id": "x"}, "the batch's query id is not a UUID"),
    ],
)
def test_a_batch_that_is_none_is_refused_and_nothing_is_sent(
    running: Running, batch: dict[str, Any], text: str
) -> None:
    error = running.ask(**{"contract": BATCH_CONTRACT_REDSHIFT, **batch}).error
    assert (error.kind, error.message) == (invoker_pb2.ERROR_KIND_INVALID, text)
    assert running.events() == []


def test_rows_that_are_no_json_are_refused_and_nothing_is_sent(running: Running) -> None:
    assert "payload is not JSON" in running.ask(b"[1,2],[").error.message
    assert running.events() == []


def test_an_event_that_is_too_large_for_lambda_is_refused(running: Running) -> None:
    rows = b'["%s"]' % (b'\\"' * 2_000_000)
    assert "payload too large: it has " in running.ask(rows, BATCH_CONTRACT_SNOWFLAKE, rows=1).error.message
    assert running.events() == []

"""The events and the answers of lambda_batch's three contracts, made in this process.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Generator
from typing import Any

import pytest

from lambda_sidecar.calls.batch import bigquery, redshift, snowflake
from lambda_sidecar.calls.batch.batch import ROWS_MAX, Batch, check_rows, function_name, query_of
from lambda_sidecar.calls.batch.reading import AskAgain, FunctionRefused
from lambda_sidecar.errors import BatchAnswerInvalid, InvalidRequest
from lambda_sidecar.text.pacer import at_once

Answer = Callable[[Batch, bytes], Generator[None, None, bytes]]
QUERY = uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
ROWS = rb'[1.5,"a\"\\\u0001\u00e9"],[null,{"k": [1, 2]}],[18446744073709551615,""]'
VALUES = json.loads(b"[" + ROWS + b"]")


def batch(rows: int = 3, number: int = 0, function: str = "score") -> Batch:
    return Batch(
        rows=rows,
        query=QUERY,
        number=number,
        signature="(a1 NUMBER, a2 VARCHAR)",
        function=function,
        user='a"pp@%',
        machine="db-1",
        schema="shop",
        connection_id=7,
        retry_service_errors=False,
    )


# ---- events ----


def test_the_event_of_redshift_has_every_field_of_its_documentation() -> None:
    event = json.loads(at_once(redshift.event(batch(), ROWS)))
    assert event.pop("arguments") == VALUES
    query_id = event.pop("query_id")
    assert isinstance(query_id, int)
    assert 0 <= query_id < 2**53
    assert event == {
        "request_id": str(batch().id),
        "cluster": "db-1",
        "user": 'a"pp@%',
        "database": "shop",
        "external_function": "score",
        "num_records": 3,
    }


def test_the_event_of_bigquery_has_every_field_of_its_documentation() -> None:
    assert json.loads(at_once(bigquery.event(batch(), ROWS))) == {
        "requestId": str(batch().id),
        "caller": "//mysql/db-1/connections/7",
        "sessionUser": 'a"pp@%',
        "userDefinedContext": {},
        "calls": VALUES,
    }


def test_the_event_of_snowflake_is_what_an_api_gateway_makes_of_its_request() -> None:
    event = json.loads(at_once(snowflake.event(batch(), ROWS)))
    assert json.loads(event["body"]) == {"data": VALUES}
    assert (event["httpMethod"], event["isBase64Encoded"]) == ("POST", False)
    assert event["requestContext"]["httpMethod"] == "POST"
    headers = event["headers"]
    assert event["multiValueHeaders"] == {name: [value] for name, value in headers.items()}
    described = {"name": "score", "signature": "(a1 NUMBER, a2 VARCHAR)", "return-type": "VARIANT"}
    for name, value in described.items():
        assert headers[f"sf-external-function-{name}"] == value
        assert base64.b64decode(headers[f"sf-external-function-{name}-base64"]).decode() == value
    assert headers["sf-external-function-format"] == "json"
    assert headers["sf-external-function-format-version"] == "1.0"
    assert headers["sf-external-function-current-query-id"] == str(QUERY)
    assert headers["sf-external-function-query-batch-id"] == str(batch().id)


def test_a_poll_of_snowflake_is_a_get_with_the_same_headers_and_no_body() -> None:
    post, get = json.loads(at_once(snowflake.event(batch(), ROWS))), json.loads(snowflake.poll(batch()))
    assert (get["httpMethod"], get["body"]) == ("GET", None)
    assert get["headers"] == post["headers"]


def test_a_long_body_is_escaped_across_its_steps() -> None:
    rows = b",".join(b'[%d,"\\\\\\"%s"]' % (number, b"x" * 90) for number in range(40_000))
    assert len(rows) > 3 * 1024 * 1024
    body = json.loads(json.loads(at_once(snowflake.event(batch(40_000), rows)))["body"])
    assert body["data"][39_999] == [39_999, '\\"' + "x" * 90]


def test_batches_of_a_statement_have_ids_of_their_own_and_keep_them() -> None:
    ids = {batch(number=number).id for number in range(1000)}
    assert len(ids) == 1000
    assert QUERY not in ids
    assert batch(number=5).id == batch(number=5).id


@pytest.mark.parametrize(
    "text",
    [
        "score",
        "score:live",
        "123456789012:function:score",
        "function:score:$LATEST",
        "arn:aws:lambda:eu-west-1:123456789012:function:score",
        "arn:aws:lambda:eu-west-1:123456789012:function:score:7",
    ],
)
def test_events_name_the_function_by_its_name_alone(text: str) -> None:
    assert function_name(text) == "score"


@pytest.mark.parametrize("rows", [0, ROWS_MAX + 1])
def test_a_batch_of_no_rows_or_too_many_is_refused(rows: int) -> None:
    with pytest.raises(InvalidRequest, match=f"the batch has {rows} rows"):
        check_rows(rows)


def test_a_query_id_that_is_no_uuid_is_refused() -> None:
    assert query_of(str(QUERY)) == QUERY
    with pytest.raises(InvalidRequest, match="query id is not a UUID"):
        query_of("1; DROP")


# ---- answers that are as they should be ----


def as_redshift(values: list[Any], **more: Any) -> bytes:
    return json.dumps({"results": values, **more}).encode()


def as_bigquery(values: list[Any]) -> bytes:
    return json.dumps({"replies": values}).encode()


def as_snowflake(values: list[Any], **more: Any) -> bytes:
    body = json.dumps({"data": [[number, value] for number, value in enumerate(values)]})
    return json.dumps({"statusCode": 200, "body": body, **more}).encode()


RESULTS = [{"k": [1, 2.50]}, None, 'a,"]é']


@pytest.mark.parametrize(
    ("answer", "payload"),
    [
        (redshift.answer, as_redshift(RESULTS)),
        (redshift.answer, as_redshift(RESULTS, success=True, num_records=3)),
        (redshift.answer, as_redshift(RESULTS, success=True, num_records=None, error_msg=None)),
        (redshift.answer, json.dumps(as_redshift(RESULTS, success=True).decode()).encode()),
        (bigquery.answer, as_bigquery(RESULTS)),
        (bigquery.answer, json.dumps(as_bigquery(RESULTS).decode()).encode()),
        (snowflake.answer, as_snowflake(RESULTS)),
        (snowflake.answer, as_snowflake(RESULTS, headers={}, isBase64Encoded=False)),
        (
            snowflake.answer,
            json.dumps(
                {
                    "statusCode": 200,
                    "isBase64Encoded": True,
                    "body": base64.b64encode(json.loads(as_snowflake(RESULTS))["body"].encode()).decode(),
                }
            ).encode(),
        ),
        (
            snowflake.answer,
            json.dumps({"statusCode": 200, "body": {"data": [[i, RESULTS[i]] for i in range(3)]}}).encode(),
        ),
    ],
)
def test_the_results_of_an_answer_come_back_in_their_order(answer: Answer, payload: bytes) -> None:
    assert json.loads(b"[" + at_once(answer(batch(), payload)) + b"]") == RESULTS


def test_numbers_come_back_digit_by_digit() -> None:
    digits = b"1.10, 12345678901234567890.123456789, 1e400"
    assert at_once(redshift.answer(batch(), b'{"results": [%s]}' % digits)) == digits
    rows = b'{"data": [[0, 1.10], [1, 12345678901234567890.123456789], [2, 1e400]]}'
    payload = b'{"statusCode": 200, "body": %s}' % json.dumps(rows.decode()).encode()
    assert at_once(snowflake.answer(batch(), payload)) == digits


# ---- answers that are not ----


@pytest.mark.parametrize(
    ("answer", "payload", "what"),
    [
        (redshift.answer, b"", "it is not JSON: "),
        (redshift.answer, b"<html>", "it is not JSON: "),
        (redshift.answer, b'"<html>"', "it is not JSON: "),
        (redshift.answer, b'"\\ud800"', "it is not JSON: "),
        (redshift.answer, b'{"results": [1, 2, "\\ud800"]}', "it is not JSON: "),
        (redshift.answer, b'{"results": [NaN, 1, 2]}', "it is not JSON: "),
        (redshift.answer, b'{"results": ' + b"[" * 100_000, "it is nested too deeply"),
        (redshift.answer, b"[1, 2, 3]", "it is not a JSON object"),
        (redshift.answer, b"null", "it is not a JSON object"),
        (redshift.answer, b"{}", "it has no results"),
        (redshift.answer, as_redshift([1, 2]), "results has 2 elements for 3 rows"),
        (redshift.answer, as_redshift([1, 2, 3, 4]), "results has 4 elements for 3 rows"),
        (redshift.answer, as_redshift([]), "results has 0 elements for 3 rows"),
        (redshift.answer, b'{"results": {"0": 1}}', "results is not an array"),
        (redshift.answer, b'{"results": null, "success": true}', "results is not an array"),
        (
            redshift.answer,
            as_redshift([1, 2, 3], num_records=2),
            "num_records is not 3, as it was in the event",
        ),
        (
            redshift.answer,
            as_redshift([1, 2, 3], num_records="3"),
            "num_records is not 3, as it was in the event",
        ),
        (redshift.answer, as_redshift([1, 2, 3], success="yes"), "success is neither true nor false"),
        (redshift.answer, as_redshift([1, 2, 3], success=1), "success is neither true nor false"),
        (bigquery.answer, b"", "it is not JSON: "),
        (bigquery.answer, b"{}", "it has no replies"),
        (bigquery.answer, as_bigquery([1]), "replies has 1 elements for 3 rows"),
        (bigquery.answer, b'{"replies": "abc"}', "replies is not an array"),
        (snowflake.answer, b"", "it is not JSON: "),
        (snowflake.answer, b"{}", "statusCode is missing, or is no number"),
        (snowflake.answer, b'{"statusCode": "200"}', "statusCode is missing, or is no number"),
        (snowflake.answer, b'{"statusCode": 200}', "body is not JSON: "),
        (snowflake.answer, b'{"statusCode": 200, "body": "x"}', "body is not JSON: "),
        (snowflake.answer, b'{"statusCode": 200, "body": "[]"}', "body is not a JSON object"),
        (snowflake.answer, b'{"statusCode": 200, "body": "{}"}', "it has no data"),
        (snowflake.answer, b'{"statusCode": 200, "body": "{\\"data\\": 1}"}', "data is not an array"),
        (snowflake.answer, as_snowflake([1, 2]), "data has 2 elements for 3 rows"),
        (
            snowflake.answer,
            b'{"statusCode": 200, "body": "{\\"data\\": [[0, 1], [2, 1], [1, 1]]}"}',
            "data has row 2 in the place of row 1",
        ),
        (
            snowflake.answer,
            b'{"statusCode": 200, "body": "{\\"data\\": [[1, 1], [2, 1], [3, 1]]}"}',
            "data has row 1 in the place of row 0",
        ),
        (
            snowflake.answer,
            b'{"statusCode": 200, "body": "{\\"data\\": [[0, 1], [1], [2, 1]]}"}',
            "data has rows that are not [number, value]",
        ),
        (
            snowflake.answer,
            b'{"statusCode": 200, "body": "{\\"data\\": [1, 2, 3]}"}',
            "data has rows that are not [number, value]",
        ),
        (
            snowflake.answer,
            b'{"statusCode": 200, "body": "{\\"data\\": [[\\"0\\", 1], [1, 1], [2, 1]]}"}',
            "data has rows that are not [number, value]",
        ),
        (
            snowflake.answer,
            b'{"statusCode": 200, "body": "no base64", "isBase64Encoded": true}',
            "body is not base64, though isBase64Encoded says so",
        ),
    ],
    ids=lambda value: None if callable(value) else ascii(value)[:40],
)
def test_an_answer_that_breaks_its_contract_is_named(answer: Answer, payload: bytes, what: str) -> None:
    with pytest.raises(BatchAnswerInvalid) as raised:
        at_once(answer(batch(), payload))
    text = raised.value.text
    assert text.startswith(f"the function has run, but it did not answer as the contract says: {what}")


@pytest.mark.parametrize(
    ("answer", "payload", "what", "words"),
    [
        (redshift.answer, b'{"success": false, "error_msg": "bad row"}', "success is false", "bad row"),
        (redshift.answer, as_redshift([1, 2, 3], success=False), "success is false", ""),
        (redshift.answer, b'{"error_msg": "bad row"}', "success is false", "bad row"),
        (redshift.answer, b'{"success": false, "error_msg": {"a": 1}}', "success is false", '{"a": 1}'),
        (
            redshift.answer,
            json.dumps('{"success": false, "error_msg": "é"}').encode(),
            "success is false",
            "é",
        ),
        (bigquery.answer, b'{"errorMessage": "bad call"}', "errorMessage", "bad call"),
        (snowflake.answer, b'{"statusCode": 400, "body": "bad"}', "statusCode 400", "bad"),
        (snowflake.answer, b'{"statusCode": 500}', "statusCode 500", ""),
        (
            redshift.answer,
            b'{"success": false, "error_msg": "%s"}' % (b"x" * 999),
            "success is false",
            "x" * 200,
        ),
    ],
)
def test_a_function_that_says_that_it_failed_is_quoted(
    answer: Answer, payload: bytes, what: str, words: str
) -> None:
    with pytest.raises(FunctionRefused) as raised:
        at_once(answer(batch(), payload))
    assert (raised.value.what, raised.value.words) == (what, words)


def test_a_function_of_snowflakes_that_is_at_work_still_is_asked_again() -> None:
    with pytest.raises(AskAgain):
        at_once(snowflake.answer(batch(), b'{"statusCode": 202}'))


# Those of the most rows that there are.
LONG = b",".join(b'[%d,"payment %d",12.50]' % (number, number) for number in range(ROWS_MAX))
MANY = [f"result {number}" for number in range(ROWS_MAX)]


@pytest.mark.parametrize(
    ("work", "pauses"),
    [
        (lambda: snowflake.event(batch(ROWS_MAX), LONG), -(-len(LONG) // snowflake._ESCAPE_STEP)),
        (lambda: redshift.answer(batch(ROWS_MAX), as_redshift(MANY)), 1),
        (lambda: redshift.answer(batch(ROWS_MAX), json.dumps(as_redshift(MANY).decode()).encode()), 2),
        (lambda: snowflake.answer(batch(ROWS_MAX), as_snowflake(MANY)), 3 + ROWS_MAX // snowflake._ROWS_STEP),
    ],
    ids=["snowflake's event", "redshift's answer", "redshift's in a string", "snowflake's answer"],
)
def test_the_most_rows_are_dealt_with_in_pieces_with_a_pause_after_each(
    work: Callable[[], Generator[None, None, bytes]], pauses: int
) -> None:
    assert sum(1 for _ in work()) == pauses


def million(element: bytes) -> bytes:
    return b"[" + b",".join([element] * 1_000_000) + b"]"


@pytest.mark.parametrize("element", [b"1", b"[]", b'"a,"'])
@pytest.mark.parametrize(
    ("answer", "form", "name"),
    [
        (redshift.answer, b'{"results": %s}', "results"),
        (bigquery.answer, b'{"replies": %s}', "replies"),
        (snowflake.answer, b'{"statusCode": 200, "body": {"data": %s}}', "data"),
    ],
)
def test_an_answer_of_a_million_elements_is_refused_without_their_being_counted(
    answer: Answer, form: bytes, name: str, element: bytes
) -> None:
    with pytest.raises(BatchAnswerInvalid, match=f"{name} has more than 100000 elements"):
        at_once(answer(batch(), form % million(element)))


@pytest.mark.parametrize("rows", [1, 99_999, ROWS_MAX])
def test_an_answer_with_many_numbers_in_few_results_is_as_good_as_any(rows: int) -> None:
    values = [[0] * (300_000 // rows + 2)] * rows
    payload = json.dumps({"results": values}, separators=(",", ":")).encode()
    assert json.loads(b"[" + at_once(redshift.answer(batch(rows), payload)) + b"]") == values


def test_an_answer_of_one_row_too_many_with_many_numbers_in_it_is_refused() -> None:
    payload = json.dumps({"replies": [[0, 0]] * (ROWS_MAX + 1)}).encode()
    with pytest.raises(BatchAnswerInvalid, match="replies has more than 100000 elements"):
        at_once(bigquery.answer(batch(ROWS_MAX), payload))

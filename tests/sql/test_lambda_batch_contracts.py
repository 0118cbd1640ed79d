"""Functions as Redshift's, Snowflake's and BigQuery's documentation has them work with lambda_batch as they are.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mysql.connector
import pytest
from tests.support.stack import Library, Stack, start_stack

FUNCTIONS = {
    # Amazon Redshift Database Developer Guide and github.com/aws-samples/amazon-redshift-udfs.
    "redshift_multiply": """
import json

def lambda_handler(event, context):
    ret = dict()
    try:
        res = []
        for argument in event["arguments"]:
            try:
                res.append(argument[0] * argument[1])
            except TypeError:
                res.append(None)
        ret["success"] = True
        ret["results"] = res
    except Exception as e:
        ret["success"] = False
        ret["error_msg"] = str(e)
    return json.dumps(ret)
""",
    "redshift_fails": """
def lambda_handler(event, context):
    return {"success": False, "error_msg": "external service is down", "num_records": event["num_records"]}
""",
    "redshift_event": """
def lambda_handler(event, context):
    assert len(event["arguments"]) == event["num_records"]
    known = {name: event[name] for name in event if name != "arguments"}
    return {"results": [known] * event["num_records"], "num_records": event["num_records"]}
""",
    # Snowflake documentation, "Creating external functions on AWS": Step 1, the sample synchronous function.
    "snowflake_echo": """
import json

def lambda_handler(event, context):
    status_code = 200
    array_of_rows_to_return = []
    try:
        event_body = event["body"]
        payload = json.loads(event_body)
        rows = payload["data"]
        for row in rows:
            row_number = row[0]
            input_value_1 = row[1]
            input_value_2 = row[2]
            output_value = [input_value_1, input_value_2]
            row_to_return = [row_number, output_value]
            array_of_rows_to_return.append(row_to_return)
        json_compatible_string_to_return = json.dumps({"data": array_of_rows_to_return})
    except Exception as err:
        status_code = 400
        json_compatible_string_to_return = event_body
    return {"statusCode": status_code, "body": json_compatible_string_to_return}
""",
    # The same page's asynchronous function: POST starts, GET asks under the same batch id.
    "snowflake_async": """
import json, os, tempfile

def lambda_handler(event, context):
    batch_id = event["headers"]["sf-external-function-query-batch-id"]
    path = os.path.join(tempfile.gettempdir(), batch_id)
    if event["httpMethod"] == "POST":
        rows = json.loads(event["body"])["data"]
        with open(path, "w") as file:
            json.dump({"asked": 0, "data": [[row[0], row[1] * 2] for row in rows]}, file)
        return {"statusCode": 202}
    with open(path) as file:
        state = json.load(file)
    state["asked"] += 1
    with open(path, "w") as file:
        json.dump(state, file)
    if state["asked"] < 2:
        return {"statusCode": 202}
    return {"statusCode": 200, "body": json.dumps({"data": state["data"]})}
""",
    # BigQuery documentation, "Work with remote functions": the Python example, without its HTTP framework.
    "bigquery_add": """
import json

def lambda_handler(request_json, context):
    try:
        return_value = []
        for call in request_json["calls"]:
            return_value.append(sum([int(x) if x is not None else 0 for x in call]))
        return {"replies": return_value}
    except Exception as e:
        return {"errorMessage": str(e)}
""",
}


@pytest.fixture(scope="module")
def served(library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp(f"contracts-{library.value}")
    for name, source in FUNCTIONS.items():
        (directory / "functions" / name).mkdir(parents=True)
        (directory / "functions" / name / "lambda_function.py").write_text(source)
    with start_stack(mysql_home, directory, library, functions=directory / "functions") as stack:
        stack.query("CREATE TABLE t (a INT, b DECIMAL(6,2))")
        stack.query("INSERT INTO t VALUES (1, 1.50), (2, NULL), (3, 3.25)")
        yield stack


def batch(stack: Stack, function: str, columns: str, **options: Any) -> Any:
    given = json.dumps({"function": function, **options})
    value = stack.value(f"SELECT lambda_batch('{given}', {columns}) FROM t")
    return json.loads(value)


def test_a_function_of_redshifts_works_as_it_is(served: Stack) -> None:
    assert batch(served, "redshift_multiply", "a, b") == [1.5, None, 9.75]
    assert batch(served, "redshift_multiply", "a, b", batch_rows=1) == [1.5, None, 9.75]


def test_a_function_of_redshifts_that_fails_is_quoted(served: Stack) -> None:
    with pytest.raises(mysql.connector.Error) as raised:
        batch(served, "redshift_fails", "a")
    assert str(raised.value.msg) == (
        "lambda_batch UDF failed; rows 1 to 3: Lambda function error: success is false: external service is down"
    )


def test_a_function_of_redshifts_finds_each_field_in_its_event(served: Stack) -> None:
    first, second, third = batch(served, "redshift_event", "a", batch_rows=2)
    assert first == second
    assert (first["user"], first["database"], first["external_function"]) == (
        "root@localhost",
        "test",
        "redshift_event",
    )
    assert (first["num_records"], third["num_records"]) == (2, 1)
    assert first["query_id"] == third["query_id"]
    assert first["request_id"] != third["request_id"]
    assert batch(served, "redshift_event", "a")[0]["query_id"] != first["query_id"]


def test_a_function_of_snowflakes_works_as_it_is(served: Stack) -> None:
    results = batch(
        served, "snowflake_echo", "a, 'it''s \"quoted\" \\\\ é'", contract="snowflake", batch_rows=2
    )
    assert results == [[i, 'it\'s "quoted" \\ é'] for i in (1, 2, 3)]


def test_a_function_of_snowflakes_that_refuses_is_quoted(served: Stack) -> None:
    with pytest.raises(
        mysql.connector.Error, match=r"Lambda function error: statusCode 400: \{\"data\": \[\[0,1\]"
    ):
        batch(served, "snowflake_echo", "a", contract="snowflake")


def test_a_function_of_snowflakes_that_works_asynchronously_is_polled(served: Stack) -> None:
    served.record.clear()
    assert batch(served, "snowflake_async", "a", contract="snowflake") == [2, 4, 6]
    methods = [event["httpMethod"] for event in served.record.payloads("snowflake_async")]
    assert methods == ["POST", "GET", "GET"]


def test_a_function_of_bigquerys_works_as_it_is(served: Stack) -> None:
    assert batch(served, "bigquery_add", "a, 10, NULL", contract="bigquery") == [11, 12, 13]


def test_a_function_of_bigquerys_that_fails_is_quoted(served: Stack) -> None:
    with pytest.raises(
        mysql.connector.Error, match="Lambda function error: errorMessage: invalid literal for int"
    ):
        batch(served, "bigquery_add", "'x'", contract="bigquery")

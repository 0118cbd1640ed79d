"""What rules lambda_map: options, system variables, lambda_udf.mode, the privilege; and what the counters say of it.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import mysql.connector
import pytest
from tests.support.component import installed_component, status
from tests.support.stack import Stack, execute

KNOWN = "concurrency, distinct, function, function_error, qualifier, region, role, tenant_id, timeout_ms"
NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "


def over(rows: int, call: str) -> str:
    """A statement of `call` over rows with i from 1 on."""
    return f"{NUMBERS.format(rows)} SELECT {call} FROM n"


def array(text: Any) -> list[Any]:
    found: list[Any] = json.loads(text)
    return found


def failure(stack: Stack, sql: str, parameters: tuple[Any, ...] = ()) -> str:
    with pytest.raises(mysql.connector.Error) as raised:
        stack.query(sql, parameters)
    assert (raised.value.errno, raised.value.sqlstate) == (3200, "HY000")
    assert raised.value.msg is not None
    return raised.value.msg.removeprefix("lambda_map UDF failed; ")


# ---- options ----

WRONG = {
    '{"function": "Echo", "retries": 1}': f"unknown option 'retries'; known are {KNOWN}",
    '{"function": "Echo", "batch_rows": 1}': f"unknown option 'batch_rows'; known are {KNOWN}",
    '{"function": "Echo", "Distinct": true}': f"unknown option 'Distinct'; known are {KNOWN}",
    '{"qualifier": "live"}': "option function is missing",
    "{}": "option function is missing",
    '{"function": ""}': "option function must be a string that is not empty",
    '{"function": ["Echo"]}': "option function must be a string that is not empty",
    '{"function": null}': "option function must be a string that is not empty",
    '{"function": "Echo", "role": 7}': "option role must be a string that is not empty",
    '{"function": "Echo", "concurrency": 0}': "option concurrency must be a whole number from 1 to 1000",
    '{"function": "Echo", "concurrency": 1001}': "option concurrency must be a whole number from 1 to 1000",
    '{"function": "Echo", "concurrency": "7"}': "option concurrency must be a whole number from 1 to 1000",
    '{"function": "Echo", "concurrency": 7.0}': "option concurrency must be a whole number from 1 to 1000",
    '{"function": "Echo", "timeout_ms": 99999999999999999999}': (
        "option timeout_ms must be a whole number from 1 to 86400000"
    ),
    '{"function": "Echo", "distinct": 1}': "option distinct must be true or false",
    '{"function": "Echo", "function_error": "Return"}': "option function_error must be one of error, return",
    '{"function": "Echo", "tenant_id": "a\\nb"}': (
        "option tenant_id must have 1 to 256 of letters, digits, space and ._:/=+-@"
    ),
    '{"function": "Echo"': "options are not JSON: unexpected end at byte 19",
    '{"function": "Echo"} x': "options are not JSON: unexpected character at byte 21",
    ' \n{"function": "\\ud800"}': "options are not JSON: half a surrogate pair at byte 22",
    '{"function": '
    + "[" * 101
    + "]" * 101
    + "}": "options are not JSON that can be checked: nested too deeply",
    "{" + " " * 17_000 + "}": "options too long: 17002 bytes, at most 16384 are allowed",
    "x" * 257: "not a function name or ARN: it has 257 bytes, at most 256 are allowed",
    "x" * 17_000: "not a function name or ARN: it has 17000 bytes, at most 256 are allowed",
}


@pytest.mark.parametrize("options", WRONG, ids=lambda options: options[:40])
def test_an_unknown_or_wrong_option_is_named_with_its_row_and_nothing_is_sent(
    stack: Stack, options: str
) -> None:
    assert failure(stack, over(3, "lambda_map(%s, i)"), (options,)) == f"row 1: {WRONG[options]}"
    assert stack.record.count() == 0


def test_options_may_be_written_in_any_json(stack: Stack) -> None:
    options = '\t{"function": "X", "\\u0066unction" : "\\u0045cho", "concurrency":7, "distinct": false}\n'
    with contextlib.closing(stack.connect()) as connection:
        assert execute(connection, over(2, "lambda_map(%s, i)"), (options,)) == [("[1, 2]",)]


def test_options_reach_lambda_and_may_differ_from_row_to_row(stack: Stack) -> None:
    options = "JSON_OBJECT('function', 'Echo', 'qualifier', CONCAT('v', i), 'region', 'us-east-1')"
    assert stack.value(over(3, f"lambda_map({options}, i)")) == "[1, 2, 3]"
    assert sorted(call["qualifier"] for call in stack.record.calls("Echo")) == ["v1", "v2", "v3"]
    text = failure(stack, over(1, "lambda_map(JSON_OBJECT('function', 'Echo', 'region', 'nowhere-1'), i)"))
    assert text.startswith("row 1: unknown region")


def test_distinct_invokes_once_for_equal_payloads_of_a_statement(stack: Stack) -> None:
    call = "lambda_map(JSON_OBJECT('function', 'Echo', 'distinct', true), JSON_OBJECT('n', i MOD 100), i)"
    with contextlib.closing(stack.connect()) as connection:
        execute(connection, "SET SESSION cte_max_recursion_depth = 10000")
        ((text,),) = execute(connection, over(10_000, call))
        assert array(text) == [{"key": i, "result": {"n": i % 100}} for i in range(1, 10_001)]
        assert len(stack.record.calls("Echo")) == 100
        # The next statement knows nothing of it; its groups do.
        found = execute(
            connection, over(40, call).replace("SELECT lambda", "SELECT i MOD 2, lambda") + " GROUP BY 1"
        )
        assert [len(array(text)) for _, text in found] == [20, 20]
        again = over(40, call.replace("i MOD 100", "i MOD 5")).replace(
            "SELECT lambda", "SELECT i MOD 7, lambda"
        )
        execute(connection, again + " GROUP BY 1")
    assert len(stack.record.calls("Echo")) == 100 + 40 + 5


def test_distinct_tells_functions_and_qualifiers_apart(stack: Stack) -> None:
    options = "JSON_OBJECT('function', 'Echo', 'distinct', true, 'qualifier', CONCAT('v', i MOD 2))"
    assert stack.value(over(6, f"lambda_map({options}, 1)")) == "[1, 1, 1, 1, 1, 1]"
    assert sorted(call["qualifier"] for call in stack.record.calls("Echo")) == ["v0", "v1"]


def test_a_wrong_option_fails_the_statement_also_where_failing_rows_are_returned(stack: Stack) -> None:
    options = "JSON_OBJECT('function', 'Echo', 'function_error', 'return', IF(i = 3, 'x', 'concurrency'), 1)"
    assert failure(stack, over(3, f"lambda_map({options}, i)")).startswith(
        "row 3: unknown option 'x'; known are "
    )


# ---- function_error ----

RAISES = "IF(i = 2, 'Raise', 'Echo'), JSON_OBJECT('message', CONCAT('m', i))"
TEXT = "Lambda function error: Unhandled: ValueError: m2"


def test_a_function_that_raised_fails_the_statement_with_its_row(stack: Stack) -> None:
    assert failure(stack, over(3, f"lambda_map({RAISES})")).startswith(f"row 2: {TEXT}")


def test_with_function_error_return_its_place_holds_the_error(component: Stack) -> None:
    options = "JSON_OBJECT('function', IF(i = 2, 'Raise', 'Echo'), 'function_error', '{}'), {}"
    payload = "JSON_OBJECT('message', CONCAT('m', i))"
    for session, statement in (
        ("error", over(3, f"lambda_map({options.format('return', payload)})")),
        ("return", over(3, f"lambda_map({RAISES})")),
    ):
        with contextlib.closing(component.connect()) as connection:
            execute(connection, f"SET SESSION lambda_udf.function_error = '{session}'")
            ((text,),) = execute(connection, statement)
            first, second, third = array(text)
            assert (first, third) == ({"message": "m1"}, {"message": "m3"})
            assert (second["error"]["kind"], second["error"]["message"]) == ("function", TEXT)
            assert second["error"]["document"]["errorType"] == "ValueError"
            refuses = over(3, f"lambda_map({options.format('error', payload)})")
            with pytest.raises(mysql.connector.Error, match="row 2: Lambda function error"):
                execute(connection, refuses)


def test_the_variable_returns_what_functions_raise_and_nothing_else(component: Stack) -> None:
    with contextlib.closing(component.connect()) as connection:
        execute(connection, "SET SESSION lambda_udf.function_error = 'return'")
        with pytest.raises(mysql.connector.Error, match="row 1: Lambda API returned error: ResourceNotFound"):
            execute(connection, over(1, "lambda_map('Nope', i)"))


@pytest.mark.parametrize(
    ("function", "payload", "kind"),
    [
        ("'Nope'", "i", "api"),
        ("'not a name'", "i", "argument"),
        ("'Echo'", "'no JSON'", "argument"),
        ("'Echo'", "CONCAT('\"', REPEAT('x', 6291455), '\"')", "argument"),
        ("REPEAT('x', 300)", "i", "argument"),
        ("'Sleep'", "'{\"seconds\": 30}'", "timeout"),
    ],
)
def test_with_the_option_every_failing_row_holds_its_error_and_the_others_go_on(
    stack: Stack, function: str, payload: str, kind: str
) -> None:
    options = f"JSON_OBJECT('function', IF(i = 2, {function}, 'Echo'), 'function_error', 'return', 'timeout_ms', 500)"
    text = stack.value(over(3, f"lambda_map({options}, IF(i = 2, {payload}, i))"))
    first, second, third = array(text)
    assert (first, second["error"]["kind"], third) == (1, kind, 3)
    assert set(second["error"]) == {"kind", "message"}


# ---- system variables, mode, privilege, counters ----


def test_the_variable_says_how_many_are_under_way_and_the_option_overrules_it(component: Stack) -> None:
    sleeps = "'{\"seconds\": 0.15}'"

    def most(connection: Any, function: str) -> int:
        component.record.clear()
        execute(connection, over(12, f"lambda_map({function}, {sleeps})"))
        return component.record.requests()["most_open"]

    with contextlib.closing(component.connect()) as connection:
        execute(connection, "SET SESSION lambda_udf.map_concurrency = 2")
        assert most(connection, "'Sleep'") == 2
        assert most(connection, "JSON_OBJECT('function', 'Sleep', 'concurrency', 4)") == 4
        execute(connection, "SET SESSION lambda_udf.map_concurrency = DEFAULT")
        assert most(connection, "'Sleep'") == 12


@pytest.mark.parametrize("value", ["0", "1001", "-1", "'x'", "1.5"])
@pytest.mark.parametrize("name", ["map_concurrency", "batch_concurrency"])
def test_a_concurrency_out_of_range_is_refused(component: Stack, name: str, value: str) -> None:
    with pytest.raises(mysql.connector.Error) as raised:
        component.query(f"SET GLOBAL lambda_udf.{name} = {value}")
    assert raised.value.errno in (1231, 1232)


def test_skip_gives_null_in_each_place_and_one_warning(component: Stack) -> None:
    skipped = status(component)["calls_skipped"]
    with contextlib.closing(component.connect()) as connection:
        execute(connection, "SET SESSION lambda_udf.mode = 'skip'")
        assert execute(connection, over(3, "lambda_map('Echo', i, i)")) == [
            ('[{"key": 1, "result": null}, {"key": 2, "result": null}, {"key": 3, "result": null}]',)
        ]
        assert [row[1] for row in execute(connection, "SHOW WARNINGS")] == [3200]
        execute(connection, "SET SESSION lambda_udf.mode = 'deny'")
        with pytest.raises(mysql.connector.Error, match="failed; denied, because"):
            execute(connection, over(3, "lambda_map('Echo', i)"))
    assert component.record.count() == 0
    assert status(component)["calls_skipped"] == skipped + 3


def test_the_privilege_is_asked_for_with_the_first_row(stack: Stack) -> None:
    with installed_component(stack):
        stack.query("CREATE USER app@localhost")
        stack.query("GRANT ALL ON test.* TO app@localhost")
        try:
            with contextlib.closing(stack.connect(user="app")) as connection:
                for payload in ("i", "NULL"):
                    for _ in range(2):
                        with pytest.raises(mysql.connector.Error) as raised:
                            execute(connection, over(3, f"lambda_map('Echo', {payload})"))
                        assert (raised.value.errno, raised.value.sqlstate) == (1227, "42000")
                execute(connection, "CREATE VIEW v AS SELECT lambda_map('Echo', 1)")
                stack.query("GRANT INVOKE_LAMBDA ON *.* TO app@localhost")
                assert execute(connection, over(2, "lambda_map('Echo', i)")) == [("[1, 2]",)]
        finally:
            stack.query("DROP USER app@localhost")


def test_the_counters_count_rows_calls_and_errors(component: Stack) -> None:
    before = status(component)
    component.query(over(5, "lambda_map('Echo', IF(i = 5, NULL, '12'))"))
    failure(component, over(1, "lambda_map('Raise', i)"))
    component.query(over(1, "lambda_map(JSON_OBJECT('function', 'Raise', 'function_error', 'return'), '{}')"))
    change = {
        name: value - before[name] for name, value in status(component).items() if value != before[name]
    }
    for name in ("call_time_us", "call_time_max_us", "connections", "connections_opened", "bytes_in"):
        change.pop(name, None)
    assert change == {"calls_map": 7, "bytes_out": 4 * 2 + 1 + 2, "errors_function": 2}
    assert status(component)["in_flight"] == 0

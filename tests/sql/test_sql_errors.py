"""Every failure as a SQL user meets it: errno, SQLSTATE and text, and nothing sent where nothing may be.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib

import mysql.connector
import pytest
from tests.support.account import ARN
from tests.support.stack import Stack, execute

SYNC = "lambda_sync UDF failed; "
ASYNC = "lambda_async UDF failed; "
FORMS = (
    "allowed are a name, 123456789012:function:name, or a full ARN, each with or without :version or :alias"
)


def error_of(
    stack: Stack, sql: str, parameters: tuple[object, ...] = ()
) -> tuple[int, str | None, str | None]:
    with pytest.raises(mysql.connector.Error) as raised:
        stack.query(sql, parameters)
    return raised.value.errno, raised.value.sqlstate, raised.value.msg


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("lambda_sync()", "lambda_sync(function, payload) takes 2 arguments, 0 given"),
        ("lambda_sync('Echo')", "lambda_sync(function, payload) takes 2 arguments, 1 given"),
        ("lambda_async('Echo', '1', '2')", "lambda_async(function, payload) takes 2 arguments, 3 given"),
    ],
)
def test_a_wrong_number_of_arguments_names_the_right_call(stack: Stack, call: str, text: str) -> None:
    function = call.partition("(")[0]
    assert error_of(stack, f"SELECT {call}") == (
        1123,
        "HY000",
        f"Can't initialize function '{function}'; {text}",
    )


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("lambda_sync(NULL, '1')", SYNC + "function is NULL"),
        (
            "lambda_async('Echo', CONCAT('{\"a\": ', NULL, '}'))",
            ASYNC + "payload is NULL (does a CONCAT argument evaluate to NULL? JSON_OBJECT keeps it)",
        ),
        ("lambda_sync('Echo', '')", SYNC + "payload is empty; JSON is expected, {} at least"),
        ("lambda_sync('Echo', '{\"a\": }')", SYNC + "payload is not JSON: invalid character at byte 6"),
        ("lambda_sync('Echo', '1 2')", SYNC + "payload is not JSON: trailing characters at byte 2"),
        ("lambda_sync('Echo', 'NaN')", SYNC + "payload is not JSON: NaN is not a JSON number at byte 0"),
        (
            "lambda_sync('Echo', _binary X'22FF22')",
            SYNC + "payload is not UTF-8: invalid start byte at byte 1",
        ),
        (
            "lambda_sync('Echo', REPEAT('x', 6291457))",
            SYNC
            + "payload too large: it has 6291457 bytes, Lambda takes at most 6291456 for RequestResponse",
        ),
        (
            "lambda_async('Echo', REPEAT('x', 1048577))",
            ASYNC + "payload too large: it has 1048577 bytes, Lambda takes at most 1048576 for Event",
        ),
    ],
)
def test_a_bad_payload_is_refused_and_nothing_is_sent(stack: Stack, call: str, text: str) -> None:
    assert error_of(stack, f"SELECT {call}") == (3200, "HY000", text)
    assert stack.record.count() == 0


def test_the_largest_payloads_are_taken(stack: Stack) -> None:
    assert (
        stack.value("SELECT LENGTH(lambda_sync('Echo', CONCAT('\"', REPEAT('x', 6291454), '\"')))") == 6291456
    )
    stack.query("SELECT lambda_async('Echo', CONCAT('\"', REPEAT('x', 1048574), '\"'))")
    assert stack.record.count() == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", f"function is empty; {FORMS}"),
        ("../Echo", f"not a function name or ARN; {FORMS}"),
        ("..%2fEcho", f"not a function name or ARN; {FORMS}"),
        ("Echo%2f..%2f", f"not a function name or ARN; {FORMS}"),
        ("Echo/invocations?x=", f"not a function name or ARN; {FORMS}"),
        ("@evil.example", f"not a function name or ARN; {FORMS}"),
        ("Echo@evil.example:80", f"not a function name or ARN; {FORMS}"),
        ("Echo\n", f"not a function name or ARN; {FORMS}"),
        ("Echo\r\nHost: evil", f"not a function name or ARN; {FORMS}"),
        ("Echo\0", f"not a function name or ARN; {FORMS}"),
        (b"\xff\xfe", "not a function name or ARN: it is not UTF-8"),
        ("Écho", f"not a function name or ARN; {FORMS}"),
        ("http://evil.example/", f"not a function name or ARN; {FORMS}"),
        (
            "arn:aws:lambda:us-east-1:123456789012:layer:Echo",
            f"not a function name or ARN: resource: 'function' expected before the name; {FORMS}",
        ),
        (
            "arn:aws:s3:us-east-1:123456789012:function:Echo",
            f"not a function name or ARN: service: lambda expected; {FORMS}",
        ),
        (
            "arn:aws:lambda:us-east-1:123:function:Echo",
            f"not a function name or ARN: account: 12 digits expected; {FORMS}",
        ),
        (
            "arn:aws:lambda:Echo",
            f"not a function name or ARN: region: a name such as us-east-1 expected; {FORMS}",
        ),
        (
            "arn:aws:lambda:us-nowhere-1:123456789012:function:Echo",
            "unknown region 'us-nowhere-1': not one that the AWS SDK knows for Lambda",
        ),
        (
            "arn:aws-cn:lambda:us-east-1:123456789012:function:Echo",
            "wrong partition: region 'us-east-1' belongs to 'aws', not to 'aws-cn'",
        ),
        ("x" * 10_240, "not a function name or ARN: it has 10240 bytes, at most 256 are allowed"),
        ("x" * 257, "not a function name or ARN: it has 257 bytes, at most 256 are allowed"),
        ("..", f"not a function name or ARN; {FORMS}"),
        (
            "arn:aws:lambda:us-east-1:123456789012:function:..",
            f"not a function name or ARN: name: letters, digits, dots, - and _ expected; {FORMS}",
        ),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_hostile_function_names_are_refused_and_nothing_is_sent(
    stack: Stack, name: str | bytes, text: str
) -> None:
    for function in ("lambda_sync", "lambda_async"):
        expected = (3200, "HY000", f"{function} UDF failed; {text}")
        assert error_of(stack, f"SELECT {function}(%s, '1')", (name,)) == expected
    assert stack.record.requests()["most_open"] == 0
    assert stack.record.count() == 0


@pytest.mark.parametrize("name", ["Nowhere", "Echo.new"])
def test_an_unknown_function_is_an_api_error(stack: Stack, name: str) -> None:
    assert error_of(stack, f"SELECT lambda_sync('{name}', '1')") == (
        3200,
        "HY000",
        f"{SYNC}Lambda API returned error: ResourceNotFoundException: Function not found: {ARN}{name}",
    )


def test_a_function_that_raises_fails_the_statement(stack: Stack) -> None:
    assert error_of(stack, """SELECT lambda_sync('Raise', '{"message": "no such customer"}')""") == (
        3200,
        "HY000",
        f"{SYNC}Lambda function error: Unhandled: ValueError: no such customer",
    )


def test_a_functions_message_is_cut_at_200_bytes(stack: Stack) -> None:
    message = "é" * 150
    _, _, text = error_of(stack, "SELECT lambda_sync('Raise', JSON_OBJECT('message', %s))", (message,))
    assert text == f"{SYNC}Lambda function error: Unhandled: ValueError: {'é' * 100}"


def test_a_character_that_mysqls_messages_do_not_have_is_a_question_mark_as_in_its_own(stack: Stack) -> None:
    """They are utf8mb3. Written as it is, a client reads each of its four bytes as a character, and GET DIAGNOSTICS
    gives a string that is none."""
    text = "a\U0001f600b€ü"
    _, _, own = error_of(stack, "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = %s", (text,))
    _, _, ours = error_of(stack, "SELECT lambda_sync('Raise', JSON_OBJECT('message', %s))", (text,))
    assert own == "a?b€ü"
    assert ours == f"{SYNC}Lambda function error: Unhandled: ValueError: {own}"


def test_a_failing_row_fails_the_whole_statement_and_stores_nothing(stack: Stack) -> None:
    stack.query("CREATE TABLE test.t (answer JSON)")
    errno, _, _ = error_of(
        stack,
        """INSERT INTO test.t SELECT lambda_sync(f, '{"message": "x"}')
           FROM (VALUES ROW('Echo'), ROW('Raise')) AS names (f)""",
    )
    assert errno == 3200
    assert stack.value("SELECT COUNT(*) FROM test.t") == 0


def test_a_failing_trigger_undoes_the_insert(stack: Stack) -> None:
    stack.query("CREATE TABLE test.t (id INT)")
    stack.query(
        """CREATE TRIGGER test.fires AFTER INSERT ON test.t FOR EACH ROW
           SELECT lambda_async('Nowhere', '1') INTO @r"""
    )
    errno, _, text = error_of(stack, "INSERT INTO test.t VALUES (1)")
    assert (errno, "ResourceNotFoundException" in (text or "")) == (3200, True)
    assert stack.value("SELECT COUNT(*) FROM test.t") == 0


def test_a_handler_can_catch_a_failed_call(stack: Stack) -> None:
    with contextlib.closing(stack.connect()) as connection:
        execute(
            connection,
            """CREATE PROCEDURE test.careful() BEGIN
                 DECLARE CONTINUE HANDLER FOR 3200 SET @caught = 'yes';
                 SELECT lambda_sync('Nowhere', '1') INTO @answer;
               END""",
        )
        execute(connection, "CALL test.careful()")
        assert execute(connection, "SELECT @caught, @answer") == [("yes", None)]


def test_without_a_sidecar_the_error_names_the_socket(stack: Stack) -> None:
    stack.sidecar.stop()
    try:
        expected = f"{SYNC}sidecar unavailable: {stack.sidecar.socket}: No such file or directory"
        assert error_of(stack, "SELECT lambda_sync('Echo', '1')") == (3200, "HY000", expected)
    finally:
        stack.sidecar.start()
    assert stack.value("SELECT lambda_sync('Echo', '1')") == "1"

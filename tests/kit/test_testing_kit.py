"""lambda_sidecar.testing for users: callables of the test answer SQL, on a private mysqld and a real sidecar.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import botocore.exceptions
import mysql.connector
import pytest
from tests.support.account import ARN
from tests.support.stack import execute
from tests.support.waiting import wait_until

from lambda_sidecar.testing import ApiError, MySqlLambda, mysqld, sidecar
from lambda_sidecar.testing.handler import Context
from lambda_sidecar.testing.process import ServerProcess


@pytest.fixture(scope="module")
def server(mysql_home: Path) -> Iterator[MySqlLambda]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LAMBDA_UDF_MYSQL", str(mysql_home))
        # None of it may reach the kit's sidecar.
        environment.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        environment.setenv("LAMBDA_SIDECAR_REGION", "eu-west-1")
        environment.setenv("AWS_PROFILE", "none-such")
        started = MySqlLambda(mysqld_options=["--max-connections=77"]).start()
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def kit(server: MySqlLambda) -> Iterator[MySqlLambda]:
    server.reset()
    query(server, "DROP DATABASE IF EXISTS shop")
    query(server, "CREATE DATABASE shop")
    yield server
    server.reset()


def query(kit: MySqlLambda, sql: str, **options: Any) -> list[Any]:
    with contextlib.closing(kit.connect(**options)) as connection:
        return execute(connection, sql)


def value(kit: MySqlLambda, sql: str, **options: Any) -> Any:
    ((found,),) = query(kit, sql, **options)
    return json.loads(found)


def fails_with(kit: MySqlLambda, sql: str) -> str:
    with pytest.raises(mysql.connector.Error) as caught:
        query(kit, sql)
    return str(caught.value)


def test_a_callable_answers_a_name_and_calls_tells_what_it_was_given(kit: MySqlLambda) -> None:
    kit.function("Double", lambda event: {"twice": event["number"] * 2, "text": "Grüße 🐬"})
    assert value(kit, "SELECT lambda_sync('Double', '{\"number\": 21}')") == {"twice": 42, "text": "Grüße 🐬"}
    (call,) = kit.calls("Double")
    assert (call.payload, call.invocation_type, call.caller) == ({"number": 21}, "RequestResponse", "root@%")
    assert (call.function, call.finished, call.error) == (f"{ARN}Double", True, None)
    assert call.result == {"twice": 42, "text": "Grüße 🐬"}


def test_an_arn_answers_for_its_region_and_account_only_and_a_qualifier_goes_first(kit: MySqlLambda) -> None:
    kit.function("f", lambda event: "any")
    kit.function("arn:aws:lambda:eu-west-1:123456789012:function:f", lambda event: "europe")
    kit.function("arn:aws:lambda:eu-west-1:123456789012:function:f:prod", lambda event: "production")
    kit.function("999999999999:function:g", lambda event: "other account")
    kit.function("f.new", lambda event: "new")
    kit.function("f.new:$LATEST.PUBLISHED", lambda event: "published")
    asked = {
        "f": "any",
        "arn:aws:lambda:us-west-2:210987654321:function:f": "any",
        "arn:aws:lambda:eu-west-1:123456789012:function:f": "europe",
        "arn:aws:lambda:eu-west-1:123456789012:function:f:3": "europe",
        "arn:aws:lambda:eu-west-1:123456789012:function:f:prod": "production",
        "999999999999:function:g": "other account",
        "f.new": "new",
        "f.new:$LATEST.PUBLISHED": "published",
    }
    assert {name: value(kit, f"SELECT lambda_sync('{name}', '1')") for name in asked} == asked
    assert len(kit.calls("f")) == 5
    assert len(kit.calls("arn:aws:lambda:eu-west-1:123456789012:function:f")) == 3
    assert len(kit.calls("f:prod")) == 1
    assert kit.calls("g:7") == []
    with pytest.raises(LookupError, match="888888888888:function:g is no function of this test"):
        kit.calls("888888888888:function:g")
    with kit.fails("g"):
        assert "Function not found" in fails_with(kit, "SELECT lambda_sync('g', '1')")


def test_what_a_handler_raises_is_a_function_error_with_its_type_and_text(kit: MySqlLambda) -> None:
    def handler(event: object) -> None:
        raise LookupError("no such order")

    kit.function("f", handler)
    with kit.fails("f"):
        assert "Lambda function error: Unhandled: LookupError: no such order" in fails_with(
            kit, "SELECT lambda_sync('f', '{}')"
        )
        document = value(kit, "SELECT lambda_invoke('f', '{}', '{}')")
    assert document["FunctionError"] == "Unhandled"
    error = document["Payload"]
    assert (error["errorType"], error["errorMessage"]) == ("LookupError", "no such order")
    assert "raise LookupError" in error["stackTrace"][-1]
    assert error["requestId"] == document["RequestId"] == kit.calls("f")[-1].request_id
    (call, _) = kit.calls("f")
    assert call.error == "LookupError: no such order"
    assert call.traceback is not None
    assert call.traceback.endswith('raise LookupError("no such order")\nLookupError: no such order\n')


@pytest.mark.parametrize(
    "given", [pytest.fail.Exception("stop"), SystemExit("stop")], ids=lambda one: type(one).__name__
)
def test_also_what_is_no_exception_answers_the_statement(kit: MySqlLambda, given: BaseException) -> None:
    def handler(event: object) -> None:
        raise given

    kit.function("f", handler)
    with kit.fails("f"):
        assert f"Unhandled: {type(given).__name__}: stop" in fails_with(kit, "SELECT lambda_sync('f', '{}')")


def test_an_answer_that_is_no_json_or_too_large_is_an_error_in_lambdas_words(kit: MySqlLambda) -> None:
    kit.function("set", lambda event: {1, 2})
    kit.function("large", lambda event: "x" * 6_291_556)
    with kit.fails("set"):
        assert "Runtime.MarshalError: Unable to marshal response: Object of type set is not" in fails_with(
            kit, "SELECT lambda_sync('set', '{}')"
        )
    with pytest.raises(
        AssertionError, match=r"a call of large has failed, .*: Function.ResponseSizeTooLarge"
    ):
        assert "Function.ResponseSizeTooLarge" in fails_with(kit, "SELECT lambda_sync('large', '{}')")
        kit.check()


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"price": Decimal("19.90")}, '{"price": 19.90}'),
        (Decimal("1E+2"), "1E+2"),
        (Point(1, 2), '{"x": 1, "y": 2}'),
        ({"at": Point(1, 2), 1: None, False: (1, 2)}, '{"at": {"x": 1, "y": 2}, "1": null, "false": [1, 2]}'),
        (b'{"raw": 1}', '{"raw": 1}'),
        (2**70, str(2**70)),
        (None, "null"),
    ],
    ids=str,
)
def test_a_result_is_written_as_awss_runtime_client_writes_it(
    kit: MySqlLambda, result: Any, text: str
) -> None:
    kit.function("f", lambda event: result)
    ((found,),) = query(kit, "SELECT lambda_sync('f', '{}')")
    assert found == text


def test_a_result_of_the_kit_is_the_one_of_the_local_lambda(kit: MySqlLambda) -> None:
    """Against awslambdaric's own loop, in a process that has Lambda's variables."""
    results = (
        "{'price': Decimal('19.90'), 'point': Point(1, 2), 'text': 'Grüße 🐬', 'float': 1e22, 'n': None}"
    )
    script = (
        "from decimal import Decimal\nfrom collections import namedtuple\nPoint = namedtuple('Point', 'x y')\n"
        "from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller\n"
        f"print(LambdaMarshaller().marshal_response({results})[0])"
    )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    environment = {
        **os.environ,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=True
    )
    kit.function("f", lambda event: eval(results))  # noqa: S307  the text above
    ((found,),) = query(kit, "SELECT lambda_sync('f', '{}')")
    assert found == done.stdout.rstrip("\n")


def test_an_exception_of_the_runtime_client_is_the_error_that_it_makes(kit: MySqlLambda) -> None:
    kit.function("f", lambda event: {"when": datetime(2026, 1, 2, tzinfo=UTC)})
    with kit.fails("f"):
        document = value(kit, "SELECT lambda_invoke('f', '{}', '{}')")["Payload"]
    assert document == {
        "errorMessage": "Unable to marshal response: Object of type datetime is not JSON serializable",
        "errorType": "Runtime.MarshalError",
        "requestId": kit.calls("f")[0].request_id,
        "stackTrace": [],
    }


def test_what_a_handler_changes_in_its_event_calls_does_not_show(kit: MySqlLambda) -> None:
    kit.function("f", lambda event: event.pop("order"))
    query(kit, "SELECT lambda_sync('f', '{\"order\": 7}')")
    (call,) = kit.calls("f")
    assert call.payload == {"order": 7}


def test_a_handler_with_two_parameters_gets_lambdas_context(kit: MySqlLambda) -> None:
    seen: list[Context] = []

    def lambda_handler(event: object, context: Context) -> str:
        seen.append(context)
        assert context.client_context is not None
        return str(context.client_context.custom["tenant"])

    kit.function("f", lambda_handler)
    options = '{"client_context": {"custom": {"tenant": "ada"}}, "qualifier": "prod"}'
    assert value(kit, f"SELECT lambda_invoke('f', '{{}}', '{options}')")["Payload"] == "ada"
    (call,) = kit.calls("f")
    (context,) = seen
    assert context.aws_request_id == call.request_id
    assert context.invoked_function_arn == call.function == f"{ARN}f:prod"
    assert (context.function_name, context.function_version) == ("f", "$LATEST")
    assert 890_000 < context.get_remaining_time_in_millis() <= 900_000
    assert call.client_context == {"custom": {"tenant": "ada"}}


@pytest.mark.parametrize("wrong", ["a value", lambda one, two, three: 0])
def test_what_can_be_no_handler_is_refused_at_once(kit: MySqlLambda, wrong: Any) -> None:
    with pytest.raises(TypeError, match="a handler"):
        kit.function("f", wrong)


def test_what_is_no_function_name_is_refused_at_once(kit: MySqlLambda) -> None:
    for ask in (
        kit.calls,
        lambda name: kit.function(name, str),
        lambda name: kit.fails(name, OSError()).__enter__(),
    ):
        with pytest.raises(ValueError, match="no function name"):
            ask("no such name")


def test_an_event_returns_at_once_and_wait_for_calls_waits_for_its_function(kit: MySqlLambda) -> None:
    gate = threading.Event()
    kit.function("f", lambda event: gate.wait(20))
    accepted = value(kit, "SELECT lambda_async('f', '{\"n\": 1}')")
    kit.function("g", str)
    with pytest.raises(
        AssertionError, match=r"f: 0 of 1 calls have finished within 0.05 s \(1 still run\); arrived: 1 of f$"
    ):
        kit.wait_for_calls("f", timeout=0.05)
    with pytest.raises(AssertionError, match=r"g: 0 of 2 .* \(0 still run\); arrived: 1 of f$"):
        kit.wait_for_calls("g", 2, timeout=0.05)
    gate.set()
    (call,) = kit.wait_for_calls("f")
    assert (call.invocation_type, call.payload, call.finished) == ("Event", {"n": 1}, True)
    assert accepted == {"StatusCode": 202, "RequestId": call.request_id}


def test_an_event_whose_function_raises_fails_no_statement_and_is_not_tried_again(kit: MySqlLambda) -> None:
    with kit.fails("f", ValueError("late")):
        query(kit, "SELECT lambda_async('f', '1')")
        (call,) = kit.wait_for_calls("f")
    assert call.error == "ValueError: late"


def test_fails_makes_calls_fail_while_it_lasts_with_a_function_error(kit: MySqlLambda) -> None:
    kit.function("f", lambda event: "fine")
    with kit.fails("f", ValueError("broken")):
        assert "Unhandled: ValueError: broken" in fails_with(kit, "SELECT lambda_sync('f', '1')")
        with kit.fails("f", KeyError):
            assert "Unhandled: KeyError" in fails_with(kit, "SELECT lambda_sync('f', '1')")
        with kit.fails("f"):
            assert value(kit, "SELECT lambda_sync('f', '1')") == "fine"
        assert "Unhandled: ValueError: broken" in fails_with(kit, "SELECT lambda_sync('f', '1')")
    assert value(kit, "SELECT lambda_sync('f', '1')") == "fine"


def test_fails_refuses_calls_of_every_type_with_an_error_of_the_lambda_api(kit: MySqlLambda) -> None:
    kit.function("f", lambda event: "fine")
    options = '{"invocation_type": "DryRun"}'
    with kit.fails("f", ApiError("InvalidRuntimeException", "busy")):
        for call in (
            "lambda_sync('f', '1')",
            "lambda_async('f', '1')",
            f"lambda_invoke('f', '1', '{options}')",
        ):
            assert "Lambda API returned error: InvalidRuntimeException: busy" in fails_with(
                kit, f"SELECT {call}"
            )
    calls = kit.calls("f")
    assert [call.invocation_type for call in calls] == ["RequestResponse", "Event", "DryRun"]
    assert {call.error for call in calls} == {"InvalidRuntimeException: busy"}


def test_throttling_is_tried_again_as_with_aws_and_each_attempt_is_a_call(kit: MySqlLambda) -> None:
    with kit.fails("f", ApiError("TooManyRequestsException")):
        assert "TooManyRequestsException: refused by the test" in fails_with(
            kit, "SELECT lambda_sync('f', '1')"
        )
    assert len(kit.calls("f")) >= 3
    kit.function("f", lambda event: event)
    assert value(kit, "SELECT lambda_sync('f', '2')") == 2


def test_an_api_error_that_lambda_does_not_have_needs_its_status(kit: MySqlLambda) -> None:
    with pytest.raises(ValueError, match=r"no AccessDenied: .*TooManyRequestsException"):
        ApiError("AccessDenied")
    with kit.fails("f", ApiError("AccessDeniedException", "not you", status=403)):
        assert "AccessDeniedException: not you" in fails_with(kit, "SELECT lambda_sync('f', '1')")


def test_a_dry_run_is_a_call_but_runs_nothing(kit: MySqlLambda) -> None:
    kit.function("f", lambda event: pytest.fail("it ran"))
    options = '{"invocation_type": "DryRun"}'
    assert value(kit, f"SELECT lambda_invoke('f', '1', '{options}')")["StatusCode"] == 204
    (call,) = kit.calls("f")
    assert (call.invocation_type, call.finished, call.error) == ("DryRun", True, None)


def test_the_caller_is_the_account_and_in_a_trigger_its_definer(kit: MySqlLambda) -> None:
    for sql in (
        "CREATE TABLE shop.orders (id INT PRIMARY KEY)",
        "CREATE USER IF NOT EXISTS 'shöp'@'%' IDENTIFIED BY 'secret'",
        "GRANT AWS_LAMBDA_ACCESS TO 'shöp'@'%'",
        "SET DEFAULT ROLE ALL TO 'shöp'@'%'",
        "GRANT INSERT ON shop.* TO 'shöp'@'%'",
        "CREATE TRIGGER shop.placed AFTER INSERT ON shop.orders FOR EACH ROW SET @x = lambda_async('f', '1')",
    ):
        query(kit, sql)
    kit.function("f", lambda event: None)
    with contextlib.closing(kit.connect(user="shöp", password="secret")) as connection:
        execute(connection, "SELECT lambda_sync('f', '1')")
        execute(connection, "INSERT INTO shop.orders VALUES (1)")
    calls = kit.wait_for_calls("f", 2)
    assert [call.caller for call in calls] == ["shöp@%", "root@%"]


def test_an_unknown_function_is_said_by_the_statement_and_recorded(kit: MySqlLambda) -> None:
    with kit.fails("f"):
        assert f"ResourceNotFoundException: Function not found: {ARN}f" in fails_with(
            kit, "SELECT lambda_sync('f', '1')"
        )
    (call,) = kit.calls("f")
    assert call.error is not None
    assert call.error.startswith("ResourceNotFoundException")


def test_reset_forgets_all_and_a_call_of_before_does_not_come_back(kit: MySqlLambda) -> None:
    gate = threading.Event()
    kit.function("f", lambda event: gate.wait(20))
    query(kit, "SELECT lambda_async('f', '1')")
    (before,) = kit.calls("f")
    kit.reset()
    gate.set()
    wait_until(lambda: before.finished, what="the end of the call of before")
    with kit.fails("f"):
        assert kit.calls("f") == []
        assert "Function not found" in fails_with(kit, "SELECT lambda_sync('f', '1')")


def test_many_sessions_are_answered_at_once_and_a_handler_may_call_a_function_itself(
    kit: MySqlLambda,
) -> None:
    everybody = threading.Barrier(8, timeout=20)
    kit.function("inner", lambda event: everybody.wait() >= 0)
    kit.function("outer", lambda event: value(kit, "SELECT lambda_sync('inner', '1')"))
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(value(kit, "SELECT lambda_sync('outer', '1')")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 8


def test_connection_details_are_good_for_any_client(kit: MySqlLambda) -> None:
    tcp = mysql.connector.connect(host=kit.host, port=kit.port, user=kit.user, password=kit.password)
    with contextlib.closing(
        mysql.connector.connect(unix_socket=kit.socket, user=kit.user, password=kit.password)
    ) as one:
        with contextlib.closing(tcp) as other:
            assert tcp.is_connected()
            with other.cursor() as cursor:
                cursor.execute("SELECT @@max_connections, CURRENT_USER()")
                assert cursor.fetchone() == (77, "root@%")
        assert one.is_connected()
    for options in ({"password": ""}, {"password": "", "unix_socket": kit.socket}):
        with pytest.raises(mysql.connector.Error, match="Access denied"):
            kit.connect(**options)
    assert stat.S_IMODE(Path(kit.socket).parent.stat().st_mode) == 0o700


def sidecars_keys(kit: MySqlLambda) -> tuple[str, str]:
    return kit._endpoint.sessions.sidecar.key, kit._endpoint.sessions.sidecar.secret


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        (("AKIAIOSFODNN7EXAMPLE", "wrong"), "UnrecognizedClientException"),
        ((None, "wrong"), "InvalidSignatureException"),
        ((None, None), "AccessDeniedException"),
    ],
    ids=["a strange key", "a wrong secret", "the sidecar's own key, for no account"],
)
def test_the_endpoint_answers_nobody_but_the_sidecar_for_an_account(
    kit: MySqlLambda, keys: tuple[str | None, str | None], code: str
) -> None:
    kit.function("f", lambda event: pytest.fail("it ran"))
    key, secret = (given or own for given, own in zip(keys, sidecars_keys(kit), strict=True))
    client = boto3.client(
        "lambda",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{kit._endpoint.port}",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )
    with contextlib.closing(client), pytest.raises(botocore.exceptions.ClientError) as refused:
        client.invoke(FunctionName="f", Payload=b"{}")
    assert refused.value.response["Error"]["Code"] == code
    assert kit.calls("f") == []


def test_the_endpoint_answers_no_request_without_a_signature(kit: MySqlLambda) -> None:
    for path in ("/2015-03-31/functions/f/invocations", "/"):
        connection = http.client.HTTPConnection("127.0.0.1", kit._endpoint.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", path, body=b"{}")
            answer = connection.getresponse()
            assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (
                403,
                "MissingAuthenticationTokenException",
            )
            answer.read()


def test_nothing_is_left_of_a_kit_that_has_ended(mysql_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_UDF_MYSQL", str(mysql_home))
    before = threading.enumerate()
    with MySqlLambda(settings={"allow": [{"account": "nobody@%"}]}) as kit:
        stack = Path(kit.socket).parent
        folder = stack.parent
        port = kit._endpoint.port
        assert folder.is_dir()
        assert "AccessDenied: account 'root'@'%' may not invoke" in fails_with(
            kit, "SELECT lambda_sync('f', '1')"
        )
    assert not folder.exists()
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
    for identity in (mysqld.identity(stack), sidecar.identity(stack)):
        assert ServerProcess.find(identity) is None
    assert not [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("lambda-endpoint") and thread not in before
    ]

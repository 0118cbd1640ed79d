"""lambda_execution, lambda_callback and lambda_callback_failure as SQL has them: what they send, and what ends them.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import mysql.connector
import pytest
from tests.support.component import installed_component, status
from tests.support.contract_server import serve
from tests.support.stack import Stack, execute
from tests.support.waiting import wait_until

from lambda_udf.v1 import invoker_pb2, invoker_pb2_grpc

ARN = "arn:aws:lambda:us-east-1:123456789012:function:Order:$LATEST/durable-execution/order-17/7b9c"
ID = "Ab3+/x9=="
EXECUTION, SUCCESS, FAILURE = (
    invoker_pb2.INVOCATION_TYPE_EXECUTION,
    invoker_pb2.INVOCATION_TYPE_CALLBACK_SUCCESS,
    invoker_pb2.INVOCATION_TYPE_CALLBACK_FAILURE,
)
TAKEN = {"StatusCode": 200, "RequestId": "r-1"}


class Peer(invoker_pb2_grpc.LambdaInvokerServicer):
    """Answers everything, as soon as it may; `requests` are what came."""

    def __init__(self) -> None:
        self.requests: list[invoker_pb2.InvokeRequest] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def Invoke(
        self, request_iterator: Iterator[invoker_pb2.InvokeRequest], context: grpc.ServicerContext
    ) -> Iterator[invoker_pb2.InvokeResponse]:
        context.send_initial_metadata(())
        for request in request_iterator:
            self.requests.append(request)
            while not self.may_answer.wait(0.05):
                if not context.is_active():
                    return
            result = invoker_pb2.InvokeResult(status_code=200, request_id="r-1")
            if request.invocation_type == EXECUTION:
                result.payload = b'{"Status": "RUNNING"}'
            yield invoker_pb2.InvokeResponse(call_id=request.call_id, result=result)


@pytest.fixture
def component(stack: Stack) -> Iterator[Stack]:
    with installed_component(stack):
        yield stack


@pytest.fixture
def peer(component: Stack, tmp_path: Path) -> Iterator[Peer]:
    made = Peer()
    with serve(made, tmp_path / "s.sock") as socket:
        component.query(f"SET GLOBAL lambda_udf.socket = '{socket}'")
        yield made


def failure(stack: Stack, sql: str, parameters: tuple[Any, ...] = (), **options: Any) -> tuple[int, str]:
    with contextlib.closing(stack.connect(**options)) as connection:
        with pytest.raises(mysql.connector.Error) as failed:
            execute(connection, sql, parameters)
        return failed.value.errno, str(failed.value.msg)


def test_each_is_one_request_that_invokes_nothing_and_returns_what_lambda_says(
    component: Stack, peer: Peer
) -> None:
    before = status(component)
    assert component.value("SELECT lambda_execution(%s)", (ARN,)) == '{"Status": "RUNNING"}'
    for sql, parameters in [
        ("SELECT lambda_callback(%s, JSON_OBJECT('a', 1))", (ID,)),
        ("SELECT lambda_callback(%s, %s, %s)", (ID, "text", '{"function": "Order"}')),
        ("SELECT lambda_callback_failure(%s, %s)", (ID, "why")),
    ]:
        assert json.loads(component.value(sql, parameters)) == TAKEN
    assert [
        (one.invocation_type, one.function, one.payload, one.callback_options_json, one.options_json)
        for one in peer.requests
    ] == [
        (EXECUTION, ARN, b"", "", ""),
        (SUCCESS, ID, b'{"a": 1}', "", ""),
        (SUCCESS, ID, b"text", '{"function": "Order"}', ""),
        (FAILURE, ID, b"why", "", ""),
    ]
    after = status(component)
    assert after["calls_execution"] - before["calls_execution"] == 1
    assert after["calls_callback"] - before["calls_callback"] == 3
    assert after["calls_invoke"] == before["calls_invoke"]


@pytest.mark.parametrize(
    ("sql", "parameters", "text"),
    [
        ("lambda_execution(NULL)", (), "the durable execution's ARN is NULL"),
        ("lambda_execution(%s)", (ARN + "x" * 1024,), "not a durable execution's ARN"),
        ("lambda_callback(NULL, '1')", (), "the callback's id is NULL"),
        ("lambda_callback_failure(%s, '1')", ("x" * 1025,), "not a callback's id"),
        ("lambda_callback(X'FF', '1')", (), "not a callback's id"),
        ("lambda_callback('a', NULL)", (), "payload is NULL"),
        ("lambda_callback('a', REPEAT('x', 1048577))", (), "Lambda takes at most 1048576 for a callback"),
        ("lambda_callback('a', '1', '')", (), "options are empty"),
        ("lambda_callback('a', '1', REPEAT(' ', 20000))", (), "options too long"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_sent(
    component: Stack, peer: Peer, sql: str, parameters: tuple[str, ...], text: str
) -> None:
    number, said = failure(component, f"SELECT {sql}", parameters)
    assert (number, text in said) == (3200, True), said
    assert peer.requests == []


@pytest.mark.parametrize("sql", ["lambda_execution()", "lambda_execution('a', 'b')", "lambda_callback('a')"])
def test_a_wrong_number_of_arguments_is_refused(component: Stack, sql: str) -> None:
    number, text = failure(component, f"SELECT {sql}")
    assert (number, "argument" in text) == (1123, True)


def test_the_privilege_the_mode_and_explain_rule_them_as_every_call(component: Stack, peer: Peer) -> None:
    component.query("CREATE USER app@localhost")
    component.query("GRANT ALL ON test.* TO app@localhost")
    try:
        assert failure(component, "SELECT lambda_callback('a', '1')", user="app")[0] == 1227
        assert failure(component, f"SELECT lambda_execution('{ARN}')", user="app")[0] == 1227
    finally:
        component.query("DROP USER app@localhost")
    component.query("EXPLAIN SELECT lambda_callback('a', '1')")
    component.query("SET GLOBAL lambda_udf.mode = 'skip'")
    assert component.value("SELECT lambda_callback('a', '1')") is None
    assert component.value(f"SELECT lambda_execution('{ARN}')") is None
    component.query("SET GLOBAL lambda_udf.mode = 'deny'")
    assert failure(component, "SELECT lambda_callback('a', '1')")[0] == 3200
    assert peer.requests == []


def test_kill_and_the_timeout_end_them_and_whoever_looks_sees_no_id(component: Stack, peer: Peer) -> None:
    peer.may_answer.clear()
    component.query("SET GLOBAL lambda_udf.timeout_ms = 300")
    assert failure(component, "SELECT lambda_callback('canary', '1')") == (
        3200,
        "lambda_callback UDF failed; timed out after 300 ms",
    )
    component.query("SET GLOBAL lambda_udf.timeout_ms = 60000")
    failed: list[int] = []
    with contextlib.closing(component.connect()) as connection:

        def call() -> None:
            try:
                execute(connection, "SELECT lambda_callback_failure('canary', '1')")
            except mysql.connector.Error as error:
                failed.append(error.errno)

        thread = threading.Thread(target=call)
        thread.start()
        wait_until(lambda: len(peer.requests) == 2, seconds=20, what="the call")
        rows = component.query(
            "SELECT FUNCTION_NAME, INVOCATION_TYPE, MESSAGE FROM performance_schema.lambda_udf_calls"
        )
        component.query(f"KILL QUERY {connection.connection_id}")
        thread.join(10)
    assert failed == [1317]
    assert ("(callback)", "Callback", None) in rows
    assert "canary" not in str(rows)


class Older(invoker_pb2_grpc.LambdaInvokerServicer):
    """A sidecar of before them: it knows neither their types nor their options' field."""

    def Invoke(
        self, request_iterator: Iterator[invoker_pb2.InvokeRequest], context: grpc.ServicerContext
    ) -> Iterator[invoker_pb2.InvokeResponse]:
        context.send_initial_metadata(())
        for request in request_iterator:
            assert not request.options_json and not request.answer_form
            error = invoker_pb2.InvokeError(kind="ERROR_KIND_INVALID", message="unknown invocation type")
            yield invoker_pb2.InvokeResponse(call_id=request.call_id, error=error)


def test_an_older_sidecar_refuses_them_and_invokes_nothing(component: Stack, tmp_path: Path) -> None:
    with serve(Older(), tmp_path / "old.sock") as socket:
        component.query(f"SET GLOBAL lambda_udf.socket = '{socket}'")
        for sql in ("lambda_callback('a', '1', '{}')", f"lambda_execution('{ARN}')"):
            assert "unknown invocation type" in failure(component, f"SELECT {sql}")[1]

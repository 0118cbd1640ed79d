"""lambda_ping(): the sidecar's own answer to mysqld, which no rule, mode or counter of calls has to do with.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import mysql.connector
import pytest
from tests.support.component import installed_component, status
from tests.support.contract_server import OldSidecar, serve
from tests.support.invoker_client import connect, snapshot
from tests.support.stack import Stack, execute

from lambda_sidecar.version import version
from lambda_udf.v1 import diagnosis_pb2, diagnosis_pb2_grpc, invoker_pb2, invoker_pb2_grpc

PING = "SELECT lambda_ping()"


@pytest.fixture
def component(stack: Stack) -> Iterator[Stack]:
    with installed_component(stack):
        yield stack


def refusal(stack: Stack, sql: str = PING, user: str = "root") -> tuple[int, str]:
    with contextlib.closing(stack.connect(user=user)) as connection:
        with pytest.raises(mysql.connector.Error) as refused:
            execute(connection, sql)
        return refused.value.errno, str(refused.value.msg)


def test_it_says_which_sidecar_answers(stack: Stack) -> None:
    said = json.loads(stack.value(PING))
    with connect(stack.sidecar.socket) as channel:
        stub = diagnosis_pb2_grpc.DiagnosisStub(channel)
        answer = stub.Diagnose(diagnosis_pb2.DiagnoseRequest())
    assert said == {"SidecarVersion": version(), "SidecarId": answer.sidecar_id}
    assert stack.record.count() == 0


def test_no_counter_of_calls_notices_on_either_side(component: Stack) -> None:
    before, before_sidecar = status(component), snapshot(component.sidecar.socket)
    assert component.value(PING)
    after, after_sidecar = status(component), snapshot(component.sidecar.socket)
    for name in ("connections", "connections_opened"):  # these count connections
        del before[name], after[name]
    assert before == after
    assert list(before_sidecar.outcomes) == list(after_sidecar.outcomes)


@pytest.mark.parametrize("mode", ["skip", "deny"])
def test_it_is_answered_in_every_mode(component: Stack, mode: str) -> None:
    component.query(f"SET GLOBAL lambda_udf.mode = '{mode}'")
    assert json.loads(component.value(PING))["SidecarVersion"] == version()


def test_it_needs_the_privilege_to_invoke(component: Stack) -> None:
    component.query("CREATE USER app@localhost")
    component.query("GRANT ALL ON test.* TO app@localhost")
    try:
        assert refusal(component, user="app")[0] == 1227
        component.query("GRANT INVOKE_LAMBDA ON *.* TO app@localhost")
        with contextlib.closing(component.connect(user="app")) as connection:
            assert execute(connection, PING)
    finally:
        component.query("DROP USER app@localhost")


def test_it_takes_no_arguments_and_explain_asks_nothing(stack: Stack) -> None:
    errno, text = refusal(stack, "SELECT lambda_ping(1)")
    assert (errno, "lambda_ping() takes no arguments, 1 given" in text) == (1123, True)
    assert stack.query(f"EXPLAIN {PING}")


def test_each_row_is_a_round_trip_of_its_own(stack: Stack) -> None:
    rows = stack.query("SELECT lambda_ping() FROM (SELECT 1 UNION SELECT 2 UNION SELECT 3) AS three")
    assert len(rows) == 3
    assert len(set(rows)) == 1


def test_a_socket_without_a_sidecar_is_named_in_the_error(component: Stack, tmp_path: Path) -> None:
    component.query("SET GLOBAL lambda_udf.connect_timeout_ms = 100")
    component.query(f"SET GLOBAL lambda_udf.socket = '{tmp_path}/none.sock'")
    text = f"lambda_ping UDF failed; sidecar unavailable: {tmp_path}/none.sock: No such file or directory"
    assert refusal(component) == (3200, text)


def test_a_sidecar_of_an_older_release_is_an_error_and_no_answer(component: Stack, tmp_path: Path) -> None:
    with serve(OldSidecar(), tmp_path / "old.sock") as socket:
        component.query(f"SET GLOBAL lambda_udf.socket = '{socket}'")
        assert refusal(component) == (3200, "lambda_ping UDF failed; unknown invocation type")


class Hostile(invoker_pb2_grpc.LambdaInvokerServicer):
    """Says what would not be JSON, at great length."""

    def Invoke(
        self, request_iterator: Iterator[invoker_pb2.InvokeRequest], context: grpc.ServicerContext
    ) -> Iterator[invoker_pb2.InvokeResponse]:
        context.send_initial_metadata(())
        for request in request_iterator:
            result = invoker_pb2.InvokeResult(executed_version='", "x": "', request_id="9" * 1_000_000)
            yield invoker_pb2.InvokeResponse(call_id=request.call_id, result=result)


def test_what_a_hostile_peer_says_is_left_out_of_the_answer(component: Stack, tmp_path: Path) -> None:
    with serve(Hostile(), tmp_path / "hostile.sock") as socket:
        component.query(f"SET GLOBAL lambda_udf.socket = '{socket}'")
        assert json.loads(component.value(PING)) == {"SidecarVersion": "", "SidecarId": ""}

"""The sidecar's own answers: the service Diagnosis, and a ping, to clients that are not ours.

Each test's name is the sentence that it proves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from tests.support.account import ROLE
from tests.support.aws_sidecar import BASE_KEY, BASE_SECRET, AwsSidecar, aws_sidecar
from tests.support.invoker_client import connect, snapshot
from tests.support.lambda_endpoint import says
from tests.support.sts_endpoint import SECRET, TOKEN, key
from tests.support.waiting import wait_until

from lambda_sidecar.access.account import Account
from lambda_sidecar.check.report import Report
from lambda_sidecar.contract.diagnosis import ASKED_MAX, AT_ONCE
from lambda_sidecar.contract.diagnosis_client import diagnose
from lambda_sidecar.version import version
from lambda_udf.v1 import diagnosis_pb2, diagnosis_pb2_grpc, invoker_pb2

APP = Account("app", "%")
# Of a role, which STS gives only while its gate is open.
HELD = diagnosis_pb2.DiagnoseRequest(function="f", user="app", host="%")
PING = invoker_pb2.INVOCATION_TYPE_PING


def ask(socket: Path, **fields: str) -> diagnosis_pb2.DiagnoseResponse:
    with connect(socket) as channel:
        stub = diagnosis_pb2_grpc.DiagnosisStub(channel)
        answer: diagnosis_pb2.DiagnoseResponse = stub.Diagnose(diagnosis_pb2.DiagnoseRequest(**fields))
        return answer


def test_no_secret_is_in_an_answer(tmp_path: Path) -> None:
    settings = {"aws_default_lambda_role": ROLE + "one", "external_id": "canary-external-id"}
    with aws_sidecar(tmp_path, says(204), **settings) as aws:
        text = str(ask(aws.sidecar.socket, function="f", user="app", host="%"))
        assert [each["ExternalId"] for each in aws.sts.requests] == ["canary-external-id"]
    assert "assumed-role/one" in text
    for secret in (BASE_KEY, BASE_SECRET, SECRET, TOKEN, key(1), "canary-external-id"):
        assert secret not in text


def test_a_diagnosis_counts_as_no_call(aws: AwsSidecar) -> None:
    before = snapshot(aws.sidecar.socket)
    ask(aws.sidecar.socket, function="f", user="app", host="%")
    after = snapshot(aws.sidecar.socket)
    assert list(before.outcomes) == list(after.outcomes)
    assert (len(after.slow), after.sent_bytes) == (0, 0)
    assert [each["x-amz-invocation-type"] for each in aws.endpoint.headers] == ["DryRun"]


def test_a_flood_of_questions_reaches_aws_as_a_few_at_a_time_and_all_are_answered(tmp_path: Path) -> None:
    asked = 3 * AT_ONCE
    with aws_sidecar(tmp_path, says(204), aws_default_lambda_role=ROLE + "one") as aws:
        aws.sts.gate.clear()
        with ThreadPoolExecutor(asked + 1) as pool:
            answers = [
                pool.submit(ask, aws.sidecar.socket, function="f", user="app", host="%") for _ in range(asked)
            ]
            wait_until(lambda: len(aws.sts.requests) == AT_ONCE, what="questions at STS")
            again = pool.submit(snapshot, aws.sidecar.socket)
            assert again.result().in_flight == 0  # other questions are answered meanwhile
            held = len(aws.sts.requests)
            aws.sts.gate.set()
            verdicts = {each.verdict for answer in answers for each in answer.result().findings}
    assert held == AT_ONCE
    assert diagnosis_pb2.VERDICT_FAILED not in verdicts
    assert len(aws.sts.requests) == asked


def test_more_questions_than_may_wait_are_refused_at_once_and_the_others_are_answered(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, says(204), aws_default_lambda_role=ROLE + "one") as aws:
        aws.sts.gate.clear()
        with connect(aws.sidecar.socket) as one, connect(aws.sidecar.socket) as other:
            stubs = [diagnosis_pb2_grpc.DiagnosisStub(channel) for channel in (one, other)]
            asked = [stubs[n % 2].Diagnose.future(HELD, timeout=60) for n in range(ASKED_MAX + 4)]
            wait_until(lambda: sum(each.done() for each in asked) == 4, what="refusals")
            refused = [each for each in asked if each.done()]
            aws.sts.gate.set()
            answers = [each.result() for each in asked if each not in refused]
    assert {each.code() for each in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert len(answers) == ASKED_MAX


def test_questions_whose_askers_have_gone_leave_room_for_others(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, says(204), aws_default_lambda_role=ROLE + "one") as aws:
        aws.sts.gate.clear()
        with connect(aws.sidecar.socket) as channel:
            stub = diagnosis_pb2_grpc.DiagnosisStub(channel)
            for _ in range(ASKED_MAX + 1):
                with pytest.raises(grpc.RpcError) as gone:
                    stub.Diagnose(HELD, timeout=0.05)
                assert gone.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        aws.sts.gate.set()
        assert ask(aws.sidecar.socket).findings


def test_names_that_steer_a_terminal_are_written_out(aws: AwsSidecar) -> None:
    lines: list[str] = []
    answer = diagnose(aws.sidecar.socket, "f\x1b[2J", Account("\u202eapp\n", "%"))
    report = Report(lines.append)
    for finding in answer.findings:
        report.found(finding)
    assert report.failed
    assert all(line.isprintable() for line in lines)


def test_names_of_any_length_are_refused_as_those_of_calls_are(aws: AwsSidecar) -> None:
    long = "x" * 1_000_000
    answer = ask(aws.sidecar.socket, function=long, user=long, host=long)
    (failed,) = [each for each in answer.findings if each.verdict == diagnosis_pb2.VERDICT_FAILED]
    assert failed.step == "role"
    assert len(failed.text) < 500


def test_a_ping_is_answered_whatever_the_rules_say_and_counts_as_no_call(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, allow=[{"account": "nobody@nowhere"}]) as aws:
        assert "may not invoke" in aws.stream.error("f")
        before = snapshot(aws.sidecar.socket)
        response = aws.stream.ask("", b"", invocation_type=PING)
        after = snapshot(aws.sidecar.socket)
        named = aws.stream.ask("f", b"not JSON", invocation_type=PING)
        sidecar_id = ask(aws.sidecar.socket).sidecar_id
    expected = invoker_pb2.InvokeResult(executed_version=version(), request_id=sidecar_id)
    assert (response.result, named.result) == (expected, expected)
    assert len(sidecar_id) == 16
    assert list(before.outcomes) == list(after.outcomes)
    assert aws.endpoint.paths == []


def test_a_restarted_sidecar_is_another_one(aws: AwsSidecar) -> None:
    first = ask(aws.sidecar.socket).sidecar_id
    aws.sidecar.stop()
    aws.sidecar.start()
    assert ask(aws.sidecar.socket).sidecar_id != first

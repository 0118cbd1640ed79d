"""Answers that come as a stream, through a sidecar: passed on as they come, and given up wherever they may be.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.pure.test_trace import GOOD
from tests.support.aws_sidecar import OK, AwsSidecar, aws_sidecar
from tests.support.event_stream import chunk, complete, exception
from tests.support.invoker_client import open_stream, snapshot
from tests.support.lambda_endpoint import Answer, Handler, says
from tests.support.scrape import listener, scrape
from tests.support.streamed_endpoint import Flood, ask, begin, receive, send, streams, until_gone, write
from tests.support.waiting import wait_until

from lambda_udf.v1 import invoker_pb2, monitor_pb2

WHOLE = streams(chunk(b"one, "), chunk(b"two"), complete())
THROTTLED = says(429, b'{"message": "slow"}', x_amzn_ErrorType="TooManyRequestsException")
MB = 1_000_000


def outcomes(aws: AwsSidecar) -> dict[str, int]:
    now = snapshot(aws.sidecar.socket)
    return {each.outcome: each.calls for each in now.outcomes if each.calls}


def all_is_given_back(aws: AwsSidecar) -> bool:
    """The slot, the call."""
    now = snapshot(aws.sidecar.socket)
    return now.running == now.in_flight == now.waiting == 0


def answers_well(aws: AwsSidecar) -> None:
    """On another connection's stream, and with all that one call needs."""
    wait_until(lambda: all_is_given_back(aws), what="the slot given back")
    aws.endpoint.answers[:] = [WHOLE]
    with open_stream(aws.sidecar.socket) as stream:
        assert ask(stream).document["Payload"] == "one, two"


@pytest.fixture(scope="module", name="shared")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> object:
    with aws_sidecar(tmp_path_factory.mktemp("streamed")) as aws:
        yield aws


def test_a_part_is_with_the_client_while_the_function_still_runs_and_the_call_is_shown_as_sent(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    answer = streams(chunk(b"one"), gate, chunk(b"two"), complete(), X_Amz_Executed_Version="7")
    with aws_sidecar(tmp_path, answer) as aws:
        number = send(aws.stream)
        first = aws.stream.receive()
        assert (first.call_id, first.part) == (number, b'{"StatusCode": 200, "Payload": "one')
        now = snapshot(aws.sidecar.socket, calls_max=5)
        assert [call.phase for call in now.calls] == [monitor_pb2.PHASE_SENT]
        assert (now.running, now.in_flight) == (1, 1)
        gate.set()
        rest = receive(aws.stream)
        assert rest.last.call_id == number
        assert (first.part + rest.text).startswith(b'{"StatusCode": 200, "Payload": "onetwo", "Exec')
        assert aws.endpoint.paths[0].startswith("/2021-11-15/functions/")
        assert aws.endpoint.paths[0].endswith("/response-streaming-invocations")
        headers = aws.endpoint.headers[0]
        assert headers["x-amz-invocation-type"] == "RequestResponse"
        assert "Credential=AKIDBASE/" in headers["authorization"]


def test_a_function_that_failed_after_it_began_has_both_in_its_document(shared: AwsSidecar) -> None:
    details = '{"errorType": "Oh", "errorMessage": "no"}'
    failed = streams(chunk(b"half"), complete(ErrorCode="Unhandled", ErrorDetails=details, LogResult="bG9n"))
    shared.endpoint.paths.clear()
    shared.endpoint.answers[:] = [failed]
    document = ask(shared.stream, options='{"stream": true, "log_type": "Tail"}').document
    assert document == {
        "StatusCode": 200,
        "Payload": "half",
        "ExecutedVersion": None,
        "LogResult": "log",
        "FunctionError": "Unhandled",
        "RequestId": "r-1",
        "DurableExecutionArn": None,
        "ErrorDetails": details,
    }
    assert shared.endpoint.headers[-1]["x-amz-log-type"] == "Tail"


# ---- given up ----


def test_a_client_that_leaves_in_mid_stream_closes_the_connection_to_lambda_and_gives_its_slot_back(
    tmp_path: Path,
) -> None:
    gone = threading.Event()
    with aws_sidecar(tmp_path, streams(chunk(b"one"), until_gone(gone)), max_concurrency=1) as aws:
        send(aws.stream)
        assert aws.stream.receive().part
        aws.stream.cancel()
        assert gone.wait(20)
        answers_well(aws)
        assert outcomes(aws) == {"cancelled": 1, "success": 1}


def test_a_deadline_in_mid_stream_is_the_calls_error_and_its_stream_goes_on(tmp_path: Path) -> None:
    gone = threading.Event()
    with aws_sidecar(tmp_path, streams(chunk(b"one"), until_gone(gone)), WHOLE, max_concurrency=1) as aws:
        late = ask(aws.stream, timeout_ms=300)
        assert (late.parts, late.error) == (1, "timed out after 300 ms")
        assert gone.wait(20)
        assert ask(aws.stream).document["Payload"] == "one, two"
        assert outcomes(aws) == {"timeout": 1, "success": 1}


def test_a_deadline_while_the_client_takes_nothing_is_the_calls_error_and_its_stream_goes_on(
    tmp_path: Path,
) -> None:
    """The part that is being written then is written to its end: gRPC takes no other one before."""
    flood = Flood(chunk(b"x" * 60_000), 1000)
    with aws_sidecar(tmp_path, streams(flood, complete()), WHOLE, max_concurrency=1) as aws:
        send(aws.stream, timeout_ms=1500)
        assert flood.gone.wait(20)
        wait_until(lambda: outcomes(aws) == {"timeout": 1}, what="the deadline")
        late = receive(aws.stream)
        assert late.error == "timed out after 1500 ms"
        assert ask(aws.stream).document["Payload"] == "one, two"
        aws.sidecar.stop()
        assert "Traceback" not in aws.sidecar.log_text()


def test_a_client_that_leaves_while_a_part_is_written_is_one_that_left(tmp_path: Path) -> None:
    flood = Flood(chunk(b"x" * 60_000), 1000)
    with aws_sidecar(tmp_path, streams(flood, complete()), max_concurrency=1) as aws:
        with open_stream(aws.sidecar.socket) as stream:
            send(stream)
            assert flood.held_up.wait(20)
        assert flood.gone.wait(20)
        answers_well(aws)
        assert outcomes(aws) == {"cancelled": 1, "success": 1}
        aws.sidecar.stop()
        for trace in ("Traceback", "never retrieved", "internal failure"):
            assert not aws.sidecar.log_contains(trace)


def test_a_sidecar_that_is_stopped_ends_a_stream_under_way_first(tmp_path: Path) -> None:
    gate = threading.Event()
    with aws_sidecar(tmp_path, streams(chunk(b"one"), gate, chunk(b"two"), complete())) as aws:
        send(aws.stream)
        first = aws.stream.receive()
        stopping = threading.Thread(target=aws.sidecar.stop)
        stopping.start()
        wait_until(lambda: aws.sidecar.log_contains("stopping; running calls"), what="the signal")
        gate.set()
        rest = receive(aws.stream)
        stopping.join()
        assert b'"onetwo"' in (first.part + rest.text).replace(b'"Payload": ', b"")


# ---- a slow client ----


def test_a_client_that_takes_its_time_makes_lambda_wait_and_the_sidecar_holds_little(tmp_path: Path) -> None:
    flood = Flood(chunk(b"x" * 62_500), 640)
    with aws_sidecar(tmp_path, WHOLE, streams(flood, complete())) as aws:
        ask(aws.stream)
        before = resident(aws.sidecar.pid)
        send(aws.stream)
        assert flood.held_up.wait(30)
        assert flood.written < 20 * MB
        size = 0
        while (response := aws.stream.receive()).part:
            size += len(response.part)
        assert size == 40 * MB + len('{"StatusCode": 200, "Payload": "')
        assert response.result.payload.startswith(b'", "ExecutedVersion"')
        assert resident(aws.sidecar.pid, "VmHWM") - before < 24


def resident(pid: int, what: str = "VmRSS") -> int:
    """MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0]) // 1024


def test_an_answer_of_the_smallest_events_goes_on_in_fewer_and_larger_parts(shared: AwsSidecar) -> None:
    """Each is a message of its own, in an HTTP chunk of its own."""

    def tiny(handler: Handler) -> None:
        one = chunk(b"x")
        wire = b"%x\r\n%s\r\n" % (len(one), one)
        for _ in range(100):
            handler.wfile.write(wire * 200)

    shared.endpoint.paths.clear()
    shared.endpoint.answers[:] = [streams(tiny, complete())]
    streamed = ask(shared.stream)
    assert streamed.document["Payload"] == "x" * 20_000
    assert streamed.parts < 5000


# ---- what is no answer ----


def breaks_off(handler: Handler) -> None:
    begin(handler)
    write(handler, chunk(b"one"))
    handler.close_connection = True


def test_an_endpoint_that_dies_in_mid_stream_leaves_open_whether_the_call_was_carried_out(
    shared: AwsSidecar,
) -> None:
    early = streams(chunk(b"one"))
    shared.endpoint.paths.clear()
    shared.endpoint.answers[:] = [breaks_off, early]
    for text in (
        "The endpoint closed the connection",
        "The endpoint ended the stream before its completion",
    ):
        failed = ask(shared.stream)
        assert failed.error == (
            f"Lambda API returned error: Network Connection. {text}; the call may have been carried out"
        )
        assert failed.last.error.request_id == "r-1"
    answers_well(shared)
    assert len(shared.endpoint.paths) == 3, "nothing is sent again"


def test_what_is_refused_before_the_function_runs_is_sent_again(shared: AwsSidecar) -> None:
    busy = says(409, b'{"message": "m"}', x_amzn_ErrorType="ResourceConflictException")
    shared.endpoint.paths.clear()
    shared.endpoint.answers[:] = [THROTTLED, busy, WHOLE]
    assert ask(shared.stream, "busy").document["Payload"] == "one, two"
    assert len(shared.endpoint.paths) == 3


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (says(500, b'{"message": "m"}', x_amzn_ErrorType="ServiceException"), "ServiceException: m"),
        (says(404, b"{}", x_amzn_ErrorType="ResourceNotFoundException"), "ResourceNotFoundException: "),
        (says(200, b"<html>", Content_Type="text/html"), "a result that is no event stream"),
        (says(200, b"{}", Content_Type="application/json"), "a result that is no event stream"),
        (says(200, b"{}" * 9, x_amzn_RequestId="r-1", Content_Type="application/json"), "no event stream"),
        (says(200, b"{}", x_amzn_RequestId="r-1"), "The endpoint ended the stream before its completion"),
        (says(200), "no event stream"),
        (says(204), "HTTP 204 instead of 200"),
        (says(302), "HTTP 302 instead of 200"),
        (streams(b"<html>" * 9), "no event stream (ChecksumMismatch)"),
        (streams(complete(), chunk(b"1")), "an event behind the completion of its stream"),
        (streams(chunk(b"1"), exception("ServiceException", "oh")), "ServiceException: oh"),
        (streams(chunk(b"\xff"), complete()), "the function's result is not UTF-8 at byte 0"),
        (streams(chunk(b"ab\xc3"), complete()), "the function's result is not UTF-8 at byte 2"),
    ],
    ids=range(14),
)
def test_what_is_no_stream_of_lambdas_is_the_calls_error(
    shared: AwsSidecar, answer: Answer, text: str
) -> None:
    shared.endpoint.answers[:] = [answer, WHOLE]
    assert text in ask(shared.stream).error
    assert ask(shared.stream).document["Payload"] == "one, two"


def test_lambdas_own_answer_is_a_stream_whatever_type_its_data_has(shared: AwsSidecar) -> None:
    for kind in ("text/html", "application/vnd.awslambda.http-integration-response"):
        shared.endpoint.answers[:] = [streams(chunk(b"<p>"), complete(), Content_Type=kind)]
        assert ask(shared.stream).document["Payload"] == "<p>"


def test_a_dry_run_has_the_document_of_any_other(shared: AwsSidecar) -> None:
    shared.endpoint.answers[:] = [says(204, x_amzn_RequestId="r-9")]
    dry = ask(shared.stream, options='{"stream": true, "invocation_type": "DryRun"}')
    assert (dry.parts, dry.document["StatusCode"], dry.document["Payload"]) == (0, 204, None)
    assert shared.endpoint.headers[-1]["x-amz-invocation-type"] == "DryRun"


@pytest.mark.parametrize(
    ("options", "result_max", "text"),
    [
        (
            '{"stream": true, "invocation_type": "Event"}',
            1000,
            "option stream is not for invocation_type Event",
        ),
        (
            '{"stream": true, "durable_execution_name": "x"}',
            1000,
            "option stream is not for a durable execution",
        ),
        ('{"stream": "true"}', 1000, "option stream must be true or false"),
        ('{"stream": 1}', 1000, "option stream must be true or false"),
        ('{"stream": null}', 1000, "option stream must be true or false"),
        ('{"stream": true}', 0, "option stream needs a library that takes an answer in parts"),
    ],
)
def test_what_cannot_be_a_stream_is_refused_and_nothing_is_sent(
    shared: AwsSidecar, options: str, result_max: int, text: str
) -> None:
    shared.endpoint.paths.clear()
    assert ask(shared.stream, options=options, result_max=result_max).error == text
    assert shared.endpoint.paths == []


def test_without_the_option_an_answer_comes_whole_whatever_the_client_takes(shared: AwsSidecar) -> None:
    shared.endpoint.answers[:] = [OK]
    for options in ("{}", '{"stream": false}'):
        plain = ask(shared.stream, options=options)
        assert (plain.parts, plain.document["Payload"]) == (0, "done")
        assert shared.endpoint.paths[-1].endswith("/invocations")


def test_an_answer_beyond_what_the_client_takes_is_an_error_and_the_connection_is_closed(
    tmp_path: Path,
) -> None:
    flood = Flood(chunk(b"x" * 60_000), 1000)
    with aws_sidecar(tmp_path, streams(flood, complete()), max_concurrency=1) as aws:
        failed = ask(aws.stream, result_max=200_000)
        assert failed.last.error.code == "ResponseTooLarge"
        assert "has more than 200000 bytes as a document" in failed.error
        assert failed.last.error.request_id == "r-1"
        assert len(failed.text) <= 200_000
        assert flood.gone.wait(20)
        answers_well(aws)


# ---- as every call ----


def test_rules_roles_and_traces_are_those_of_every_call(tmp_path: Path) -> None:
    rules = [{"account": "app@%", "function": "f"}]
    roles = [{"account": "app@%", "function": "*", "role": "arn:aws:iam::123456789012:role/r"}]
    with aws_sidecar(tmp_path, WHOLE, allow=rules, role_rules=roles) as aws:
        assert "AccessDenied: account 'app'@'%' may not invoke" in ask(aws.stream, "other").error
        assert ask(aws.stream, traceparent=GOOD).document["Payload"] == "one, two"
        stranger = invoker_pb2.Caller(user="other", host="%")
        assert ask(aws.stream, caller=stranger).error.startswith("AccessDenied: ")
        assert len(aws.endpoint.paths) == 1
        assert "AKIDBASE" not in aws.signed_by()
        assert aws.endpoint.headers[0]["x-amzn-trace-id"].startswith("Root=1-")


def test_a_streamed_call_is_counted_with_the_bytes_of_its_answer(tmp_path: Path, port: int) -> None:
    failed = streams(chunk(b"1234"), complete(ErrorCode="Unhandled"))
    answers = (WHOLE, failed, breaks_off)
    with aws_sidecar(tmp_path, *answers, metrics=listener(port)) as aws:
        for _ in answers:
            ask(aws.stream)
        found = scrape(port)
    assert found.table("calls_total") == {
        ("f", "success"): 1,
        ("f", "function_error"): 1,
        ("f", "network"): 1,
    }
    assert found.value("payload_received_bytes_total") == len("one, two") + 4
    assert found.value("payload_sent_bytes_total") == 3 * len("{}")
    assert found.value("call_duration_seconds_count", function="f") == 3


def test_neither_the_answer_nor_what_the_function_said_of_its_failure_is_logged(tmp_path: Path) -> None:
    failed = streams(chunk(b"canary-answer"), complete(ErrorCode="Unhandled", ErrorDetails="canary-details"))
    with aws_sidecar(tmp_path, failed, streams(chunk(b"canary-answer"), b"canary")) as aws:
        ask(aws.stream)
        ask(aws.stream)
        aws.sidecar.stop()
        log = aws.sidecar.log_text()
    assert "canary" not in log
    assert "outcome=function_error" in log

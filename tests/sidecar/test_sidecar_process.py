"""The sidecar as a process: its socket, its health, its signals, its streams.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.support.invoker_client import connect, open_stream
from tests.support.stack import Record, local_config
from tests.support.waiting import wait_until

from lambda_sidecar.testing.sidecar import SidecarProcess
from lambda_udf.v1 import invoker_pb2


def test_the_socket_is_for_owner_and_group_only(sidecar: SidecarProcess) -> None:
    assert stat.S_IMODE(sidecar.socket.stat().st_mode) == 0o660


@pytest.mark.parametrize("service", ["", "lambda_udf.v1.LambdaInvoker"])
def test_the_health_service_says_serving(sidecar: SidecarProcess, service: str) -> None:
    with connect(sidecar.socket) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_second_sidecar_on_the_same_socket_is_refused(sidecar: SidecarProcess, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(f'socket = "{sidecar.socket}"\n')
    command = [sys.executable, "-m", "lambda_sidecar.cli", "serve", "--config", str(other)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode == 1
    assert refused.stderr.endswith(f"another sidecar serves {sidecar.socket}: stop it first\n")
    with open_stream(sidecar.socket) as stream:
        assert stream.ask("Echo", b"1").result.payload == b"1"


def test_a_file_that_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data")
    config = tmp_path / "sidecar.toml"
    config.write_text(f'socket = "{precious}"\n')
    command = [sys.executable, "-m", "lambda_sidecar.cli", "serve", "--config", str(config)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (refused.returncode, precious.read_text()) == (1, "data")
    assert "exists and is not a socket" in refused.stderr


def test_requests_are_pipelined_and_answered_as_they_complete(sidecar: SidecarProcess) -> None:
    with open_stream(sidecar.socket) as stream:
        slow = stream.send("Sleep", b'{"seconds": 1}')
        quick = stream.send("Echo", b'"quick"')
        first, second = stream.receive(), stream.receive()
        assert (first.call_id, first.result.payload) == (quick, b'"quick"')
        assert (second.call_id, second.result.status_code) == (slow, 200)


def test_a_result_carries_everything_that_lambda_says(sidecar: SidecarProcess) -> None:
    with open_stream(sidecar.socket) as stream:
        result = stream.ask("BasicTestLambda", b'{"operation": "ping"}').result
        assert (result.status_code, result.executed_version, result.function_error) == (200, "$LATEST", "")
        assert result.request_id
        asked = stream.ask("BasicTestLambda", b'{"operation": "ping"}', options_json='{"log_type": "Tail"}')
        document = json.loads(asked.result.payload)
        assert document["RequestId"] in document["LogResult"]
        dry = stream.ask("Echo", invocation_type=invoker_pb2.INVOCATION_TYPE_DRY_RUN).result
        assert (dry.status_code, dry.payload) == (204, b"")


def test_a_function_that_raised_is_a_result_with_its_error_document(sidecar: SidecarProcess) -> None:
    with open_stream(sidecar.socket) as stream:
        result = stream.ask("Raise", b'{"message": "why"}').result
    assert (result.function_error, result.function_error_text) == ("Unhandled", "Unhandled: ValueError: why")
    assert b'"errorType": "ValueError"' in result.payload


def test_the_deadline_ends_a_call_and_its_http_request(sidecar: SidecarProcess, record: Record) -> None:
    with open_stream(sidecar.socket) as stream:
        response = stream.ask("Sleep", b'{"seconds": 30}', timeout_ms=300)
        assert response.error.kind == invoker_pb2.ERROR_KIND_TIMEOUT
        assert response.error.message == "timed out after 300 ms"
        wait_until(lambda: record.requests()["open"] == 0, what="the HTTP request gone")
        assert stream.ask("Echo", b"1").result.payload == b"1"


def test_a_cancelled_stream_cancels_all_its_http_requests(sidecar: SidecarProcess, record: Record) -> None:
    with open_stream(sidecar.socket) as stream:
        for _ in range(3):
            stream.send("Sleep", b'{"seconds": 30}')
        wait_until(lambda: record.requests()["open"] == 3, what="the calls at the endpoint")
    wait_until(lambda: record.requests()["open"] == 0, what="the HTTP requests gone")
    assert [call["client_connected"] for call in record.calls("Sleep")] == [False] * 3


def test_sigterm_ends_idle_streams_and_says_what_was_taken(sidecar: SidecarProcess) -> None:
    with open_stream(sidecar.socket) as stream:
        for n in (1, 2):
            assert stream.ask("Echo", str(n).encode()).call_id == n
        stopping = threading.Thread(target=sidecar.stop)
        stopping.start()
        with pytest.raises(grpc.RpcError):
            stream.receive()
        stopping.join()
        assert stream.call.code() is grpc.StatusCode.UNAVAILABLE
        assert dict(stream.call.trailing_metadata())["lambda-udf-last-call-id"] == "2"
    assert not sidecar.socket.exists()


def test_sigterm_lets_running_calls_finish(sidecar: SidecarProcess, record: Record) -> None:
    with open_stream(sidecar.socket) as stream:
        stream.send("Sleep", b'{"seconds": 1}')
        wait_until(lambda: record.requests()["open"] == 1, what="the call at the endpoint")
        stopping = threading.Thread(target=sidecar.stop)
        stopping.start()
        assert stream.receive().result.status_code == 200
        stopping.join()


def test_calls_beyond_drain_seconds_are_cancelled(tmp_path: Path, port: int) -> None:
    with SidecarProcess(tmp_path, local_config(port, drain_seconds=0.2)) as sidecar:
        with open_stream(sidecar.socket) as stream:
            stream.send("Sleep", b'{"seconds": 60}')
            wait_until(lambda: Record(port).requests()["open"] == 1, what="the call at the endpoint")
            stopping = threading.Thread(target=sidecar.stop, args=(10,))
            stopping.start()
            with pytest.raises(grpc.RpcError):
                stream.receive()
            stopping.join()
        assert not sidecar.running


def test_the_socket_of_a_killed_sidecar_is_taken_over(sidecar: SidecarProcess) -> None:
    sidecar.kill()
    assert sidecar.socket.exists()
    sidecar.start()
    with open_stream(sidecar.socket) as stream:
        assert stream.ask("Echo", b"1").result.payload == b"1"


def test_the_log_names_the_account_and_never_the_payload(sidecar: SidecarProcess) -> None:
    canary = b'"canary-7f3a'  # also broken JSON: an error's text must not quote it
    with open_stream(sidecar.socket) as stream:
        stream.ask("Echo", canary)
        stream.ask("Echo", canary + b'"')
        stream.ask("canary-7f3a/", b"1")
    sidecar.stop()
    assert sidecar.log_contains("account='app'@'%' connection=7 function=- type=- outcome=invalid")
    assert not sidecar.log_contains("canary-7f3a")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_status_0_and_leaves_no_socket(tmp_path: Path, port: int, number: int) -> None:
    config = tmp_path / "sidecar.toml"
    config.write_text(f'socket = "{tmp_path}/s"\n[local]\nfunctions = "{tmp_path}"\nport = {port}\n')
    command = [sys.executable, "-m", "lambda_sidecar.cli", "serve", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        wait_until((tmp_path / "s").exists, what="the socket")
        wait_until(lambda: _is_serving(tmp_path / "s"), what="a sidecar that serves")
        process.send_signal(number)
        assert process.wait(20) == 0
    assert not (tmp_path / "s").exists()


def _is_serving(socket: Path) -> bool:
    with connect(socket) as channel:
        try:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError:
            return False
    return True


def test_the_command_refuses_a_wrong_configuration_with_status_2(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.toml"
    path.write_text("colour = 'red'")
    command = [sys.executable, "-m", "lambda_sidecar.cli", "serve", "--config", str(path)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"lambda-sidecar: {path}: unknown key 'colour'; known are ")

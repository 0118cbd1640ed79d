"""/metrics of a sidecar before scripted endpoints: what is counted, what bounds it, and who may read it.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.account import ARN, ROLE
from tests.support.aws_sidecar import OK, AwsSidecar, aws_sidecar
from tests.support.invoker_client import open_stream
from tests.support.lambda_endpoint import Handler, hangs_up, held, says
from tests.support.scrape import listener, scrape
from tests.support.waiting import wait_until

from lambda_sidecar.calls.traffic import FUNCTIONS_MAX
from lambda_sidecar.testing.process import ServerError
from lambda_sidecar.testing.sidecar import SidecarProcess, toml_text
from lambda_udf.v1 import invoker_pb2

THROTTLED = says(429, b"{}", x_amzn_ErrorType="TooManyRequestsException")
NOT_FOUND = says(404, b"{}", x_amzn_ErrorType="ResourceNotFoundException")
OTHER_APP = invoker_pb2.Caller(user="other", host="localhost", connection_id=8)


def get(
    port: int, host: str, path: str = "/metrics", method: str = "GET", address: str = "127.0.0.1"
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        connection.request(method, path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_retries_errors_and_bytes_are_counted(tmp_path: Path, port: int) -> None:
    answers = (THROTTLED, THROTTLED, OK, hangs_up, NOT_FOUND)
    with aws_sidecar(tmp_path, *answers, metrics=listener(port)) as aws:
        assert aws.stream.ask("f", b'"12345"').result.payload == b'"done"'
        assert "Network Connection" in aws.stream.error("f", b"12")
        assert "ResourceNotFoundException" in aws.stream.error("f", b"123")
        told = scrape(port)
    assert told.table("calls_total") == {("f", "success"): 1, ("f", "network"): 1, ("f", "api"): 1}
    assert told.value("retries_total") == 2
    assert told.table("api_errors_total") == {("ResourceNotFoundException",): 1}
    assert told.value("payload_sent_bytes_total") == len(b'"12345"' + b"12" + b"123")
    assert told.value("payload_received_bytes_total") == len(b'"done"')
    assert not any(name.startswith("outbox") for name, _ in told.samples), "there is no [outbox]"


def test_what_lambda_throttles_is_counted_and_who_is_held_back_is_shown(tmp_path: Path, port: int) -> None:
    open_again = threading.Event()

    def answer(handler: Handler) -> None:
        (OK if open_again.is_set() or "quick" in handler.path else THROTTLED)(handler)

    with aws_sidecar(tmp_path, answer, metrics=listener(port)) as aws, ThreadPoolExecutor(1) as pool:
        aws.stream.ask("quick")
        assert scrape(port).table("held_to_per_second") == {}
        with open_stream(aws.sidecar.socket) as stream:
            waiting = pool.submit(stream.ask, "busy")
            wait_until(lambda: scrape(port).value("calls_held_back") == 1, what="a call that is held back")
            open_again.set()
            assert waiting.result().result.payload == b'"done"'
        told = scrape(port)
        refused = len(aws.endpoint.paths) - 2
    assert told.value("calls_held_back") == 0
    assert told.value("retries_total") == refused
    assert sum(told.table("throttled_total").values()) == refused
    assert told.table("calls_total") == {("quick", "success"): 1, ("busy", "success"): 1}
    assert told.value("api_errors_total", code="TooManyRequestsException") == 0
    ((function, rate),) = told.table("held_to_per_second").items()
    assert function == ("busy",)
    assert rate > 0


def test_what_an_alert_waits_for_is_shown_before_it_happens(tmp_path: Path, port: int) -> None:
    """Prometheus does not see a counter grow that begins with 1."""
    with aws_sidecar(tmp_path, OK, metrics=listener(port)):
        told = scrape(port)
    assert told.value("api_errors_total", code="TooManyRequestsException") == 0
    assert told.value("role_credential_refreshes_total", outcome="network") == 0
    for outcome in ("credentials", "overloaded", "internal"):
        assert told.value("calls_total", function="(other)", outcome=outcome) == 0


def test_credentials_fetched_from_motos_sts_are_counted(tmp_path: Path, port: int, moto_url: str) -> None:
    role = ROLE + "default"
    with aws_sidecar(tmp_path, sts_url=moto_url, aws_default_lambda_role=role, metrics=listener(port)) as aws:
        for _ in range(3):
            aws.stream.ask("f")
        aws.stream.ask("f", caller=OTHER_APP)
        told = scrape(port)
    assert told.table("role_credential_refreshes_total") == {("success",): 2}
    assert told.table("calls_total") == {("f", "success"): 4}


def test_a_role_that_sts_refuses_is_counted_as_asked_not_as_called(tmp_path: Path, port: int) -> None:
    with aws_sidecar(tmp_path, aws_default_lambda_role=ROLE + "default", metrics=listener(port)) as aws:
        aws.sts.error = (403, "AccessDenied", "no")
        for _ in range(3):  # within the second for which the refusal stands
            assert "AccessDenied: no" in aws.stream.error("f")
        told = scrape(port)
    assert told.value("role_credential_refreshes_total", outcome="credentials") == len(aws.sts.requests)
    assert told.table("calls_total") == {("(other)", "credentials"): 3}
    assert told.table("call_duration_seconds_count") == {}, "nothing was sent"


def test_who_waits_for_a_slot_is_told_and_how_long(tmp_path: Path, port: int) -> None:
    gate = threading.Event()
    one = aws_sidecar(tmp_path, held(gate, OK), max_concurrency=1, metrics=listener(port))
    with one as aws, ExitStack() as stack:
        streams = [stack.enter_context(open_stream(aws.sidecar.socket)) for _ in range(3)]
        pool = stack.enter_context(ThreadPoolExecutor(3))
        calls = [pool.submit(stream.ask, "f", b"1") for stream in streams]
        try:
            wait_until(lambda: scrape(port).value("calls_waiting") == 2, what="two calls that wait")
            told = scrape(port)
            assert (told.value("calls_in_flight"), told.value("calls_running")) == (3, 1)
            assert told.value("max_concurrency") == 1
        finally:
            gate.set()
        answers = [call.result() for call in calls]
        told = scrape(port)
    assert told.value("calls_waited_total") == 2
    waited = sum(answer.queued_us for answer in answers) / 1_000_000
    assert told.value("wait_seconds_total") == pytest.approx(waited)


def test_names_in_sql_cannot_fill_the_labels(tmp_path: Path, port: int) -> None:
    """A name takes a place with its first answer only, and places are bounded."""

    def answer(handler: Handler) -> None:
        (OK if "real-" in handler.path else NOT_FOUND)(handler)

    with aws_sidecar(tmp_path, answer, metrics=listener(port)) as aws:
        for number in range(FUNCTIONS_MAX):
            aws.stream.error(f"invented-{number}")
        for number in range(FUNCTIONS_MAX + 20):
            aws.stream.ask(f"real-{number}")
        told = scrape(port).table("calls_total")
    named = {function for function, _ in told if function != "(other)"}
    assert named == {f"real-{number}" for number in range(FUNCTIONS_MAX)}
    assert told["(other)", "api"] == FUNCTIONS_MAX
    assert told["(other)", "success"] == 20


def test_metrics_conventions_hold(tmp_path: Path, port: int) -> None:
    """Every counter ends in _total, each family has its help, and the process tells of itself."""
    with aws_sidecar(tmp_path, metrics=listener(port)) as aws:
        aws.stream.ask("f")
        status, body = get(port, f"127.0.0.1:{port}")
    text = body.decode()
    assert status == 200
    types = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))
    assert all(name.endswith("_total") for name, kind in types.items() if kind == "counter")
    assert text.count("# HELP ") == len(types)
    ours = {name for name in types if not name.startswith("lambda_sidecar")}
    assert all(name.startswith("process_") for name in ours)
    assert "process_resident_memory_bytes" in types
    assert types["lambda_sidecar_call_duration_seconds"] == "histogram"


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:9464", 200), ("[::1]", 200), ("rebound.example", 403), ("", 403)],
)
def test_on_loopback_only_loopback_names_are_answered(
    tmp_path: Path, port: int, host: str, status: int
) -> None:
    with aws_sidecar(tmp_path, metrics=listener(port)):
        answered, body = get(port, host)
    assert answered == status
    assert (b"lambda_sidecar" in body) == (status == 200)


def test_there_is_metrics_and_nothing_else(tmp_path: Path, port: int) -> None:
    with aws_sidecar(tmp_path, metrics=listener(port)):
        found = [
            get(port, "localhost", *what)[0] for what in (("/",), ("/metrics", "POST"), ("/metrics", "HEAD"))
        ]
    assert found == [404, 405, 200]


def test_elsewhere_every_name_is_answered_and_the_log_warns(tmp_path: Path, port: int) -> None:
    with aws_sidecar(tmp_path, metrics={"listen": f"0.0.0.0:{port}"}) as aws:
        assert get(port, "db1.example")[0] == 200
        warning = f"whoever reaches 0.0.0.0:{port} reads the functions' names"
        wait_until(lambda: aws.sidecar.log_contains(warning), what="the warning")


def test_an_ipv6_address_and_any_free_port_can_be_had(tmp_path: Path) -> None:
    with aws_sidecar(tmp_path, metrics={"listen": "[::1]:0"}) as aws:
        wait_until(lambda: aws.sidecar.log_contains("/metrics\n"), what="the port")
        _, _, rest = aws.sidecar.log_text().partition("metrics at http://[::1]:")
        port = int(rest.partition("/")[0])
        assert get(port, f"[::1]:{port}", address="::1")[0] == 200


def test_a_port_that_is_taken_is_named_and_the_sidecar_does_not_start(tmp_path: Path, port: int) -> None:
    with aws_sidecar(tmp_path / "one", metrics=listener(port)) as aws:
        other = SidecarProcess(tmp_path / "two", {**aws.sidecar.config, "socket": str(tmp_path / "s")})
        with pytest.raises(ServerError, match=r"\(status 1\)"), other:
            pass
        refused = f"lambda-sidecar: metrics: cannot listen on 127.0.0.1:{port}: Address already in use\n"
        assert other.log_text().endswith(refused)
        assert not (tmp_path / "s").exists()


def test_the_listener_needs_a_restart_and_the_log_says_so(aws: AwsSidecar, port: int) -> None:
    new = toml_text({**aws.sidecar.config, "metrics": listener(port)})
    aws.sidecar.config_file.write_text(new)
    os.kill(aws.sidecar.pid, signal.SIGHUP)
    wait_until(lambda: aws.sidecar.log_contains("changed: nothing; needs a restart: metrics"))
    with pytest.raises(ConnectionRefusedError):
        get(port, "localhost")


def test_metrics_are_told_until_the_last_call_is_done(tmp_path: Path, port: int) -> None:
    gate = threading.Event()
    with aws_sidecar(tmp_path, held(gate, OK), metrics=listener(port)) as aws, ThreadPoolExecutor(1) as pool:
        aws.stream.send("f")
        wait_until(lambda: aws.endpoint.paths, what="the call at the endpoint")
        stopping = pool.submit(aws.sidecar.stop)
        try:
            wait_until(lambda: aws.sidecar.log_contains("stopping; running calls have"))
            assert scrape(port).value("calls_in_flight") == 1
        finally:
            gate.set()
        assert aws.stream.receive().result.payload == b'"done"'
        stopping.result()


def test_without_the_table_prometheus_client_is_not_even_imported() -> None:
    code = "import sys, lambda_sidecar.server; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_arn_is_not_in_a_label(tmp_path: Path, port: int) -> None:
    with aws_sidecar(tmp_path, metrics=listener(port)) as aws:
        aws.stream.ask(ARN + "f:7")
        aws.stream.ask("f")
        assert scrape(port).table("calls_total") == {("f", "success"): 2}

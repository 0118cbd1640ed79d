"""The end of a stream: a client that leaves as its answer is written.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.support.aws_sidecar import aws_sidecar
from tests.support.invoker_client import open_stream, snapshot
from tests.support.lambda_endpoint import held, says
from tests.support.waiting import wait_until

from lambda_sidecar.testing.sidecar import SidecarProcess

# More than HTTP/2's first window: the write of the answer waits for a client that does not read.
LARGE = b'"' + b"x" * 4_000_000 + b'"'
LEFT = "a client left as its answer was written"
MOST = 100


def wait_until_answered(sidecar: SidecarProcess, calls: int) -> None:
    wait_until(lambda: sidecar.log_text().count(" outcome=success ") == calls, what="Lambda's answer")


def totals(socket: Path) -> dict[str, int]:
    """Of calls by outcome; none while one is under way."""
    now = snapshot(socket)
    return {each.outcome: each.calls for each in now.outcomes if each.calls and not now.in_flight}


def test_a_client_that_leaves_as_its_answer_is_written_makes_no_traceback_and_the_call_counts_once(
    sidecar: SidecarProcess,
) -> None:
    begun = 0
    while not sidecar.log_contains(LEFT) and begun < MOST:
        with open_stream(sidecar.socket) as stream:
            stream.send("Echo", LARGE)
            begun += 1
            wait_until_answered(sidecar, begun)
    assert sidecar.log_contains(LEFT)
    wait_until(lambda: totals(sidecar.socket) == {"success": begun}, what="each call counted once")
    with open_stream(sidecar.socket) as stream:
        assert stream.ask("Echo", b"1").result.payload == b"1"
    sidecar.stop()
    for trace in ("Traceback", "never retrieved", "internal failure"):
        assert not sidecar.log_contains(trace)


def test_of_calls_that_fail_together_none_is_begun_after_the_first_failure_and_only_that_is_answered(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    refused = says(404, b'{"Message": "no"}', x_amzn_errortype="ResourceNotFoundException")
    fine = held(gate, says(200, b"1", x_amzn_RequestId="r"))
    # With one slot the calls behind the first wait for it.
    with aws_sidecar(tmp_path, held(gate, refused), fine, max_concurrency=1) as aws:
        numbers = [aws.stream.send("f", fails_together=True) for _ in range(20)]
        wait_until(lambda: len(aws.endpoint.paths) == 1, what="the first call at the endpoint")
        wait_until(lambda: snapshot(aws.sidecar.socket).in_flight == 20, what="all of them taken")
        gate.set()
        response = aws.stream.receive()
        assert response.call_id in numbers
        assert response.error.code == "ResourceNotFoundException"
        with pytest.raises(StopIteration):
            aws.stream.receive()
        with open_stream(aws.sidecar.socket) as stream:
            assert stream.ask("f").result.payload == b"1"
        assert len(aws.endpoint.paths) == 2
        wait_until(lambda: totals(aws.sidecar.socket) == {"success": 1, "api": 1, "cancelled": 19})


def test_calls_that_do_not_fail_together_go_on_beside_one_that_failed(tmp_path: Path) -> None:
    refused = says(404, b'{"Message": "no"}', x_amzn_errortype="ResourceNotFoundException")
    with aws_sidecar(tmp_path, refused, says(200, b"1", x_amzn_RequestId="r"), max_concurrency=1) as aws:
        assert aws.stream.ask("f").error.code == "ResourceNotFoundException"
        assert aws.stream.ask("f", fails_together=True).result.payload == b"1"
        assert aws.stream.ask("f").result.payload == b"1"

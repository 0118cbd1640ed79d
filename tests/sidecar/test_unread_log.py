"""A sidecar whose log nobody reads: it serves on, counts what it drops, and its end waits for so long only.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.support.invoker_client import connect, open_stream
from tests.support.scrape import listener, scrape
from tests.support.stack import local_config
from tests.support.waiting import wait_until

from lambda_sidecar.log.writer import LINES_MAX
from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import toml_text


@contextlib.contextmanager
def silent_sidecar(directory: Path, **settings: Any) -> Iterator[tuple[Path, IO[bytes]]]:
    """One whose standard error is a pipe that nobody reads: its socket, and the pipe. It must end by SIGTERM
    within some seconds, whether it is read or not."""
    config, socket = directory / "sidecar.toml", directory / "s"
    config.write_text(toml_text({"socket": str(socket), **local_config(free_port(), **settings)}))
    command = [sys.executable, "-m", "lambda_sidecar.cli", "serve", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            wait_until(socket.exists, what="the socket")
            yield socket, process.stderr
        finally:
            process.terminate()
            status = process.wait(20)
    assert status == 0


def fail_calls(socket: Path, count: int) -> None:
    with open_stream(socket) as stream:
        for _ in range(count):
            assert stream.error("no/name", b"1")


def test_calls_and_health_are_answered_while_nobody_reads_the_log(tmp_path: Path) -> None:
    port = free_port()
    with silent_sidecar(tmp_path, metrics=listener(port)) as (socket, log):
        count = LINES_MAX + 2000
        fail_calls(socket, count)
        with open_stream(socket) as stream:
            assert stream.ask("Echo", b'"after"').result.payload == b'"after"'
        with connect(socket) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        dropped = int(scrape(port).value("log_lines_dropped_total"))
        assert dropped > 0
        lines = [log.readline().decode() for _ in range(count - dropped)]
        told = next(line for line in iter(lambda: log.readline().decode(), "") if "were dropped" in line)
        assert f"{dropped} log lines were dropped" in told
    assert sum("call failed" in line for line in lines) > LINES_MAX - 100


def test_a_sidecar_whose_log_nobody_reads_ends_all_the_same(tmp_path: Path) -> None:
    with silent_sidecar(tmp_path) as (socket, _log):
        fail_calls(socket, 2000)


def test_the_last_lines_before_the_end_are_written(tmp_path: Path) -> None:
    with silent_sidecar(tmp_path) as (socket, log):
        fail_calls(socket, 100)
        reader = threading.Thread(target=lambda: lines.extend(log.read().decode().splitlines()))
        lines: list[str] = []
        reader.start()
    reader.join()
    assert sum("call failed" in line for line in lines) == 100
    assert "stopping; running calls have" in lines[-1]

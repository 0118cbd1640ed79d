"""The log's thread: nobody waits for the reader, what is dropped is counted, and the end waits for so long only.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.support.invoker_client import connect, open_stream
from tests.support.ports import free_port
from tests.support.scrape import listener, scrape
from tests.support.stack import local_config
from tests.support.waiting import wait_until

from lambda_sidecar.log.format import JsonFormatter, TextFormatter
from lambda_sidecar.log.writer import BYTES_MAX, LINE_MAX, LINES_MAX, LogStream, LogWriter
from lambda_sidecar.testing.sidecar import toml_text


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends; they are closed afterwards, the writer's first."""
    read_end, write_end = os.pipe()
    try:
        yield read_end, write_end
    finally:
        for end in (write_end, read_end):
            with contextlib.suppress(OSError):
                os.close(end)


def read_lines(read_end: int, until: str) -> list[str]:
    """Everything up to the line that holds `until`."""
    data = b""
    while until.encode() not in data or not data.endswith(b"\n"):
        chunk = os.read(read_end, 1 << 20)
        assert chunk
        data += chunk
    return data.decode().splitlines()


def test_lines_come_in_their_order_and_whole() -> None:
    with pipe() as (read_end, write_end):
        writer = LogWriter(write_end)
        for number in range(1000):
            writer.write_line(f"line {number}")
        assert read_lines(read_end, "line 999\n") == [f"line {number}" for number in range(1000)]
        assert writer.dropped == 0


def test_nobody_waits_for_the_reader_and_what_is_dropped_is_counted_and_reported() -> None:
    with pipe() as (read_end, write_end):
        writer = LogWriter(write_end)
        writer.setFormatter(TextFormatter())
        surplus = 500
        capacity = 64 * 1024
        fitting = LINES_MAX + 2 * capacity // len(b"line 00000\n")  # in the pipe, on its way, in the queue
        for number in range(fitting + surplus):
            writer.write_line(f"line {number:05}")
        assert writer.dropped >= surplus
        text, told, numbers = "", [0], [0]
        # The thread may have begun late: then there is room once more, and what was dropped is told in its place.
        while sum(told) < writer.dropped:
            text += os.read(read_end, 1 << 20).decode()
            told = [
                int(count) for count in re.findall(r" WARNING lambda_sidecar.log.writer: (\d+) log", text)
            ]
            numbers = [int(number) for number in re.findall(r"^line (\d{5})$", text, re.MULTILINE)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + writer.dropped == fitting + surplus


def test_the_bytes_that_wait_are_bounded_too_and_a_line_is() -> None:
    with pipe() as (read_end, write_end):
        writer = LogWriter(write_end)
        for _ in range(2 * BYTES_MAX // LINE_MAX):
            writer.write_line("é" * LINE_MAX)
        assert writer.dropped >= BYTES_MAX // LINE_MAX - 4
        lines = read_lines(read_end, "were dropped")
    assert lines[0] == "é" * (LINE_MAX // 2) + " (cut)"


def test_the_line_about_the_dropped_ones_is_json_where_the_log_is() -> None:
    with pipe() as (read_end, write_end):
        writer = LogWriter(write_end)
        writer.setFormatter(JsonFormatter())
        while writer.dropped == 0:
            writer.write_line("x" * LINE_MAX)
        last = json.loads(read_lines(read_end, "were dropped")[-1])
    assert (last["level"], last["logger"]) == ("warning", "lambda_sidecar.log.writer")


def test_a_reader_that_has_gone_is_no_error_and_its_lines_are_counted() -> None:
    with pipe() as (read_end, write_end):
        writer = LogWriter(write_end)
        os.close(read_end)
        for number in range(10):
            writer.write_line(str(number))
        wait_until(lambda: writer.dropped == 10, what="ten lines given up")


def test_a_descriptor_that_does_not_block_is_waited_for() -> None:
    with pipe() as (read_end, write_end):
        os.set_blocking(write_end, False)
        writer = LogWriter(write_end)
        for number in range(3000):
            writer.write_line(f"{number:0100}")
        lines = read_lines(read_end, f"{2999:0100}\n")
        assert (len(lines), writer.dropped) == (3000, 0)


def test_flush_waits_for_the_reader_but_not_for_ever() -> None:
    with pipe() as (read_end, write_end):
        writer = LogWriter(write_end)
        for _ in range(100):
            writer.write_line("x" * 10_000)
        began = time.monotonic()
        writer.flush()
        assert 0.9 < time.monotonic() - began < 10
        reader = threading.Thread(target=read_lines, args=(read_end, "last"))
        reader.start()
        writer.write_line("last")
        reader.join()
        began = time.monotonic()
        writer.flush()
        assert time.monotonic() - began < 0.9


def test_what_python_prints_goes_the_same_way_and_is_as_safe() -> None:
    with pipe() as (read_end, write_end):
        stream = LogStream(LogWriter(write_end), write_end)
        print("one\ntwo \x1b[2J", end="", file=stream)
        print(" end", file=stream)
        assert read_lines(read_end, "end\n") == ["one", r"two \x1b[2J end"]
        assert (stream.fileno(), stream.writable()) == (write_end, True)


def test_a_record_that_cannot_be_formatted_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pipe() as (read_end, write_end):
        writer = LogWriter(write_end)
        writer.handle(logging.LogRecord("x", logging.INFO, "x.py", 1, "%d", ("no number",), None))
        writer.write_line("next")
        assert read_lines(read_end, "next") == ["next"]
    assert "Logging error" in capsys.readouterr().err


# ---- the sidecar ----


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

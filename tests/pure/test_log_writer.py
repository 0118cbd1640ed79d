"""The log's thread alone: nobody waits for the reader, and what is dropped is counted.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterator

import pytest
from tests.support.waiting import wait_until

from lambda_sidecar.log.format import JsonFormatter, TextFormatter
from lambda_sidecar.log.writer import BYTES_MAX, LINE_MAX, LINES_MAX, LogStream, LogWriter


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


def test_flush_waits_for_the_reader_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = "lambda_sidecar.log.writer.FLUSH_SECONDS"
    monkeypatch.setattr(limit, 0.2)
    with pipe() as (read_end, write_end):
        writer = LogWriter(write_end)
        for _ in range(100):
            writer.write_line("x" * 10_000)
        began = time.monotonic()
        writer.flush()
        assert 0.19 < time.monotonic() - began < 10
        monkeypatch.setattr(limit, 60)
        reader = threading.Thread(target=read_lines, args=(read_end, "last"))
        reader.start()
        writer.write_line("last")
        reader.join()
        began = time.monotonic()
        writer.flush()
        assert time.monotonic() - began < 30


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

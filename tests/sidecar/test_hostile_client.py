"""Who connects to the sidecar's socket floods it, lies, or says nothing: its memory is bounded, and others are served.

Each test's name is the sentence that it proves. Of streams that keep to the rules: test_stream_limits.py."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.aws_sidecar import AwsSidecar
from tests.support.hostile_peer import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    PING,
    PREFACE,
    SETTINGS,
    block,
    frame,
    message,
    rst_stream,
    settings,
    window_update,
)
from tests.support.invoker_client import MESSAGE_MAX, open_stream
from tests.support.waiting import wait_until

REQUEST = block(
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/lambda_udf.v1.LambdaInvoker/Invoke"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
)
# What a flood may cost while it lasts: buffers of the connection, not what was sent.
GROWTH_MB = 64
FLOOD_SECONDS = 1.0
# A call beside a flood, on a machine that runs other tests.
SERVED_SECONDS = 5.0
SILENT = 400
# Of one stream; a million take two minutes.
CALL_IDS = int(os.environ.get("LAMBDA_UDF_CALL_IDS", "8000"))


def resident_mb(aws: AwsSidecar) -> float:
    status = Path(f"/proc/{aws.sidecar.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def descriptors(aws: AwsSidecar) -> int:
    return sum(1 for _ in Path(f"/proc/{aws.sidecar.pid}/fd").iterdir())


@contextlib.contextmanager
def connected(aws: AwsSidecar, wire: bytes = PREFACE + settings()) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(aws.sidecar.socket))
        connection.sendall(wire)
        yield connection


def streams() -> Iterator[int]:
    """A client's, in order (RFC 9113, 5.1.1)."""
    return itertools.count(1, 2)


def rapid_resets() -> Iterator[bytes]:
    """CVE-2023-44487."""
    for stream in streams():
        yield frame(HEADERS, END_HEADERS, stream, REQUEST) + rst_stream(stream=stream)


def open_streams() -> Iterator[bytes]:
    for stream in streams():
        yield frame(HEADERS, END_HEADERS, stream, REQUEST)


def headers_without_end() -> Iterator[bytes]:
    """CVE-2024-27316 and its like."""
    yield frame(HEADERS, 0, 1, REQUEST)
    for number in itertools.count():
        yield frame(CONTINUATION, 0, 1, block((f"x-{number}", "y" * 1000)))


def garbage() -> Iterator[bytes]:
    for number in itertools.count():
        yield frame(0xFA, 0xFF, 7, struct.pack(">I", number) * 100)


FLOODS = {
    "PING": lambda: itertools.repeat(frame(PING, 0, 0, b"12345678")),
    "SETTINGS": lambda: itertools.repeat(settings((4, 70_000))),
    "acknowledgements": lambda: itertools.repeat(frame(SETTINGS, ACK, 0)),
    "WINDOW_UPDATE": lambda: itertools.repeat(window_update(1)),
    "unknown frames": garbage,
    "rapid resets": rapid_resets,
    "streams": open_streams,
    "headers without end": headers_without_end,
}


class Flood(threading.Thread):
    """Sends the chunks as fast as they are read, reading what comes back, for FLOOD_SECONDS or until it is
    shown the door."""

    def __init__(self, aws: AwsSidecar, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._aws, self._chunks = aws, chunks
        self.sent = 0

    def run(self) -> None:
        with connected(self._aws) as connection:
            reading = threading.Thread(target=self._read, args=(connection,))
            reading.start()
            give_up = time.monotonic() + FLOOD_SECONDS
            with contextlib.suppress(OSError):
                while time.monotonic() < give_up:
                    piece = b"".join(itertools.islice(self._chunks, 200))
                    connection.sendall(piece)
                    self.sent += len(piece)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            reading.join()

    def _read(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while connection.recv(1 << 16):
                pass


def is_served(aws: AwsSidecar) -> float:
    """Seconds that a call of somebody else takes, on a connection of its own."""
    began = time.monotonic()
    with open_stream(aws.sidecar.socket) as stream:
        assert stream.ask("f").result.payload == b'"done"'
    return time.monotonic() - began


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_costs_bounded_memory_and_others_are_served_meanwhile(aws: AwsSidecar, name: str) -> None:
    assert aws.stream.ask("f").result.payload == b'"done"'
    before, opened = resident_mb(aws), descriptors(aws)
    flood = Flood(aws, iter(FLOODS[name]()))
    flood.start()
    longest, most, goes_on = 0.0, before, True
    while goes_on:
        goes_on = flood.is_alive()
        longest = max(longest, is_served(aws))
        most = max(most, resident_mb(aws))
    flood.join()
    assert flood.sent > 1000
    assert most - before < GROWTH_MB
    assert longest < SERVED_SECONDS
    assert aws.stream.ask("f").result.payload == b'"done"'
    wait_until(lambda: descriptors(aws) <= opened, what="the flood's descriptors")


@pytest.mark.parametrize("wire", [b"", PREFACE, PREFACE + settings()], ids=["nothing", "preface", "settings"])
def test_silent_connections_keep_nobody_waiting_and_are_gone_with_their_clients(
    aws: AwsSidecar, wire: bytes
) -> None:
    assert aws.stream.ask("f").result.payload == b'"done"'
    before, opened = resident_mb(aws), descriptors(aws)
    with contextlib.ExitStack() as exits:
        for _ in range(SILENT):
            exits.enter_context(connected(aws, wire))
        assert is_served(aws) < SERVED_SECONDS
        grown = resident_mb(aws) - before
    assert grown < GROWTH_MB
    wait_until(lambda: descriptors(aws) <= opened, what="their descriptors")


@pytest.mark.parametrize("size", [MESSAGE_MAX + 1, 0xFFFFFFFF])
def test_a_message_beyond_the_limit_ends_its_stream_before_it_is_read(aws: AwsSidecar, size: int) -> None:
    before = resident_mb(aws)
    start = PREFACE + settings() + frame(HEADERS, END_HEADERS, 1, REQUEST)
    with connected(aws, start + frame(DATA, 0, 1, message(b"x" * 1000, length=size))) as connection:
        wire = b""
        while b"grpc-message" not in wire:
            received = connection.recv(1 << 16)
            assert received, wire
            wire += received
        # RESOURCE_EXHAUSTED (8), in a trailer that HPACK may have in a table
        assert b"larger than max" in wire
    assert resident_mb(aws) - before < GROWTH_MB
    assert is_served(aws) < SERVED_SECONDS


def test_a_message_as_long_as_it_may_be_is_answered(aws: AwsSidecar) -> None:
    payload = b'"' + b"x" * 6_291_454 + b'"'
    assert aws.stream.ask("f", payload).result.payload == b'"done"'


def test_thousands_of_call_ids_of_one_stream_leave_nothing_behind(aws: AwsSidecar) -> None:
    """They are refused at once, so that it is the ids that count and not the endpoint."""

    def ask(number: int) -> None:
        for _ in range(number):
            aws.stream.send("?", b"1")
        for _ in range(number):
            aws.stream.receive()

    ask(2_000)
    before = resident_mb(aws)
    for _ in range(CALL_IDS // 1_000):
        ask(1_000)
    assert resident_mb(aws) - before < 4


@pytest.mark.parametrize("ids", [(1, 1), (7, 3), (2**64 - 1, 1)], ids=["twice", "backwards", "the largest"])
def test_every_request_is_answered_whatever_its_call_id(aws: AwsSidecar, ids: tuple[int, ...]) -> None:
    """Whoever numbers them like this is not our library, and is still not to wait for ever."""
    for number in ids:
        aws.stream._call_id = number - 1
        aws.stream.send("f", b"1")
    assert sorted(aws.stream.receive().call_id for _ in ids) == sorted(ids)

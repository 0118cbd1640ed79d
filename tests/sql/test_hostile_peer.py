"""What listens on the socket is broken, foreign or hostile: a call ends with a clean error, in time, and
leaves nothing behind.

Each script is a peer's whole behaviour on one connection. The host program runs under sanitizers."""

from __future__ import annotations

import fcntl
import re
import struct
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.host_program import (
    ER_QUERY_INTERRUPTED,
    ER_UDF_ERROR,
    QUERY_KILLED,
    VIO_SOCKET,
    Answer,
    Host,
)
from tests.support.hostile_peer import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    OPENED,
    PING,
    PUSH_PROMISE,
    SETTINGS,
    STREAM,
    Connection,
    Gone,
    Peer,
    Script,
    block,
    data,
    frame,
    goaway,
    headers,
    message,
    result,
    rst_stream,
    settings,
    trailers,
    window_update,
)
from tests.support.waiting import wait_until

from lambda_udf.v1 import invoker_pb2

TIMEOUT_MS = 700
CONNECT_TIMEOUT_MS = 150
# A machine that does other things as well may add this much.
SLACK_MS = 500
CARRIED_OUT = "; the call was under way and may have been carried out"
NOT_GRPC = "what listens there does not speak gRPC"
SILENT = "it accepts the connection but does not answer"

Send = Callable[[Connection], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "peer.sock"


def call(path: Path, script: Script, payload: str | int = "{}") -> tuple[Answer, int]:
    """One call against such a peer, how it ended, and how many connections it made."""
    with (
        Peer(path, script) as peer,
        Host(path, timeout_ms=TIMEOUT_MS, connect_timeout_ms=CONNECT_TIMEOUT_MS) as host,
    ):
        answer = host.sync("Echo", payload)
    return answer, peer.connections


def reason(answer: Answer, path: Path) -> str:
    """Why the sidecar counts as unavailable; every other end of the call fails."""
    assert (answer.outcome, answer.errno) == ("error", ER_UDF_ERROR), answer
    introduction = f"lambda_sync|sidecar unavailable: {path}: "
    assert answer.message.startswith(introduction), answer
    return answer.message.removeprefix(introduction)


# ---- while the stream is being opened ----


def says(*chunks: bytes, then_holds: bool = True) -> Script:
    """A peer that says this, whatever it hears."""

    def script(peer: Connection) -> None:
        peer.send(*chunks)
        if then_holds:
            peer.hold()

    return script


def floods(*chunks: bytes, first: bytes = b"") -> Script:
    def script(peer: Connection) -> None:
        peer.send(first)
        peer.flood(b"".join(chunks))

    return script


def continues_for_ever(peer: Connection) -> None:
    peer.send(settings(), frame(HEADERS, 0, STREAM, block(*OPENED)))
    peer.flood(frame(CONTINUATION, 0, STREAM, block(("x", "y" * 1000))))


def drips(peer: Connection) -> None:
    peer.drip((settings() + headers(*OPENED, ("x", "y" * 2000))), 10)


HTTP1 = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
TLS_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
FLOODED = "not HTTP/2: Flooding was detected.*"
CLOSED = r"the sidecar closed the connection|the connection was lost: .*"

OPENINGS: dict[str, tuple[Script, str]] = {
    "closes at once": (says(then_holds=False), CLOSED),
    "closes after its settings": (says(settings(), then_holds=False), CLOSED),
    "says garbage": (says(bytes(range(256)) * 40), NOT_GRPC),
    "says garbage and closes": (says(bytes(range(256)) * 40, then_holds=False), f"{NOT_GRPC}|{CLOSED}"),
    "says zeros": (says(b"\0" * 5000), NOT_GRPC),
    "speaks HTTP/1.1": (says(HTTP1), NOT_GRPC),
    "speaks HTTP/1.1 and closes": (says(HTTP1, then_holds=False), f"{NOT_GRPC}|{CLOSED}"),
    "speaks TLS": (says(TLS_ALERT, then_holds=False), f"{NOT_GRPC}|{CLOSED}"),
    "speaks MySQL": (says(b"\x4a\x00\x00\x00\x0a8.4.0\x00" + b"x" * 67), NOT_GRPC),
    "never answers": (Connection.hold, SILENT),
    "never reads": (Connection.hold_unread, SILENT),
    "stops after its settings": (says(settings()), SILENT),
    "stops within a frame": (says(settings(), headers(*OPENED)[:7]), SILENT),
    "drips": (drips, SILENT),
    "floods settings": (floods(settings((INITIAL_WINDOW_SIZE, 70000)) * 50), f"{SILENT}|{FLOODED}"),
    "floods acknowledgements": (floods(frame(SETTINGS, 1, 0) * 50, first=settings()), f"{SILENT}|{NOT_GRPC}"),
    "floods pings": (floods(frame(PING, 0, 0, b"12345678") * 50, first=settings()), f"{SILENT}|{FLOODED}"),
    "floods unknown frames": (floods(frame(0xFA, 0xFF, 7, b"x" * 100) * 50, first=settings()), SILENT),
    "floods empty DATA": (floods(data(b"") * 50, first=settings()), NOT_GRPC),
    "continues its headers for ever": (continues_for_ever, f"{NOT_GRPC}|not HTTP/2: .*"),
    "has headers of 100 KB": (
        says(settings(), headers(*OPENED, *[("x", "y" * 3000)] * 5), *[headers(("x", "y" * 8000))] * 10),
        NOT_GRPC + "|.*",
    ),
    "claims a frame of 16 MB": (
        says(settings(), frame(DATA, 0, STREAM, b"x" * 100, length=0xFFFFFF)),
        NOT_GRPC,
    ),
    "has settings of odd length": (says(frame(SETTINGS, 0, 0, b"12345")), NOT_GRPC),
    "opens a window too wide": (says(settings(), window_update(0x7FFFFFFF)), NOT_GRPC),
    "opens a window by nothing": (says(settings(), window_update(0)), NOT_GRPC),
    "widens the stream's window too far": (
        says(settings(), window_update(0x7FFFFFFF, STREAM)),
        r"the stream ended without a status \(HTTP/2 error 3\)",
    ),
    "pushes": (
        says(
            settings(), frame(PUSH_PROMISE, END_HEADERS, STREAM, struct.pack(">I", 2) + block((":path", "/")))
        ),
        NOT_GRPC + r"|" + SILENT,
    ),
    "answers on a stream of its own": (says(settings(), headers(*OPENED, stream=2)), NOT_GRPC),
    "answers on a stream nobody opened": (says(settings(), headers(*OPENED, stream=3)), NOT_GRPC),
    "sends DATA on stream 0": (says(settings(), data(b"x", stream=0)), NOT_GRPC),
    "sends DATA before headers": (says(settings(), data(message(result(1)))), NOT_GRPC),
    "breaks its header compression": (
        says(settings(), frame(HEADERS, END_HEADERS, STREAM, b"\xff" * 20)),
        NOT_GRPC,
    ),
    "sends no :status": (
        says(settings(), headers(("content-type", "application/grpc"))),
        r"the stream ended without a status \(HTTP/2 error 1\)",
    ),
    "says 404": (says(settings(), headers((":status", "404"), OPENED[1])), NOT_GRPC),
    "says 100 and nothing more": (says(settings(), headers((":status", "100"))), SILENT),
    "says 100 and ends": (
        says(settings(), headers((":status", "100"), end=True)),
        r"the stream ended without a status \(HTTP/2 error 1\)",
    ),
    "informs for ever": (
        floods(headers((":status", "102")), first=settings()),
        "too many informational responses",
    ),
    "says 404 after 103": (
        says(settings(), headers((":status", "103")), headers((":status", "404"), OPENED[1])),
        NOT_GRPC,
    ),
    "serves HTML": (says(settings(), headers(OPENED[0], ("content-type", "text/html"))), NOT_GRPC),
    "resets the stream": (
        says(settings(), rst_stream(7)),
        r"the stream ended without a status \(HTTP/2 error 7\)",
    ),
    "goes away": (says(settings(), goaway(0)), r"the stream ended without a status \(HTTP/2 error 7\)"),
    "goes away and takes the stream along": (says(settings(), goaway(STREAM, 11)), SILENT),
    "does not know the service": (
        says(
            settings(),
            headers(*OPENED, ("grpc-status", "12"), ("grpc-message", "Method%20not%20found!"), end=True),
        ),
        "the sidecar ended the stream with gRPC status 12: Method not found!",
    ),
    "is unavailable": (
        says(settings(), headers(*OPENED, ("grpc-status", "14"), end=True)),
        "the sidecar is stopping",
    ),
    "says OK and nothing else": (
        says(settings(), headers(*OPENED, ("grpc-status", "0"), end=True)),
        "the sidecar ended the stream with gRPC status 0",
    ),
    "has a status that is none": (
        says(settings(), headers(*OPENED, ("grpc-status", "-3"), end=True)),
        "the sidecar ended the stream with gRPC status 2",
    ),
    "has no status": (
        says(settings(), headers(*OPENED, end=True)),
        r"the stream ended without a status \(HTTP/2 error 0\)",
    ),
    "has bytes for a message": (
        says(
            settings(),
            headers(*OPENED, ("grpc-status", "13"), ("grpc-message", b"a\xff\x80%E2%82z%0A"), end=True),
        ),
        r"the sidecar ended the stream with gRPC status 13: a\?\?\?\?z\?",
    ),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_a_peer_that_does_not_open_the_stream_is_unavailable(path: Path, name: str) -> None:
    script, expected = OPENINGS[name]
    answer, _ = call(path, script)
    assert_matches(reason(answer, path), expected)
    assert answer.milliseconds <= CONNECT_TIMEOUT_MS + SLACK_MS


def assert_matches(text: str, expected: str) -> None:
    assert re.fullmatch(expected, text), f"{text!r} is not {expected!r}"


def test_informational_responses_before_the_answer_mean_nothing(path: Path) -> None:
    """RFC 9113, section 8.1: any number of HEADERS with :status 1xx may precede the response's own."""

    def script(peer: Connection) -> None:
        early = headers((":status", "103"), ("content-type", "text/html"), ("grpc-status", "13"))
        peer.open(settings(), headers((":status", "100")), early * 15)
        peer.read_request()
        peer.send(GOOD)
        peer.hold()

    answer, connections = call(path, script)
    assert (answer.outcome, answer.text, connections) == ("ok", b"{}", 1)


def test_headers_that_open_the_stream_and_trailers_that_end_it_can_come_at_once(path: Path) -> None:
    answer, _ = call(path, says(settings(), headers(*OPENED), trailers("14")))
    assert reason(answer, path) == "the sidecar is stopping"


@pytest.mark.parametrize("status", ["14", "1"])
def test_a_sidecar_in_its_last_moment_is_asked_again_and_the_next_one_answers(
    path: Path, status: str
) -> None:
    seen: list[Connection] = []

    def script(peer: Connection) -> None:
        seen.append(peer)
        if len(seen) == 1:
            peer.send(settings(), headers(*OPENED, ("grpc-status", status), end=True))
        else:
            peer.open()
            peer.read_request()
            peer.send(GOOD)
        peer.hold()

    answer, connections = call(path, script)
    assert (answer.outcome, connections) == ("ok", 2)


# ---- while a call is under way ----


def answers(*chunks: bytes, then_holds: bool = True) -> Script:
    """A peer that opens the stream, takes one request and says this."""

    def script(peer: Connection) -> None:
        peer.open()
        peer.read_request()
        peer.send(*chunks)
        if then_holds:
            peer.hold()

    return script


def floods_after_the_request(*chunks: bytes) -> Script:
    def script(peer: Connection) -> None:
        peer.open()
        peer.read_request()
        peer.flood(b"".join(chunks))

    return script


GOOD = data(message(result(1)))
TIMED_OUT = f"lambda_sync|timed out after {TIMEOUT_MS} ms"
UNTYPED = b"\x08\x01\x12\x09\x11ABCDEF\0\0"  # request_id as a fixed64

UNDER_WAY: dict[str, tuple[Script, str]] = {
    "closes": (answers(then_holds=False), rf"({CLOSED}){CARRIED_OUT}"),
    "closes in the middle of its answer": (answers(GOOD[:20], then_holds=False), rf"({CLOSED}){CARRIED_OUT}"),
    "resets the stream": (
        answers(rst_stream(2)),
        rf"the stream ended without a status \(HTTP/2 error 2\){CARRIED_OUT}",
    ),
    "resets the stream in the middle of its answer": (
        answers(data(message(result(1))[:8]), rst_stream(8)),
        rf"the stream ended without a status \(HTTP/2 error 8\){CARRIED_OUT}",
    ),
    "goes away and forgets the stream": (
        answers(goaway(0)),
        rf"the stream ended without a status \(HTTP/2 error 7\){CARRIED_OUT}",
    ),
    "goes away and closes": (answers(goaway(STREAM), then_holds=False), rf"({CLOSED}){CARRIED_OUT}"),
    "ends without a status": (
        answers(trailers(None)),
        rf"the stream ended without a status \(HTTP/2 error 0\){CARRIED_OUT}",
    ),
    "ends in DATA": (
        answers(data(b"", end=True)),
        rf"the stream ended without a status \(HTTP/2 error 0\){CARRIED_OUT}",
    ),
    "ends with OK": (
        answers(trailers("0")),
        rf"the sidecar ended the stream with gRPC status 0{CARRIED_OUT}",
    ),
    "ends with UNIMPLEMENTED": (
        answers(trailers("12")),
        rf"the sidecar ended the stream with gRPC status 12{CARRIED_OUT}",
    ),
    "ends with UNAVAILABLE": (answers(trailers("14")), rf"the sidecar is stopping{CARRIED_OUT}"),
    "took the call before it stopped": (
        answers(trailers("14", ("lambda-udf-last-call-id", "1"))),
        rf"the sidecar is stopping{CARRIED_OUT}",
    ),
    "has a last call that is huge": (
        answers(trailers("14", ("lambda-udf-last-call-id", "18446744073709551615"))),
        rf"the sidecar is stopping{CARRIED_OUT}",
    ),
    "has a last call that does not fit": (
        answers(trailers("14", ("lambda-udf-last-call-id", "18446744073709551616"))),
        rf"the sidecar is stopping{CARRIED_OUT}",
    ),
    "has a negative last call": (
        answers(trailers("14", ("lambda-udf-last-call-id", "-1"))),
        rf"the sidecar is stopping{CARRIED_OUT}",
    ),
    "has a last call that is text": (
        answers(trailers("14", ("lambda-udf-last-call-id", "none"))),
        rf"the sidecar is stopping{CARRIED_OUT}",
    ),
    "has a last call, but another status": (
        answers(trailers("13", ("lambda-udf-last-call-id", "0"))),
        rf"the sidecar ended the stream with gRPC status 13{CARRIED_OUT}",
    ),
    "claims a message of 4 GB": (
        answers(data(message(b"x" * 100, length=0xFFFFFFFF))),
        rf"malformed answer: a message over the size limit{CARRIED_OUT}",
    ),
    "compresses": (
        answers(data(message(result(1), flag=1))),
        rf"malformed answer: a compressed message, though none was asked for{CARRIED_OUT}",
    ),
    "answers nothing": (answers(data(message(b""))), "malformed answer"),
    "cuts the message": (answers(data(message(result(1)[:-1]))), "malformed answer"),
    "answers noise": (answers(data(message(bytes(range(256))))), "malformed answer"),
    "puts numbers where text belongs": (answers(data(message(UNTYPED))), "malformed answer"),
    "answers another call": (answers(data(message(result(2)))), "malformed answer"),
    "answers call 0": (answers(data(message(result(0)))), "malformed answer"),
    "breaks HTTP/2 after the request": (
        answers(frame(PING, 0, 1, b"12345678")),
        rf"malformed HTTP/2{CARRIED_OUT}",
    ),
    "sends trailers that do not end the stream": (
        answers(headers(("grpc-status", "0"))),
        rf"the stream ended without a status \(HTTP/2 error 1\){CARRIED_OUT}"
        rf"|the sidecar ended the stream with gRPC status 0{CARRIED_OUT}",
    ),
    "sends DATA after the end": (
        answers(trailers("0"), data(message(result(1)))),
        rf"the sidecar ended the stream with gRPC status 0{CARRIED_OUT}",
    ),
}


@pytest.mark.parametrize("name", UNDER_WAY)
def test_a_peer_that_breaks_off_a_call_is_unavailable_and_the_call_is_not_repeated(
    path: Path, name: str
) -> None:
    script, expected = UNDER_WAY[name]
    answer, connections = call(path, script)
    assert_matches(reason(answer, path), expected)
    assert answer.milliseconds <= SLACK_MS
    assert connections == 1


def drips_its_answer(peer: Connection) -> None:
    peer.open()
    peer.read_request()
    peer.drip(data(message(result(1, b"x" * 5000))), 10)


SILENCES: dict[str, Script] = {
    "stays silent": answers(),
    "stops within a frame": answers(GOOD[:12]),
    "stops within a message": answers(data(message(result(1))[:8])),
    "drips": drips_its_answer,
    "goes away and stays": answers(goaway(STREAM)),
    "floods pings": floods_after_the_request(frame(PING, 0, 0, b"12345678") * 50),
    "floods settings": floods_after_the_request(settings((INITIAL_WINDOW_SIZE, 70000)) * 50),
    "floods empty DATA": floods_after_the_request(data(b"") * 50),
    "floods other streams' priorities": floods_after_the_request(frame(2, 0, 5, b"\0\0\0\0\x10") * 50),
}


@pytest.mark.parametrize("name", SILENCES)
def test_a_peer_that_never_finishes_ends_the_call_at_its_timeout(path: Path, name: str) -> None:
    answer, connections = call(path, SILENCES[name])
    assert connections == 1
    if "Flooding" in answer.message:  # nghttp2 noticed first
        assert_matches(reason(answer, path), FLOODED + CARRIED_OUT)
        return
    assert (answer.errno, answer.message) == (ER_UDF_ERROR, TIMED_OUT)
    assert TIMEOUT_MS <= answer.milliseconds <= TIMEOUT_MS + SLACK_MS


# nghttp2 does not take these for a flood, however many come.
ENDLESS = {
    "empty DATA": data(b""),
    "unknown frames": frame(0xFA, 0xFF, STREAM, b"x" * 8000),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_kill_ends_a_call_though_its_peer_floods(path: Path, name: str) -> None:
    flood = floods_after_the_request(ENDLESS[name] * 50)
    with Peer(path, flood), Host(path, timeout_ms=20_000) as host:
        host.interrupt(QUERY_KILLED, 200)
        answer = host.sync()
    assert answer.errno == ER_QUERY_INTERRUPTED
    assert 200 <= answer.milliseconds <= 200 + SLACK_MS


@pytest.mark.parametrize("name", ENDLESS)
def test_a_client_that_goes_ends_its_call_though_its_peer_floods(path: Path, name: str) -> None:
    flood = floods_after_the_request(ENDLESS[name] * 50)
    with Peer(path, flood), Host(path, timeout_ms=20_000) as host:
        host.client(VIO_SOCKET, 200, "close")
        answer = host.sync()
    assert answer.message == "lambda_sync|the client has gone away"
    assert 200 <= answer.milliseconds <= 200 + SLACK_MS


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        ({"error": invoker_pb2.InvokeError(kind="ERROR_KIND_INTERNAL")}, "the sidecar gave no reason"),
        (
            {"result": invoker_pb2.InvokeResult(status_code=200, function_error="Unhandled")},
            "Lambda function error: it gave no reason",
        ),
        (
            {"error": invoker_pb2.InvokeError(kind="ERROR_KIND_INTERNAL", message="\0")},
            "no reason that can be shown",
        ),
    ],
    ids=["the sidecar", "the function", "a NUL"],
)
def test_an_error_without_a_text_says_that_there_was_none(
    path: Path, outcome: dict[str, Any], text: str
) -> None:
    response = invoker_pb2.InvokeResponse(call_id=1, **outcome)
    answer, _ = call(path, answers(data(message(response.SerializeToString()))))
    assert (answer.errno, answer.message) == (ER_UDF_ERROR, f"lambda_sync|{text}")


def test_an_answer_in_bytes_is_an_answer(path: Path) -> None:
    def script(peer: Connection) -> None:
        peer.open()
        peer.read_request()
        for byte in data(message(result(1, b'"whole"'))):
            peer.send(bytes([byte]))
        peer.hold()

    answer, _ = call(path, script)
    assert (answer.outcome, answer.text) == ("ok", b'"whole"')


def test_a_drip_of_DATA_with_one_byte_each_is_an_answer(path: Path) -> None:
    def script(peer: Connection) -> None:
        peer.open()
        peer.read_request()
        peer.send(*(data(bytes([byte])) for byte in message(result(1, b"x" * 400))))
        peer.hold()

    answer, _ = call(path, script)
    assert (answer.outcome, answer.length) == ("ok", 400)


# ---- a peer that does not take the request ----


def wide(window: int) -> tuple[bytes, bytes]:
    """Settings with a stream window of this size, and the widest window of the connection."""
    return settings((INITIAL_WINDOW_SIZE, window)), window_update(0x7FFFFFFF - 65_535)


@pytest.mark.parametrize("window", [0, 1, 65_535, 0x7FFFFFFF])
def test_a_request_of_5_MB_that_nobody_reads_ends_at_the_timeout(path: Path, window: int) -> None:
    def script(peer: Connection) -> None:
        peer.send(
            settings((INITIAL_WINDOW_SIZE, window)), window_update(0x7FFFFFFF - 65_535), headers(*OPENED)
        )
        peer.hold_unread()

    answer, connections = call(path, script, 5_000_000)
    assert (answer.errno, answer.message) == (ER_UDF_ERROR, TIMED_OUT)
    assert TIMEOUT_MS <= answer.milliseconds <= TIMEOUT_MS + SLACK_MS
    assert connections == 1


@pytest.mark.parametrize("end", ["reset", "goaway", "trailers", "close"])
def test_a_peer_that_goes_while_the_request_is_half_sent_was_never_asked(path: Path, end: str) -> None:
    """Such a call may be sent again, and is, but not for ever."""
    ends = {"reset": rst_stream(8), "goaway": goaway(0), "trailers": trailers("14"), "close": b""}

    def script(peer: Connection) -> None:
        peer.open(*wide(0x7FFFFFFF))
        peer.wait_for(DATA)
        peer.send(ends[end])
        if end != "close":
            peer.hold_unread()

    answer, connections = call(path, script, 5_000_000)
    assert CARRIED_OUT not in reason(answer, path)
    assert 1 < connections <= 5


def unread(peer: Connection) -> int:
    size = fcntl.ioctl(peer.socket, termios.FIONREAD, b"\0" * 4)
    return int(struct.unpack("i", size)[0])


def test_a_request_that_has_left_whole_is_not_sent_again_though_more_was_to_be_said(path: Path) -> None:
    """The last DATA frame leaves, and the answers to pings behind it find the kernel's buffer full. One of
    these sizes meets just that."""
    taken: list[int] = []

    def script(peer: Connection) -> None:
        peer.open(*wide(8 << 20))
        peer.wait_for(DATA)
        have, before = -1, -2
        while have != before:  # until the library is stuck, or has sent all
            peer.pause(10)
            have, before = unread(peer), have
        peer.send(frame(PING, 0, 0, b"12345678") * 700)
        peer.pause(30)
        while True:
            kind, _, _, payload = peer.read_frame()
            if kind == DATA and payload.endswith(b'xx"'):
                break
        taken.append(1)
        peer.pause(30)

    with Peer(path, script), Host(path, timeout_ms=TIMEOUT_MS) as host:
        for frames in range(7, 18):
            taken.clear()
            answer = host.sync("Echo", 16_384 * frames - 200)
            assert reason(answer, path).endswith(CARRIED_OUT)
            assert len(taken) == 1, f"{frames} frames"


# ---- who lies about what he has taken ----


def test_a_peer_that_never_takes_a_call_is_asked_a_few_times_only(path: Path) -> None:
    answer, connections = call(path, answers(trailers("14", ("lambda-udf-last-call-id", "0"))))
    assert reason(answer, path) == "the sidecar is stopping"
    assert connections == 5
    assert answer.milliseconds <= SLACK_MS


def test_a_call_that_was_not_taken_is_sent_again_and_succeeds(path: Path) -> None:
    requests: list[invoker_pb2.InvokeRequest] = []

    def script(peer: Connection) -> None:
        peer.open()
        requests.append(peer.read_request())
        if len(requests) == 1:
            peer.send(trailers("14", ("lambda-udf-last-call-id", "0")))
        else:
            peer.send(GOOD)
        peer.hold()

    answer, connections = call(path, script)
    assert (answer.outcome, connections) == ("ok", 2)
    assert requests[0].payload == requests[1].payload
    assert [request.call_id for request in requests] == [1, 1]


def test_an_answer_that_came_before_the_end_counts(path: Path) -> None:
    answer, connections = call(path, answers(GOOD, trailers("14", ("lambda-udf-last-call-id", "0"))))
    assert (answer.outcome, answer.text, connections) == ("ok", b"{}", 1)


# ---- while the channel is idle ----

IDLE: dict[str, bytes] = {
    "closed": b"",
    "reset the stream": rst_stream(8),
    "gone away": goaway(STREAM),
    "gone away without the stream": goaway(0),
    "ended the stream": trailers("14", ("lambda-udf-last-call-id", "1")),
    "answered twice": data(message(result(2))),
    "begun an answer to nothing": data(message(result(2))[:3]),
    "broken HTTP/2": frame(PING, 0, 1, b"12345678"),
    "said garbage": b"\xff" * 100,
    "sent more than is read of an idle channel": frame(PING, 0, 0, b"12345678") * 30_000,
}


@pytest.mark.parametrize("name", IDLE)
def test_a_channel_that_went_bad_while_idle_is_replaced_unnoticed(path: Path, name: str) -> None:
    said = threading.Event()
    first = threading.Event()

    def script(peer: Connection) -> None:
        peer.open()
        request = peer.read_request()
        peer.send(data(message(result(request.call_id))))
        if first.is_set():
            peer.hold()
        first.set()
        try:
            if IDLE[name]:
                peer.socket.setblocking(False)
                peer.socket.send(IDLE[name])
                peer.socket.settimeout(20)
        finally:
            if not IDLE[name]:
                peer.socket.close()
            said.set()
        if IDLE[name]:
            peer.hold()

    with Peer(path, script) as peer, Host(path, timeout_ms=TIMEOUT_MS) as host:
        assert host.sync().outcome == "ok"
        assert said.wait(10)
        assert host.sync().outcome == "ok"
        assert peer.connections == 2


def test_a_second_answer_ends_the_channel_but_not_the_call(path: Path) -> None:
    def script(peer: Connection) -> None:
        peer.open()
        request = peer.read_request()
        peer.send(data(message(result(request.call_id)) * 2))
        peer.hold()

    with Peer(path, script) as peer, Host(path, timeout_ms=TIMEOUT_MS) as host:
        assert [host.sync().outcome for _ in range(3)] == ["ok"] * 3
        assert peer.connections == 3


def test_a_call_that_ends_resets_its_stream_or_closes(path: Path) -> None:
    """A sidecar must see that nobody waits any more."""
    gone = threading.Event()

    def script(peer: Connection) -> None:
        try:
            answers()(peer)
        except Gone:
            gone.set()
            raise

    with Peer(path, script), Host(path, timeout_ms=200) as host:
        assert host.sync().message == "lambda_sync|timed out after 200 ms"
        wait_until(gone.is_set)

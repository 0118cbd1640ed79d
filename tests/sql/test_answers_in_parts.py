"""An answer that comes in parts, as lambda_invoke's streams do: what the library makes of it, and of a peer that
breaks off, lies or never ends.

Each script is a peer's whole behaviour on one connection. The host program runs under sanitizers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.host_program import (
    ER_QUERY_INTERRUPTED,
    ER_UDF_ERROR,
    QUERY_KILLED,
    VIO_SOCKET,
    Answer,
    Concat,
    Host,
)
from tests.support.hostile_peer import (
    Connection,
    Peer,
    Script,
    data,
    frame,
    message,
    part,
    result,
    rst_stream,
    trailers,
)

from lambda_udf.v1 import invoker_pb2

# A machine that does other things as well may add this much.
SLACK_MS = 500
# A KILL, the deadline and the client's end are seen within 100 ms; the rest is for such a machine.
SEEN_MS = 100 + 100
RESULT_MAX_DEFAULT = 64 * 1024 * 1024
CARRIED_OUT = "; the call was under way and may have been carried out"
TOO_LONG = "lambda_invoke|the result has more than {} bytes (lambda_udf.result_max_bytes, max_allowed_packet)"
# What a connection's bytes are read in (udf/channel.c: RECEIVE_SIZE).
ONE_READ = 16_384


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "peer.sock"


def responses(*encoded: bytes) -> bytes:
    return data(b"".join(map(message, encoded)))


def answers(*chunks: bytes, then_holds: bool = True) -> Script:
    def script(peer: Connection) -> None:
        peer.open()
        peer.read_request()
        peer.send(*chunks)
        if then_holds:
            peer.hold()

    return script


def floods(chunk: bytes) -> Script:
    def script(peer: Connection) -> None:
        peer.open()
        peer.read_request()
        peer.flood(chunk)

    return script


def call(path: Path, script: Script, result_max: int | str = "", function: str = "lambda_invoke") -> Answer:
    """One call against such a peer, which makes one connection; the next call of the same program finds nothing left."""
    with Peer(path, script) as peer, Host(path, timeout_ms=5000, result_max_bytes=result_max) as host:
        answer = host.call(function, "Echo", "{}")
    assert peer.connections == 1
    return answer


# ---- parts that are as they should be ----


GOOD: dict[str, tuple[bytes, bytes]] = {
    "one part and the last": (responses(part(1, b"one, "), result(1, b"two")), b"one, two"),
    "a last part without bytes": (responses(part(1, b"one"), result(1, b"")), b"one"),
    "no part": (responses(result(1, b"one")), b"one"),
    "nothing at all": (responses(result(1, b"")), b""),
    "zeros and bytes that are no text": (responses(part(1, b"\0\xff"), result(1, b"\0")), b"\0\xff\0"),
    "a part in a message of its own": (
        responses(part(1, b"a")) + responses(part(1, b"b")) + responses(result(1, b"c")),
        b"abc",
    ),
    "messages that frames cut": (
        b"".join(
            data(bytes([byte]))
            for byte in message(part(1, b"ab")) + message(part(1, b"c")) + message(result(1, b"d"))
        ),
        b"abcd",
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_parts_become_one_result(path: Path, name: str) -> None:
    said, expected = GOOD[name]
    answer = call(path, answers(said))
    assert (answer.outcome, answer.text, answer.length) == ("ok", expected, len(expected))


def test_there_is_room_for_a_NUL_behind_parts_of_any_length(path: Path) -> None:
    """The host program reads it, and the sanitizers know where the buffer ends: it grows by doubling."""
    lengths = [2**n for n in range(6, 17)]

    def script(peer: Connection) -> None:
        peer.open()
        for call_id, length in enumerate(lengths, 1):
            peer.read_request()
            peer.send(responses(part(call_id, b"x" * length), result(call_id, b"")))
        peer.hold()

    with Peer(path, script), Host(path) as host:
        assert [host.call("lambda_invoke", "f", "{}").length for _ in lengths] == lengths


def test_as_many_parts_as_one_read_can_hold_are_a_result(path: Path) -> None:
    """And many more than that: none is lost, none counts as an answer to nothing."""
    count = 20 * ONE_READ // len(message(part(1, b"x")))
    answer = call(path, answers(responses(*[part(1, b"x")] * count, result(1, b"y"))))
    assert (answer.outcome, answer.length) == ("ok", count + 1)


def test_a_request_says_how_many_bytes_its_parts_may_have_if_its_function_takes_them(path: Path) -> None:
    asked: dict[str, int] = {}

    def script(peer: Connection) -> None:
        peer.open()
        for call_id in (1, 2, 3):
            request = peer.read_request()
            asked[invoker_pb2.InvocationType.Name(request.invocation_type)] = request.result_max
            peer.send(responses(result(call_id)))
        peer.hold()

    with Peer(path, script), Host(path) as host:
        for function in ("lambda_invoke", "lambda_sync", "lambda_async"):
            host.call(function, "Echo", "{}")
    assert asked == {
        "INVOCATION_TYPE_UNSPECIFIED": RESULT_MAX_DEFAULT,
        "INVOCATION_TYPE_REQUEST_RESPONSE": 0,
        "INVOCATION_TYPE_EVENT": 0,
    }


def test_the_channel_serves_on_after_parts(path: Path) -> None:
    """Parts, an error after parts, and an answer without parts, over one connection."""
    error = invoker_pb2.InvokeError(kind="ERROR_KIND_API", message="why")

    def script(peer: Connection) -> None:
        peer.open()
        for call_id in range(1, 9, 4):
            peer.read_request()
            peer.send(responses(part(call_id, b"a"), part(call_id, b"b"), result(call_id, b"c")))
            peer.read_request()
            refusal = invoker_pb2.InvokeResponse(call_id=call_id + 1, error=error)
            peer.send(responses(part(call_id + 1, b"lost"), refusal.SerializeToString()))
            for more in (2, 3):
                peer.read_request()
                peer.send(responses(result(call_id + more, b"whole")))
        peer.hold()

    with Peer(path, script) as peer, Host(path) as host:
        for _ in range(2):
            assert host.call("lambda_invoke", "f", "{}").text == b"abc"
            refused = host.call("lambda_invoke", "f", "{}")
            assert (refused.errno, refused.message) == (ER_UDF_ERROR, "lambda_invoke|why")
            assert host.sync().text == b"whole"
            assert host.call("lambda_invoke", "f", "{}").text == b"whole"
    assert peer.connections == 1


def test_each_row_of_a_statement_has_its_own_parts(path: Path) -> None:
    """A long row, a shorter one, one without parts, and one that fails."""
    error = invoker_pb2.InvokeError(kind="ERROR_KIND_API", message="why")
    failed = invoker_pb2.InvokeResponse(call_id=4, error=error).SerializeToString()

    def script(peer: Connection) -> None:
        peer.open()
        for said in (
            responses(*[part(1, b"x" * 10_000)] * 50, result(1, b"end")),
            responses(part(2, b"short"), result(2, b"er")),
            responses(result(3, b"whole")),
            responses(part(4, b"x" * 10_000), failed),
            responses(part(5, b"last"), result(5, b"")),
        ):
            peer.read_request()
            peer.send(said)
        peer.hold()

    with Peer(path, script), Host(path) as host:
        rows = host.rows("f", Concat("", ""), count=5, function="lambda_invoke")
    assert rows == [b"x" * 512, b"shorter", b"whole", b"!lambda_invoke|why", b"last"]


# ---- the most that there may be ----


@pytest.mark.parametrize(
    ("said", "length"),
    [
        ([part(1, b"x" * 600), result(1, b"y" * 400)], 1000),
        ([part(1, b"x" * 1000), result(1, b"")], 1000),
        ([part(1, b"x" * 600), result(1, b"y" * 401)], None),
        ([part(1, b"x" * 1000), result(1, b"y")], None),
        ([part(1, b"x" * 600), part(1, b"y" * 401)], None),
        ([part(1, b"x" * 1001)], None),
        ([part(1, b"x")] * 1001, None),
    ],
)
def test_parts_have_result_max_bytes_and_no_more(path: Path, said: list[bytes], length: int | None) -> None:
    answer = call(path, answers(responses(*said)), result_max=1000)
    if length is None:
        assert (answer.errno, answer.message) == (ER_UDF_ERROR, TOO_LONG.format(1000))
    else:
        assert (answer.outcome, answer.length) == ("ok", length)


def test_a_result_without_parts_is_as_long_as_ever(path: Path) -> None:
    answer = call(path, answers(responses(result(1, b"x" * 100_000))), result_max=1000)
    assert (answer.outcome, answer.length) == ("ok", 100_000)


def test_parts_without_end_end_at_the_limit(path: Path) -> None:
    answer = call(path, floods(responses(*[part(1, b"x" * 100_000)] * 10)), result_max=50_000_000)
    assert answer.message == TOO_LONG.format(50_000_000)


@pytest.mark.parametrize("value", ["0", "-1", "1073741825", "many", "1M"])
def test_a_wrong_limit_in_the_environment_is_named(path: Path, value: str) -> None:
    with Host(path, result_max_bytes=value) as host:
        for function in ("lambda_invoke", "lambda_sync"):
            assert host.call(function, "f", "{}").message == (
                f"{function}|LAMBDA_UDF_RESULT_MAX_BYTES is '{value}': a number from 1 to 1073741824 is expected"
            )


# ---- parts that are not as they should be ----


MALFORMED: dict[str, bytes] = {
    "of another call": responses(part(2, b"x")),
    "and then of another call": responses(part(1, b"x"), part(2, b"x")),
    "and then the result of another call": responses(part(1, b"x"), result(2)),
    "without bytes": responses(part(1, b"x"), b"\x08\x01\x32\x00"),
    "beside an outcome": responses(result(1) + b"\x32\x01x"),
    "with further answers": responses(part(1, b"x") + b"\x2a\x02\x12\x00"),
    "within further answers": responses(part(1, b"x"), result(1) + b"\x2a\x05" + part(1, b"x")),
    "and then nothing": responses(part(1, b"x"), b""),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_parts_that_are_not_as_they_should_be_are_malformed(path: Path, name: str) -> None:
    answer = call(path, answers(MALFORMED[name]))
    assert answer.message == f"lambda_invoke|sidecar unavailable: {path}: malformed answer"


@pytest.mark.parametrize("function", ["lambda_sync", "lambda_async", "lambda_execution"])
def test_a_part_of_what_takes_none_is_malformed(path: Path, function: str) -> None:
    with Peer(path, answers(responses(part(1, b"x")))), Host(path) as host:
        answer = host.call(function, "Echo", *(() if function == "lambda_execution" else ("{}",)))
    assert answer.message == f"{function}|sidecar unavailable: {path}: malformed answer"


def test_what_comes_behind_the_last_answer_ends_the_channel_and_not_the_call(path: Path) -> None:
    script = answers(responses(part(1, b"a"), result(1, b"b"), part(1, b"c")))
    with Peer(path, script) as peer, Host(path) as host:
        for _ in range(2):
            assert host.call("lambda_invoke", "f", "{}").text == b"ab"
    assert peer.connections == 2


def test_more_messages_in_one_read_than_parts_can_be_are_answers_to_nothing(path: Path) -> None:
    """Messages without a byte, of which a read holds more than the parts that may wait."""
    empty = message(b"") * 4000
    said = b"".join(frame(0, 0, 1, message(part(1, b"x")) + empty[:16_000]) for _ in range(3))
    answer = call(path, answers(said))
    assert re.fullmatch(
        rf"lambda_invoke\|sidecar unavailable: {re.escape(str(path))}: malformed answer.*", answer.message
    )


ENDS: dict[str, tuple[bytes, str]] = {
    "closes": (b"", r"the sidecar closed the connection|the connection was lost: .*"),
    "resets the stream": (rst_stream(2), r"the stream ended without a status \(HTTP/2 error 2\)"),
    "stops": (trailers("14", ("lambda-udf-last-call-id", "1")), "the sidecar is stopping"),
    "ends with OK": (trailers("0"), "the sidecar ended the stream with gRPC status 0"),
    "closes in a part": (
        data(message(part(1, b"y" * 100))[:50]),
        r"the sidecar closed the connection|the connection was lost: .*",
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_peer_that_goes_between_parts_may_have_carried_the_call_out(path: Path, name: str) -> None:
    end, reason = ENDS[name]
    answer = call(
        path, answers(responses(*[part(1, b"x" * 50_000)] * 20), end, then_holds="closes" not in name)
    )
    start = f"lambda_invoke|sidecar unavailable: {path}: "
    assert answer.message.startswith(start), answer
    assert re.fullmatch(f"({reason}){CARRIED_OUT}", answer.message.removeprefix(start)), answer
    assert answer.milliseconds <= SLACK_MS


def test_an_execution_with_a_name_begins_anew_without_the_parts_that_came(path: Path) -> None:
    seen: list[int] = []

    def script(peer: Connection) -> None:
        peer.open()
        peer.read_request()
        seen.append(1)
        peer.send(responses(part(1, b"lost" if len(seen) == 1 else b"kept, ")))
        if len(seen) == 2:
            peer.send(responses(result(1, b"whole")))
            peer.hold()

    with Peer(path, script), Host(path) as host:
        answer = host.call("lambda_invoke", "f", "{}", '{"durable_execution_name": "n"}')
    assert (answer.text, len(seen)) == (b"kept, whole", 2)


# ---- what else ends a call, though a part is always there ----


# No longer ones: a sanitizer's realloc copies, and for hundreds of megabytes that alone takes a tenth of a second.
FLOODS: dict[str, bytes] = {
    "tiny": responses(*[part(1, b"x")] * 2000),
    "of 1 KB": responses(*[part(1, b"x" * 1024)] * 500),
}
ALL = 1073741824


@pytest.fixture(params=FLOODS)
def flood(request: pytest.FixtureRequest) -> bytes:
    return FLOODS[request.param]


def limited(path: Path, flood: bytes, timeout_ms: int = 20_000) -> Iterator[Host]:
    with Peer(path, floods(flood)), Host(path, timeout_ms=timeout_ms, result_max_bytes=ALL) as host:
        yield host


def test_a_kill_ends_parts_without_end(path: Path, flood: bytes) -> None:
    for host in limited(path, flood):
        host.interrupt(QUERY_KILLED, 200)
        answer = host.call("lambda_invoke", "f", "{}")
        assert answer.errno == ER_QUERY_INTERRUPTED
        assert 200 <= answer.milliseconds <= 200 + SEEN_MS


def test_a_client_that_goes_ends_parts_without_end(path: Path, flood: bytes) -> None:
    for host in limited(path, flood):
        host.client(VIO_SOCKET, 200, "close")
        answer = host.call("lambda_invoke", "f", "{}")
        assert answer.message == "lambda_invoke|the client has gone away"
        assert 200 <= answer.milliseconds <= 200 + SEEN_MS


def test_a_kill_that_closes_the_clients_socket_ends_parts_without_end_as_a_kill(
    path: Path, flood: bytes
) -> None:
    for host in limited(path, flood):
        host.client(VIO_SOCKET, 200, "kill")
        answer = host.call("lambda_invoke", "f", "{}")
        assert answer.errno == ER_QUERY_INTERRUPTED
        assert 200 <= answer.milliseconds <= 200 + SEEN_MS


def test_the_timeout_ends_parts_without_end(path: Path, flood: bytes) -> None:
    for host in limited(path, flood, timeout_ms=300):
        answer = host.call("lambda_invoke", "f", "{}")
        assert answer.message == "lambda_invoke|timed out after 300 ms"
        assert 300 <= answer.milliseconds <= 300 + SEEN_MS

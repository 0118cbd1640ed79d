"""What answers InvokeWithResponseStream, as its bytes come: beside botocore's own parser, hostile, slow to read.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.event_stream import Value, chunk, complete, exception, header, message, raw
from tests.support.permuting_loop import run_in_order

from lambda_sidecar.aws import response_stream
from lambda_sidecar.aws.response_stream import HEADERS_MAX_BYTES, MESSAGE_MAX_BYTES, Completion, read_stream
from lambda_sidecar.errors import ApiError, ConnectionLost, InvokeFailure, NotAsLambdaDoes
from lambda_sidecar.http.connection import HELD_MAX
from lambda_sidecar.local.event_stream import invoke_complete, payload_chunks
from lambda_sidecar.quotas import RESPONSE_MAX

EMPTY = Completion("", "", b"", 0)
NO_STREAM = "the endpoint did not answer as Lambda does: no event stream"
BEHIND = "an event behind the completion of its stream"


class Stream:
    """Pieces that come one after the other; `parts` is what was made of them."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.parts: list[bytes] = []

    async def next_piece(self) -> bytes | None:
        return next(self._pieces, None)

    async def put(self, part: bytes) -> None:
        assert part, "an empty part"
        self.parts.append(part)


def read(*pieces: bytes) -> tuple[bytes, Completion]:
    """All that was put, and how it ended."""
    stream = Stream(pieces)
    completion = asyncio.run(read_stream(stream.next_piece, stream.put))
    return b"".join(stream.parts), completion


def failure_of(*pieces: bytes) -> InvokeFailure:
    with pytest.raises(InvokeFailure) as raised:
        read(*pieces)
    return raised.value


def cut(wire: bytes, steps: Sequence[int]) -> Iterable[bytes]:
    at = turn = 0
    while at < len(wire):
        step = steps[turn % len(steps)] if steps else len(wire)
        yield wire[at : at + step]
        at, turn = at + step, turn + 1


steps = st.lists(st.integers(1, 40), max_size=4)


@given(st.lists(st.binary(max_size=60), max_size=8), steps)
def test_parts_come_in_their_order_however_the_bytes_were_cut(parts: list[bytes], steps: list[int]) -> None:
    wire = b"".join(map(chunk, parts)) + complete()
    assert read(*cut(wire, steps)) == (b"".join(parts), Completion("", "", b"", sum(map(len, parts))))


def test_what_the_local_lambda_writes_is_read() -> None:
    answer = bytes(range(256)) * 1000
    wire = b"".join(payload_chunks(answer)) + invoke_complete({"ErrorCode": "Unhandled"})
    assert read(wire) == (answer, Completion("Unhandled", "", b"", len(answer)))


def test_a_part_is_passed_on_before_the_next_one_has_come() -> None:
    async def scenario() -> None:
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        put: asyncio.Queue[bytes] = asyncio.Queue()
        reading = asyncio.create_task(read_stream(pieces.get, put.put))
        for part in (b"one", b"two"):
            pieces.put_nowait(chunk(part) + chunk(b"next")[:-1])
            assert await put.get() == part
            pieces.put_nowait(chunk(b"next")[-1:])
            assert await put.get() == b"next"
        pieces.put_nowait(complete())
        pieces.put_nowait(None)
        assert (await reading).size == 14

    run_in_order(scenario, 3)


def test_what_comes_together_is_put_together() -> None:
    stream = Stream([chunk(b"a") * 3 + chunk(b"b"), chunk(b"") * 2, chunk(b"c") + complete()])
    asyncio.run(read_stream(stream.next_piece, stream.put))
    assert stream.parts == [b"aaab", b"c"]


def test_events_of_other_types_mean_nothing() -> None:
    other = message(b"x", event_type="Later", message_type="event")
    untyped = message(b"x", message_type="event")
    wire = other + chunk(b"1") + untyped + complete()
    assert read(wire) == (b"1", Completion("", "", b"", 1))


# ---- how it ends ----


def test_the_completion_says_how_the_function_failed_and_has_the_end_of_its_log() -> None:
    log = base64.b64encode(b"x" * 5000 + b"end").decode()
    _, completion = read(complete(ErrorCode="Unhandled", ErrorDetails='{"a": "\u00e9"}', LogResult=log))
    assert (completion.error_code, completion.error_details) == ("Unhandled", '{"a": "\u00e9"}')
    assert completion.log_tail == b"x" * 4093 + b"end"
    nothing = message(event_type="InvokeComplete", message_type="event")
    for wire in (complete(), complete(ErrorCode=None, More={"a": [1]}), nothing):
        assert read(wire) == (b"", EMPTY)


def test_of_a_log_of_megabytes_only_the_end_is_decoded() -> None:
    """All of it took 16 ms."""
    encoded = base64.b64encode(b"x" * 5000 + b"end").decode()
    for before in ("\u00e9" * 600_000, "A" * 4_000_000):
        assert read(complete(LogResult=before + encoded))[1].log_tail == b"x" * 4093 + b"end"
    for length in range(4000, 4200):
        log = random.Random(length).randbytes(length)  # noqa: S311  no secret is made of it
        assert read(complete(LogResult=base64.b64encode(log).decode()))[1].log_tail == log[-4096:]


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"{",
        b"\xff",
        b'{"ErrorCode": 1}',
        b'{"LogResult": "a"}',
        '{"LogResult": "é"}'.encode(),
        b'{"ErrorDetails": "\\ud800"}',
        b'{"x": ' + b"[" * 100_000,
        b'{"ErrorDetails": "' + b"x" * RESPONSE_MAX + b'"}',
    ],
    ids=range(9),
)
def test_a_completion_that_cannot_be_read_is_not_lambdas(payload: bytes) -> None:
    wire = message(payload, event_type="InvokeComplete", message_type="event")
    failure = failure_of(wire)
    assert isinstance(failure, NotAsLambdaDoes)
    assert "a completion of its stream that cannot be read" in failure.text


def test_a_stream_that_ends_before_its_completion_is_a_connection_that_was_lost() -> None:
    for pieces in ([], [chunk(b"1")], [chunk(b"1")[:-1]], [complete()[:-1]]):
        failure = failure_of(*pieces)
        assert isinstance(failure, ConnectionLost)
        assert "The endpoint ended the stream before its completion" in failure.text
        assert failure.text.endswith("may have been carried out")


@pytest.mark.parametrize("more", [complete(), chunk(b"1"), chunk(b"1")[:-1], b"x"])
def test_nothing_comes_behind_the_completion(more: bytes) -> None:
    for pieces in ([complete() + more], [complete(), more]):
        failure = failure_of(*pieces)
        assert isinstance(failure, NotAsLambdaDoes)
        assert BEHIND in failure.text


# ---- exceptions ----


@pytest.mark.parametrize(
    ("wire", "code", "text"),
    [
        (exception("TooManyRequestsException", "slow"), "TooManyRequestsException", "slow"),
        (message(message_type="error", error_code="Internal", error_message="oh"), "Internal", "oh"),
        (message(b"<html>", message_type="exception", exception_type="E"), "E", "no message"),
        (message(b'{"Message": "big M"}', message_type="exception"), "an unnamed exception", "big M"),
        (message(message_type="error", error_code=7, error_message=b"\xff"), "7", "b'\\xff'"),
        (message(b"[" * 100_000, message_type="exception", exception_type="E"), "E", "no message"),
        (
            message(message_type="error", error_code="x" * 1000, error_message="y" * 1000),
            "x" * 100,
            "y" * 400,
        ),
    ],
)
def test_an_exception_in_the_stream_is_lambdas_error(wire: bytes, code: str, text: str) -> None:
    failure = failure_of(chunk(b"before") + wire)
    assert isinstance(failure, ApiError)
    assert (failure.code, failure.text) == (code, f"Lambda API returned error: {code}: {text}")
    assert failure.of_service
    assert not failure.passes, "part of its answer may be with the caller"


@pytest.mark.parametrize("kind", [None, "", "Event", "initial-response", 1, True, b"event"])
def test_a_message_of_an_unknown_type_is_not_lambdas(kind: Value | None) -> None:
    wire = message(b"1", event_type="PayloadChunk", **({} if kind is None else {"message_type": kind}))
    assert "a message of an unknown type in its stream" in failure_of(wire).text


# ---- what is no event stream ----


def botocores(wire: bytes) -> list[tuple[dict[str, Value], bytes]] | None:
    """The messages that are whole, and None if it refuses one."""
    buffer = EventStreamBuffer()
    buffer.add_data(wire)
    try:
        return [(each.headers, each.payload) for each in buffer]
    except (ParserError, ValueError, KeyError, struct.error):
        return None


def ours(wire: bytes, steps: Sequence[int]) -> list[tuple[dict[str, Value], bytes]] | None:
    messages = response_stream._Messages()
    made: list[tuple[dict[str, Value], bytes]] = []
    try:
        for piece in cut(wire, steps):
            messages.add(piece)
            while step := messages.step():
                made += [(each.headers, each.payload) for each in step]
    except NotAsLambdaDoes:
        return None
    return made


values = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=9), st.binary(max_size=9)
)
headers = st.dictionaries(st.text(max_size=9), values, max_size=4)
messages = st.one_of(
    st.builds(
        lambda headers, payload: raw(b"".join(header(*each) for each in headers.items()), payload),
        headers,
        st.binary(max_size=40),
    ),
    st.builds(raw, st.binary(max_size=40), st.binary(max_size=40)),
    st.builds(lambda length: raw(b"", b"12345", length=length), st.integers(0, 40)),
)
flips = st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=2)


def flipped(wire: bytes, flips: list[tuple[int, int]]) -> bytes:
    made = bytearray(wire)
    for at, by in flips:
        made[at % len(made)] ^= by
    return bytes(made)


@given(st.lists(messages, min_size=1, max_size=4), flips, steps)
def test_messages_are_those_that_botocores_own_parser_finds(
    wires: list[bytes], flips: list[tuple[int, int]], steps: list[int]
) -> None:
    """A length that no message has is refused sooner than botocore does."""
    wire = flipped(b"".join(wires), flips)
    found, expected = ours(wire, steps), botocores(wire)
    assert found == expected or (found is None and _has_impossible_length(wire))


def _has_impossible_length(wire: bytes) -> bool:
    at = 0
    while len(wire) - at >= 12:
        length, headers = struct.unpack_from("!II", wire, at)
        if length < 16 + headers:
            return True
        at += length
    return False


parts_of_a_stream = st.lists(
    st.one_of(
        messages,
        st.builds(chunk, st.binary(max_size=20)),
        st.builds(
            lambda payload: message(payload, event_type="InvokeComplete", message_type="event"), st.binary()
        ),
        st.builds(message, st.binary(max_size=20), message_type=values, event_type=values, error_code=values),
    ),
    max_size=5,
)


@given(st.one_of(parts_of_a_stream.map(b"".join), st.binary()), flips, steps)
@settings(max_examples=300)
def test_whatever_comes_ends_in_an_answer_or_in_a_failure_that_has_a_text(
    wire: bytes, flips: list[tuple[int, int]], steps: list[int]
) -> None:
    with contextlib.suppress(InvokeFailure):
        read(*cut(flipped(wire, flips) if wire else wire, steps))


@pytest.mark.parametrize(
    "wire",
    [
        b"<html><body>",
        raw(b"\x01a"),
        raw(b"\x01a\x05\x00"),
        raw(b"\x01a\x0c"),
        raw(b"\x01\xff\x00"),
        raw(header("a", 1) * 2),
        raw(b"", length=15),
        raw(b"", length=0),
        chunk(b"1")[:-1] + b"\x00",
    ],
)
def test_what_is_no_event_stream_is_said_to_be_none(wire: bytes) -> None:
    for steps in ([], [1]):
        failure = failure_of(*cut(wire, steps))
        assert isinstance(failure, NotAsLambdaDoes)
        assert NO_STREAM in failure.text


# ---- bounds ----


def test_an_event_that_is_too_large_is_refused_at_its_first_bytes() -> None:
    prelude = raw(b"", length=MESSAGE_MAX_BYTES + 1)[:12]
    assert f"an event of more than {MESSAGE_MAX_BYTES} bytes in its stream" in failure_of(prelude).text
    largest = chunk(b"x" * (MESSAGE_MAX_BYTES - len(chunk(b""))))
    assert read(largest, complete())[1].size == len(largest) - len(chunk(b""))


def test_headers_that_are_too_long_are_refused_at_the_first_bytes() -> None:
    for length, is_fine in ((HEADERS_MAX_BYTES, True), (HEADERS_MAX_BYTES + 1, False)):
        headers = header(":message-type", "event")
        headers += header("x", "y" * (length - len(headers) - len(header("x", ""))))
        if is_fine:
            assert read(raw(headers) + complete()) == (b"", EMPTY)
        else:
            assert NO_STREAM in failure_of(raw(headers)[:12]).text


class Counted(bytearray):
    """Counts the bytes that are copied into it and out of it."""

    copied = 0

    def __iadd__(self, more: Any) -> Counted:  # type: ignore[misc]
        Counted.copied += len(more)
        self.extend(more)
        return self

    def __getitem__(self, key: Any) -> Any:
        made = super().__getitem__(key)
        Counted.copied += len(made)
        return made


def test_a_large_event_in_the_smallest_pieces_is_not_copied_for_each() -> None:
    """botocore's buffer copies all that it has for each piece."""
    wire = chunk(b"x" * 100_000)
    messages = response_stream._Messages()
    messages._held = Counted()
    Counted.copied = 0
    for at in range(0, len(wire), 2):
        messages.add(wire[at : at + 2])
        found = messages.step()
    assert len(found) == 1
    looks = len(wire) // 2 * 8  # at the eight bytes that its length's checksum covers
    assert Counted.copied <= 2 * len(wire) + looks


@pytest.mark.parametrize(
    "small",
    [
        message(message_type="event"),
        chunk(b"x"),
        raw(header(":message-type", "event") + b"".join(header(chr(n), True) for n in range(256, 1056))),
    ],
    ids=["nothing", "one byte each", "headers alone"],
)
def test_others_have_their_turn_however_many_events_come_at_once(small: bytes) -> None:
    """A step has no more than STEP bytes of them, or one."""
    taken: list[int] = []

    class Watched(response_stream._Messages):
        def step(self) -> list[EventStreamMessage]:
            made = super().step()
            taken.append(sum(each.prelude.total_length for each in made))
            return made

    async def scenario() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        stream = Stream([small * (HELD_MAX // len(small)), complete()])
        await read_stream(stream.next_piece, stream.put)
        counting.cancel()
        return turns

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(response_stream, "_Messages", Watched)
        turns = asyncio.run(scenario())
    assert max(taken) <= response_stream.STEP
    assert turns >= HELD_MAX // response_stream.STEP - 1

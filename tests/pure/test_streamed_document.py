"""lambda_invoke's document of a streamed answer: what is sent, part by part, is one JSON text within its bound.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.results import result

from lambda_sidecar.aws.response_stream import Completion
from lambda_sidecar.calls.streamed_document import StreamedDocument
from lambda_sidecar.contract.message import MESSAGE_MAX
from lambda_sidecar.errors import ApiError
from lambda_sidecar.quotas import LOG_TAIL_MAX, RESPONSE_MAX
from lambda_sidecar.text.json_text import STRING_STEP
from lambda_sidecar.text.pacer import at_once

MOST = 10_000_000
DONE = Completion("", "", b"", 0)


def sent(
    parts: Iterable[bytes], most: int = MOST, completion: Completion = DONE, **fields: Any
) -> list[bytes]:
    """The parts of the document; the last one is the caller's to send."""
    made: list[bytes] = []

    async def write(part: bytes) -> None:
        assert part, "an empty part"
        made.append(part)

    async def whole() -> None:
        streamed = StreamedDocument(write, most)
        for part in parts:
            await streamed.put(part)
        made.append(at_once(streamed.end(result(b"", streamed=completion, **fields))))

    asyncio.run(whole())
    return made


def document(parts: Iterable[bytes], most: int = MOST, completion: Completion = DONE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b"".join(sent(parts, most, completion)))
    return found


def failure_of(parts: Iterable[bytes], most: int = MOST) -> str:
    with pytest.raises(ApiError) as raised:
        sent(parts, most)
    assert raised.value.code in raised.value.text
    return raised.value.text.removeprefix("Lambda API returned error: ")


@given(st.text(), st.data())
def test_any_text_cut_at_any_bytes_is_the_payload(text: str, data: st.DataObject) -> None:
    whole = text.encode()
    ends = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    parts = [whole[start:end] for start, end in zip([0, *ends], [*ends, len(whole)], strict=True)]
    assert document(parts)["Payload"] == text
    assert document(bytes([byte]) for byte in whole)["Payload"] == text


def test_a_character_that_is_cut_waits_for_its_rest() -> None:
    parts = sent([b"a", "é".encode()[:1], "é".encode()[1:], b""])
    assert [part.decode() for part in parts[:-1]] == ['{"StatusCode": 200, "Payload": "a', "é"]


def test_a_document_has_the_fields_of_one_that_came_whole_and_what_the_function_said_of_its_failure() -> None:
    completion = Completion("Unhandled", '{"errorType": "E"}', b"log \xff", 3)
    fields: dict[str, Any] = {"request_id": "r-2", "executed_version": "7", "function_error": "Unhandled"}
    parts = sent([b"[1]"], completion=completion, log_tail=b"log \xff", **fields)
    assert json.loads(b"".join(parts)) == {
        "StatusCode": 200,
        "Payload": "[1]",
        "ExecutedVersion": "7",
        "LogResult": "log \ufffd",
        "FunctionError": "Unhandled",
        "RequestId": "r-2",
        "DurableExecutionArn": None,
        "ErrorDetails": '{"errorType": "E"}',
    }


def test_an_answer_of_nothing_is_an_empty_string() -> None:
    for parts in ([], [b""]):
        found = document(parts)
        assert (found["StatusCode"], found["Payload"], found["ErrorDetails"]) == (200, "", None)


@pytest.mark.parametrize(
    ("parts", "at"),
    [
        ([b"\xff"], 0),
        ([b"abc", b"d\xff"], 4),
        ([b"abc\xc3", b"("], 3),
        ([b"abc\xe2\x82"], 3),
        ([b"abc\xe2", b"\x82", b"("], 3),
        (["é".encode() * 3, b"\xed\xa0\x80"], 6),
        ([b"x" * STRING_STEP * 2 + b"\x80"], STRING_STEP * 2),
        ([b"x" * (STRING_STEP - 1) + b"\xc3" + b"("], STRING_STEP - 1),
    ],
    ids=range(8),
)
def test_what_is_no_utf8_is_named_by_its_byte_in_the_whole_answer(parts: list[bytes], at: int) -> None:
    assert failure_of(parts) == f"InvalidResponse: the function's result is not UTF-8 at byte {at}"


@pytest.mark.parametrize("parts", [[], [b"12345"], ["a\n\u20ac\x00".encode(), b"more"]])
def test_a_document_may_have_as_many_bytes_as_the_caller_takes_and_not_one_more(parts: list[bytes]) -> None:
    length = len(b"".join(sent(parts)))
    assert len(b"".join(sent(parts, length))) == length
    text = failure_of(parts, length - 1)
    assert text.startswith(
        f"ResponseTooLarge: the function's answer has more than {length - 1} bytes as a document"
    )
    assert text.endswith("(lambda_udf.result_max_bytes, max_allowed_packet)")


def test_nothing_is_sent_beyond_the_bound_while_the_answer_comes() -> None:
    made: list[bytes] = []

    async def write(part: bytes) -> None:
        made.append(part)

    async def whole() -> None:
        streamed = StreamedDocument(write, 1000)
        for _ in range(1000):
            await streamed.put(b"\x00" * 50)  # each becomes six bytes

    with pytest.raises(ApiError, match="ResponseTooLarge"):
        asyncio.run(whole())
    assert 0 < len(b"".join(made)) <= 1000


def test_what_a_function_says_of_its_failure_is_written_a_step_at_a_time_and_within_the_bound() -> None:
    """6 MB of quotation marks at once would hold the loop for 30 ms."""

    async def write(part: bytes) -> None:
        """Nothing comes before the end."""

    failed = result(b"", streamed=Completion("E", '"' * 4 * STRING_STEP, b"", 0))
    assert len(list(StreamedDocument(write, MOST).end(failed))) == 4
    with pytest.raises(ApiError, match="ResponseTooLarge"):
        at_once(StreamedDocument(write, 4 * STRING_STEP).end(failed))


def test_no_part_is_larger_than_a_message_may_be_whatever_the_function_says() -> None:
    most = 200_000_000
    worst = sent([b"\x00" * 3_000_000], most)
    last = sent(
        [], most, Completion("E", "\x00" * (RESPONSE_MAX // 6), b"", 0), log_tail=b"\x00" * LOG_TAIL_MAX
    )
    assert max(map(len, [*worst, *last])) < MESSAGE_MAX
    assert len(last[-1]) > RESPONSE_MAX

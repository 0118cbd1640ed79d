"""The one JSON check: what it takes and refuses, where it says a fault is, and how little it does at a time.

Each test's name is the sentence that it proves. No time is measured; how long the steps take is in
bench/README.md."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any, TypeVar

import pytest

from lambda_sidecar.calls.payload import check_payload
from lambda_sidecar.errors import InvalidRequest
from lambda_sidecar.quotas import REQUEST_RESPONSE_MAX
from lambda_sidecar.text.json_text import (
    ESCAPES_STEP,
    STRING_STEP,
    UTF8_STEP,
    LoneSurrogate,
    NestedTooDeeply,
    NotJson,
    NotUtf8,
    check,
    check_steps,
    string_steps,
    utf8_steps,
    with_halves,
    without_halves_steps,
)
from lambda_sidecar.text.pacer import at_once

T = TypeVar("T")
MB = 1024 * 1024


def steps_of(work: Generator[None, None, T]) -> int:
    """How many pauses it offers."""
    return sum(1 for _ in work)


@pytest.mark.parametrize(
    ("text", "what", "at"),
    [
        (b"", "unexpected end", 0),
        (b" ", "unexpected end", 1),
        (b'{"a": 1', "unexpected end", 7),
        (b'{"a": }', "invalid character", 6),
        (b"1 2", "trailing characters", 2),
        (b"1\x00", "trailing characters", 1),
        (b'"\xc3\xa9" x', "trailing characters", 5),
        (b"[1,]", "trailing comma in array", 3),
        (b'{"a":1,}', "trailing comma in object", 7),
        (b"[1 2]", "expected ',' or ']'", 3),
        (b'{"a" 1}', "expected ':'", 5),
        (b"{1:2}", "expected '\"'", 1),
        (b"01", "invalid number", 1),
        (b"1.", "invalid number", 2),
        (b'"\n"', "invalid character", 1),
        (b'"\\x"', "invalid escaped character", 2),
        (b'"\\u12g4"', "invalid character in unicode escape", 5),
        (b"[NaN]", "NaN is not a JSON number", 1),
        (b"-Infinity", "-Infinity is not a JSON number", 0),
        (b"[1,Infinity]", "Infinity is not a JSON number", 3),
        (b"\xef\xbb\xbf{}", "invalid character", 0),
        (b"'a'", "invalid character", 0),
    ],
)  # fmt: skip
def test_a_fault_has_a_name_and_the_byte_where_it_is(text: bytes, what: str, at: int) -> None:
    with pytest.raises(NotJson) as raised:
        check(text)
    assert (raised.value.what, raised.value.at) == (what, at)


@pytest.mark.parametrize(
    "text", [b" \n{}\t\r", b"-0", b"1E+5", b"1e400", b"1" * 5000, b'"\\ud83d\\ude00"', b'"\x7f"', b"[[],[]]"]
)
def test_unusual_json_is_json(text: bytes) -> None:
    check(text)


@pytest.mark.parametrize(
    "text",
    [
        rb'"\ud800"',
        rb'"\udc00 "',
        rb'{"\uD800": 1}',
        rb'"\ud800\ud800\udc00"',
        rb'"\uDBFF\n"',
        rb'"\ud83dx\ude00"',
    ],
)
def test_half_a_surrogate_pair_is_known_and_let_pass_only_where_that_is_asked_for(text: bytes) -> None:
    json.loads(text)
    with pytest.raises(LoneSurrogate):
        check(text)
    at_once(check_steps(text))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (rb'"\ud800', "unexpected end at byte 7"),
        (rb'["\ud800" 1]', "expected ',' or ']' at byte 10"),
        (rb'["\ud800", \ud800]', "invalid character at byte 11"),
        (rb'"\\ud800\x"', "invalid escaped character at byte 9"),
        (rb'"\ud800\\"x"', "trailing characters at byte 10"),
        (rb'["\ud800\ud8", 1]', "invalid character in unicode escape at byte 12"),
    ],
)
def test_behind_half_a_surrogate_pair_every_other_fault_is_found(text: bytes, fault: str) -> None:
    with pytest.raises(NotJson) as raised:
        at_once(check_steps(text))
    assert (type(raised.value), str(raised.value)) == (NotJson, fault)


def test_what_nests_too_deeply_is_refused_as_such() -> None:
    for text in (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 20_000 + b"]" * 20_000):
        with pytest.raises(NestedTooDeeply):
            at_once(check_steps(text))


@pytest.mark.parametrize("shift", range(4))
def test_no_piece_parts_an_escape(shift: int) -> None:
    text = b'"' + b"x" * shift + rb"\ud83d" * (ESCAPES_STEP // 3) + b'"'
    without = at_once(without_halves_steps(text))
    assert len(without) == len(text)
    assert without == text.replace(rb"\ud", rb"\ue")
    slashes = b'"' + b"\\" * (2 * ESCAPES_STEP + 2 * shift) + rb'\ud800"'
    assert at_once(without_halves_steps(slashes)) == slashes.replace(rb"\ud", rb"\ue")


def test_a_string_read_without_halves_gets_them_back() -> None:
    given = rb'"\ud83d\ude00 \ud7ff \uD800 \udfff\u00e9"'
    read = json.loads(at_once(without_halves_steps(given)))
    assert with_halves(read) == json.loads(given)


@pytest.mark.parametrize(
    ("text", "what", "at"),
    [
        (b"x" * 10 + b"\xff", "invalid start byte", 10),
        ("é".encode() * 3 * MB + b"\xff", "invalid start byte", 6 * MB),
        (b"x" * (UTF8_STEP - 1) + b"\xc3\xff", "invalid continuation byte", UTF8_STEP - 1),
        (b"x" * (UTF8_STEP - 1) + b"\xc3", "unexpected end of data", UTF8_STEP - 1),
        (b"x" * (UTF8_STEP - 2) + b"\xe2\x82", "unexpected end of data", UTF8_STEP - 2),
        (b"\xed\xa0\x80", "invalid continuation byte", 0),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_fault_of_utf8_is_found_across_pieces_too(text: bytes, what: str, at: int) -> None:
    with pytest.raises(NotUtf8) as raised:
        at_once(utf8_steps(text))
    with pytest.raises(UnicodeDecodeError) as expected:
        text.decode()
    assert (raised.value.what, raised.value.at) == (what, at)
    assert (expected.value.reason, expected.value.start) == (what, at)


def test_a_character_across_two_pieces_is_one() -> None:
    for shift in range(4):
        at_once(utf8_steps(b"x" * (UTF8_STEP - shift) + "😀".encode() * 3))


@pytest.mark.parametrize("text", ["", "a", '"\\\n\x01', "é😀\ufeff", "\n" * 3 * STRING_STEP])
def test_a_string_is_what_json_reads_back(text: str) -> None:
    made = at_once(string_steps(text, 10 * MB))
    assert made is not None
    assert json.loads(made) == text


def test_a_string_that_grows_too_long_is_given_up_early() -> None:
    text = "\x01" * 6 * MB
    work = string_steps(text, 6 * MB)
    assert steps_of(work) <= 6 * MB // (6 * STRING_STEP) + 1
    assert at_once(string_steps("x" * 98, 100)) == b'"' + b"x" * 98 + b'"'
    assert at_once(string_steps("x" * 99, 100)) is None


def payload(begin: bytes, repeated: bytes, end: bytes) -> bytes:
    """As long as a payload may be."""
    return begin + repeated * ((REQUEST_RESPONSE_MAX - len(begin + end)) // len(repeated)) + end


@pytest.mark.parametrize(
    ("hostile", "fault"),
    [
        (payload(b"[", b"[],", b"x"), "invalid character at byte 6291454"),
        (payload(b"[", b"1,", b"NaN]"), "NaN is not a JSON number at byte 6291451"),
        (payload(b'"', rb"\u0041", rb'\x"'), "invalid escaped character at byte"),
        (payload(b'["', rb"\ud800", b'"x'), "expected ',' or ']' at byte"),
        (payload(b"", b"1", b"x"), "trailing characters at byte 6291455"),
        (payload(b'"', "é".encode(), b'"x'), "trailing characters at byte"),
        (payload(b"[", b"[],", b""), "unexpected end at byte"),
    ],
    ids=["arrays", "NaN", "escapes", "halves", "digits", "two bytes", "no end"],
)
def test_the_place_of_a_fault_is_found_without_a_parser_that_holds_the_loop(
    monkeypatch: pytest.MonkeyPatch, hostile: bytes, fault: str
) -> None:
    def slow(*_arguments: Any, **_more: Any) -> None:
        raise AssertionError("a parser that builds objects, or looks for the place anew")

    for name in ("decode", "raw_decode"):
        monkeypatch.setattr(json.JSONDecoder, name, slow)
    with pytest.raises(InvalidRequest) as raised:
        check = check_payload(hostile, maximum=REQUEST_RESPONSE_MAX, invocation_type="RequestResponse")
        assert steps_of(check) < 0, "it is refused"
    assert f"payload is not JSON: {fault}" in raised.value.text


@pytest.mark.parametrize(
    ("given", "pauses"),
    [
        (payload(b'"', b"x", b'"'), 0),
        (payload(b'"', "é".encode(), b'"'), -(-REQUEST_RESPONSE_MAX // UTF8_STEP)),
        (payload(b'"', rb"\ud800", b'"'), 1 + REQUEST_RESPONSE_MAX // ESCAPES_STEP),
    ],
    ids=["ascii", "two bytes", "halves"],
)
def test_what_takes_long_is_done_in_pieces_with_a_pause_after_each(given: bytes, pauses: int) -> None:
    check = check_payload(given, maximum=REQUEST_RESPONSE_MAX, invocation_type="RequestResponse")
    assert steps_of(check) >= pauses

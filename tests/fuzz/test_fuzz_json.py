"""JSON and UTF-8 beside Python's own readers: the same verdict, and strings that mean the same.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from hypothesis import example, given
from hypothesis import strategies as st

from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.calls.lambda_invoke import document
from lambda_sidecar.text.json_text import (
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


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


# Numbers stay text: Python reads no more than 4,300 digits.
_strict = json.JSONDecoder(parse_constant=_refuse, parse_int=str, parse_float=str)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
PIECES = st.sampled_from(
    [
        *list('{}[]:,"\\ \t\n\r-+.eE019/'),
        "true",
        "fals",
        "null",
        "NaN",
        "-Infinity",
        '"a"',
        "\\u00",
        "\\ud83d",
        "\\uDE00",
        '\\ud800"',
        "1e999",
        "-0",
        "01",
        "\x00",
        "\x0b",
        "\x7f",
        "é",
        "\ufeff",
        "\u2028",
        '"\\n"',
        '\\"',
        "\\x",
        "1.",
        ".5",
    ]
)
WRITTEN = st.builds(lambda value, ascii_: json.dumps(value, ensure_ascii=ascii_), VALUES, st.booleans())
MUTATED = st.builds(
    lambda text, at, piece, cut: text[: (n := at % (len(text) + 1))] + piece + text[n + cut :],
    WRITTEN,
    st.integers(0, 500),
    PIECES | st.just(""),
    st.integers(0, 2),
)
TEXTS = WRITTEN | MUTATED | st.lists(PIECES, max_size=12).map("".join)


def strictly(text: str) -> Any:
    """Python's reading: no NaN, nothing behind it but white space. Raises ValueError."""
    value, end = _strict.raw_decode(text, len(text) - len(text.lstrip(" \t\r\n")))
    if text[end:].strip(" \t\r\n"):
        raise ValueError("more follows")
    return value


def has_half(value: Any) -> bool:
    """Whether half a surrogate pair is in a string."""
    if isinstance(value, str):
        return any(0xD800 <= ord(c) <= 0xDFFF for c in value)
    if isinstance(value, dict):
        return any(has_half(part) for item in value.items() for part in item)
    return isinstance(value, list) and any(map(has_half, value))


@given(TEXTS)
@example('"\\ud83d\\ude00"')
@example('"\\ud83d"')
@example("[" * 500 + "]" * 500)
def test_what_is_json_is_what_pythons_reader_takes(text: str) -> None:
    try:
        expected = "half" if has_half(strictly(text)) else "json"
    except ValueError:
        expected = "no json"
    try:
        check(text.encode())
    except LoneSurrogate:
        # There may be other faults behind it.
        assert expected in ("half", "no json")
    except NotJson as fault:
        assert expected == "no json"
        assert 0 <= fault.at <= len(text.encode())
    else:
        assert expected == "json"


@given(TEXTS)
def test_with_halves_of_pairs_let_pass_it_is_the_same(text: str) -> None:
    try:
        strictly(text)
    except ValueError:
        expected = False
    else:
        expected = True
    try:
        at_once(check_steps(text.encode()))
    except NotJson:
        assert not expected
    else:
        assert expected


@given(st.binary(max_size=200) | TEXTS.map(str.encode))
def test_bytes_that_are_no_text_are_a_fault_and_nothing_else(text: bytes) -> None:
    try:
        check(text)
    except (NotJson, NestedTooDeeply):
        return
    # What stands in strings is the other check's matter.
    json.loads(text.decode("utf-8", "replace"), parse_int=str, parse_constant=_refuse)


@given(st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_utf8_is_what_python_decodes_and_a_fault_is_where_python_says(text: bytes) -> None:
    expected = None
    try:
        text.decode()
    except UnicodeDecodeError as error:
        expected = error.start
    at = None
    try:
        at_once(utf8_steps(text))
    except NotUtf8 as fault:
        at = fault.at
    assert at == expected


@given(st.text(max_size=100), st.integers(2, 700))
def test_a_text_as_a_json_string_is_read_back_as_it_was(text: str, most: int) -> None:
    written = at_once(string_steps(text, most))
    if written is None:
        assert len(json.dumps(text, ensure_ascii=False).encode()) > most
    else:
        assert len(written) <= most
        assert json.loads(written) == text


@given(st.lists(st.text(max_size=3) | st.integers(0xD800, 0xDFFF).map(chr), max_size=8).map("".join))
def test_halves_that_were_taken_out_come_back(text: str) -> None:
    """Of a document's own private characters the function says that they are lost."""
    if any("\ue000" <= c <= "\uefff" for c in text):
        return
    without = at_once(without_halves_steps(json.dumps(text).encode()))
    assert with_halves(json.loads(without)) == json.loads(json.dumps(text))


@given(
    st.sampled_from([200, 202, 204]),
    TEXTS | st.text(max_size=50),
    st.text(max_size=20),
    st.sampled_from(["", "Handled", "Unhandled", '"']),
    st.binary(max_size=30),
)
def test_lambda_invokes_document_is_json_whatever_the_function_answered(
    status: int, payload: str, text: str, error: str, log: bytes
) -> None:
    result = InvocationResult(status, payload.encode(), text, text, error, log)
    made = json.loads(at_once(document(result, 1_000_000)), parse_constant=_refuse)
    assert list(made) == [
        "StatusCode",
        "Payload",
        "ExecutedVersion",
        "LogResult",
        "FunctionError",
        "RequestId",
        "DurableExecutionArn",
    ]
    assert (made["StatusCode"], made["RequestId"], made["FunctionError"]) == (
        status,
        text or None,
        error or None,
    )
    assert made["LogResult"] == (log.decode(errors="replace") or None)
    try:
        expected = json.loads(payload, parse_constant=_refuse)
    except ValueError:
        expected = payload or None
    if has_half(expected):
        expected = payload
    assert made["Payload"] == expected

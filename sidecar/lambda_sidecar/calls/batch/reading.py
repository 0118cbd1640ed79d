"""Reads the answers of functions that take batches: their fields, and as many results as there were rows.

Pure; knows no contract's fields."""

from __future__ import annotations

import functools
from collections.abc import Generator
from typing import Any, TypeVar

import msgspec

from lambda_sidecar.calls.batch.batch import ROWS_MAX
from lambda_sidecar.errors import BatchAnswerInvalid
from lambda_sidecar.text.json_text import NestedTooDeeply, NotJson, check

# Of a function's own words, in bytes, as of errorMessage (aws/answer.py).
WORDS_MAX = 200
# A field that is not there.
NOTHING = msgspec.Raw()
# An array with fewer commas has few elements more than a batch has rows. One with more may have millions.
_COMMAS_MAX = 2 * ROWS_MAX
_results_decoder = msgspec.json.Decoder(list[msgspec.Raw])

S = TypeVar("S", bound=msgspec.Struct)


class FunctionRefused(Exception):
    """The function has answered that it failed: `what` in the contract's terms, `words` are its own."""

    def __init__(self, what: str, words: str) -> None:
        self.what = what
        self.words = words.encode(errors="replace")[:WORDS_MAX].decode(errors="ignore")
        super().__init__(what)


class AskAgain(Exception):
    """The function is at work still: it is to be asked again under the same batch id."""


def fields(payload: bytes, decoder: msgspec.json.Decoder[S]) -> Generator[None, None, S]:
    """The fields of an answer: a JSON object, or a JSON string that holds one. In steps. Raises
    BatchAnswerInvalid."""
    document = payload
    if payload.lstrip().startswith(b'"'):
        document = _text(payload).encode()
        yield
    try:
        check(document)
        yield
        return decoder.decode(document)
    except NotJson as fault:
        raise BatchAnswerInvalid(f"it is not JSON: {fault.what} at byte {fault.at}") from None
    except NestedTooDeeply:
        raise BatchAnswerInvalid("it is nested too deeply") from None
    except msgspec.ValidationError:
        raise BatchAnswerInvalid("it is not a JSON object") from None


def _text(payload: bytes) -> str:
    try:
        return msgspec.json.decode(payload, type=str)
    except msgspec.DecodeError as error:
        raise BatchAnswerInvalid(f"it is not JSON: {error}") from None


def results(value: msgspec.Raw, name: str) -> Generator[None, None, list[msgspec.Raw]]:
    """The elements of the array that a field is: 100,000 take 6 ms. In steps. Raises BatchAnswerInvalid."""
    text = bytes(value).strip()
    if not text:
        raise BatchAnswerInvalid(f"it has no {name}")
    if not text.startswith(b"["):
        raise BatchAnswerInvalid(f"{name} is not an array")
    if text.count(b",") >= _COMMAS_MAX:
        yield
        if _has_too_many(text):
            raise BatchAnswerInvalid(f"{name} has more than {ROWS_MAX} elements")
        yield
    return _results_decoder.decode(text)


def _has_too_many(array: bytes) -> bool:
    """More than ROWS_MAX, as soon as that is certain: a list of three million takes a quarter of a second."""
    try:
        _most_decoder().decode(array[:-1])
    except msgspec.DecodeError as error:  # if it is short enough, then because its end is missing
        return isinstance(error, msgspec.ValidationError)
    return False


@functools.cache
def _most_decoder() -> msgspec.json.Decoder[tuple[msgspec.Raw, ...]]:
    """Of arrays of ROWS_MAX elements: it fails at the next one. Takes 6 ms to make, and few need it."""
    array: Any = tuple.__class_getitem__((msgspec.Raw,) * ROWS_MAX)
    return msgspec.json.Decoder(array)


def check_count(found: int, rows: int, name: str) -> None:
    """Raises BatchAnswerInvalid."""
    if found != rows:
        raise BatchAnswerInvalid(f"{name} has {found} elements for {rows} rows")


def counted(value: msgspec.Raw, rows: int, name: str) -> Generator[None, None, bytes]:
    """The inside of the array that a field is: as many elements as rows, separated by commas. In steps.
    Raises BatchAnswerInvalid."""
    found = yield from results(value, name)
    check_count(len(found), rows, name)
    return bytes(value).strip()[1:-1]


def words(value: msgspec.Raw) -> str:
    """A function's own words: a string as it is, other JSON as it was written; empty for null."""
    if bytes(value) in (b"", b"null"):
        return ""
    try:
        return msgspec.json.decode(value, type=str)
    except msgspec.DecodeError:
        return bytes(value)[:WORDS_MAX].decode(errors="replace")

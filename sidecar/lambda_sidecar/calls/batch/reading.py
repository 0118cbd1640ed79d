"""Reads the answers of functions that take batches: their fields, and as many results as there were rows.

Pure; knows no contract's fields."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import msgspec

from lambda_sidecar.errors import BatchAnswerInvalid
from lambda_sidecar.text.json_text import NestedTooDeeply, NotJson, check

# Of a function's own words, in bytes, as of errorMessage (aws/answer.py).
WORDS_MAX = 200
# A field that is not there.
NOTHING = msgspec.Raw()
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


def results(value: msgspec.Raw, name: str) -> list[msgspec.Raw]:
    """The elements of the array that a field is. One step: 6 ms for 100,000. Raises BatchAnswerInvalid."""
    if not bytes(value):
        raise BatchAnswerInvalid(f"it has no {name}")
    try:
        return _results_decoder.decode(value)
    except msgspec.ValidationError:
        raise BatchAnswerInvalid(f"{name} is not an array") from None


def check_count(found: int, rows: int, name: str) -> None:
    """Raises BatchAnswerInvalid."""
    if found != rows:
        raise BatchAnswerInvalid(f"{name} has {found} elements for {rows} rows")


def counted(value: msgspec.Raw, rows: int, name: str) -> bytes:
    """The inside of the array that a field is: as many elements as rows, separated by commas. Raises
    BatchAnswerInvalid."""
    check_count(len(results(value, name)), rows, name)
    return bytes(value).strip()[1:-1]


def words(value: msgspec.Raw) -> str:
    """A function's own words: a string as it is, other JSON as it was written; empty for null."""
    if bytes(value) in (b"", b"null"):
        return ""
    try:
        return msgspec.json.decode(value, type=str)
    except msgspec.DecodeError:
        return bytes(value)[:WORDS_MAX].decode(errors="replace")

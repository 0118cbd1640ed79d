"""Whether bytes are JSON, and where they are not: the one check of the sidecar.

Pure; builds no objects from what it checks, and quotes none of it. Must not know whose text it is."""

from __future__ import annotations

import codecs
import re
from collections.abc import Generator

import msgspec

# One step handles so many bytes and takes some 6 ms at most, whatever they are (docstrings name the worst).
UTF8_STEP = 4 * 1024 * 1024
ESCAPES_STEP = 1024 * 1024
STRING_STEP = 256 * 1024
# The escape of half a surrogate pair (RFC 8259, 8.2): \uD800 to \uDFFF. Of one that is cut off by the end of
# the text, msgspec says only that the text is cut off.
_HALVES = (rb"\ud", rb"\uD")
_LAST_ESCAPE = 12
_NOT_NUMBERS = (b"NaN", b"Infinity")

_checker = msgspec.json.Decoder(msgspec.Raw)
_MALFORMED = re.compile(r"JSON is malformed: (.+) \(byte (\d+)\)")
# For these msgspec names the place behind the byte that is wrong.
_ONE_BEHIND = {"trailing characters", "invalid character in unicode escape"}


class NotJson(Exception):
    """`what` is wrong `at` a byte, counted from 0."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(f"{what} at byte {at}")
        self.what = what
        self.at = at


class LoneSurrogate(NotJson):
    """An escape of half a surrogate pair. RFC 8259 lets it pass and calls what follows unpredictable; it has
    no UTF-8, and strict parsers refuse it. There may be other faults behind it."""


class NestedTooDeeply(Exception):
    """As deep as Python lets C code nest: about 1,000 levels in 3.11, 10,000 from 3.12 on."""


class NotUtf8(Exception):
    """`what` is wrong `at` a byte, counted from 0."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(f"{what} at byte {at}")
        self.what = what
        self.at = at


def check(text: bytes) -> None:
    """Raises NotJson, its subclass LoneSurrogate, and NestedTooDeeply; does not look at the text's UTF-8.
    Takes 2 ms for 1 MB of the worst, which is short arrays; a parser takes thirty times as long."""
    try:
        _checker.decode(text)
    except RecursionError:
        raise NestedTooDeeply from None
    except msgspec.DecodeError as error:
        raise _fault(text, str(error)) from None


def check_steps(text: bytes) -> Generator[None, None, None]:
    """As `check`, but half a surrogate pair passes, as with Lambda and its runtimes. A step at a time."""
    try:
        check(text)
    except LoneSurrogate:
        pass
    else:
        return
    yield
    without = yield from without_halves_steps(text)
    check(without)


def without_halves_steps(text: bytes) -> Generator[None, None, bytes]:
    r"""The text with \ue for \ud in every escape, so that nothing is half a pair any more and every byte
    keeps its place. A step takes 6 ms where all is backslashes. `with_halves` goes back."""
    made = bytearray()
    start = 0
    while start < len(text):
        end = _not_inside_an_escape(text, start, start + ESCAPES_STEP)
        piece = text[start:end]
        for half in _HALVES:
            piece = piece.replace(half, rb"\ue")
        made += piece
        start = end
        yield
    return bytes(made)


def with_halves(text: str) -> str:
    """Undoes `without_halves_steps` in a string of the document: pairs are whole again, lone halves are
    halves. Private characters U+E000 to U+EFFF of the document itself are lost."""
    back = re.sub("[\ue000-\uefff]", lambda found: chr(ord(found[0]) - 0x1000), text)
    return back.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def utf8_steps(text: bytes) -> Generator[None, None, None]:
    """Raises NotUtf8. For ASCII, bytes.isascii() is the faster check."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    kept = 0  # bytes of a character that began in the piece before
    for start in range(0, len(text), UTF8_STEP):
        try:
            decoder.decode(text[start : start + UTF8_STEP], final=start + UTF8_STEP >= len(text))
        except UnicodeDecodeError as error:
            raise NotUtf8(error.reason, start - kept + error.start) from None
        kept = len(decoder.getstate()[0])
        yield


def string_steps(text: str, most: int) -> Generator[None, None, bytes | None]:
    """The text as a JSON string in UTF-8, or None if that has more than `most` bytes; no halves of surrogate
    pairs may be in it. A step takes 6 ms where all is control characters, each of which becomes six."""
    made = bytearray(b'"')
    for start in range(0, len(text), STRING_STEP):
        made += msgspec.json.encode(text[start : start + STRING_STEP])[1:-1]
        if len(made) >= most:
            return None
        yield
    return bytes(made + b'"')


def _fault(text: bytes, said: str) -> NotJson:
    found = _MALFORMED.fullmatch(said)
    if found is None:  # "Input data was truncated"
        end = len(text)
        cut_half = any(half in text[-_LAST_ESCAPE:] for half in _HALVES)
        return (LoneSurrogate if cut_half else NotJson)("unexpected end", end)
    what, at = found[1], int(found[2])
    if "surrogate" in what or "hex escape" in what:
        return LoneSurrogate("half a surrogate pair", at)
    if what in _ONE_BEHIND:
        at -= 1
    for name in _NOT_NUMBERS:
        if text.startswith(name, at):
            minus = "-" if text[at - 1 : at] == b"-" else ""
            return NotJson(f"{minus}{name.decode()} is not a JSON number", at - len(minus))
    return NotJson(what, at)


def _not_inside_an_escape(text: bytes, start: int, end: int) -> int:
    r"""`end`, or a byte or two before it where it would part \ud."""
    for length in (2, 1):
        if rb"\u"[:length] == text[end - length : end] and end - length > start:
            return end - length
    return end

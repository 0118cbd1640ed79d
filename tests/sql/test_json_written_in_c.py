"""The JSON that the library writes (udf/json_write.c, udf/json_printed.c), against Python's own json, as the C program
json_tool makes it, under sanitizers.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import base64
import json
import math
import random
import struct
import subprocess
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.support.host_program import PROGRAMS, build

SEED = 20260127
NOT_UTF8, NOT_A_NUMBER, NOT_PRINTED = 2, 3, 1


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    build()


def written(kind: str, values: Iterable[bytes]) -> Iterator[bytes | int]:
    """The JSON of each, or the status of those that have none."""
    records = b"".join(kind.encode() + struct.pack("<I", len(value)) + value for value in values)
    done = subprocess.run(
        [PROGRAMS / "json_tool"], input=records, capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
    answer, at = done.stdout, 0
    while at < len(answer):
        status = answer[at]
        at += 1
        if status:
            yield status
            continue
        (length,) = struct.unpack_from("<I", answer, at)
        at += 4 + length
        yield answer[at - length : at]


def one(kind: str, value: bytes) -> bytes | int:
    (answer,) = written(kind, [value])
    return answer


def doubles(texts: Iterable[float]) -> Iterator[bytes | int]:
    return written("d", (struct.pack("<d", number) for number in texts))


def seeded() -> random.Random:
    return random.Random(SEED)  # noqa: S311  no secret is made of it


def random_doubles(count: int) -> list[float]:
    """Of any bits, as sensors and prices have them, and integral ones."""
    source = seeded()
    numbers = [struct.unpack("<d", source.randbytes(8))[0] for _ in range(count)]
    numbers += [round(source.uniform(-1e6, 1e6), source.randrange(10)) for _ in range(count)]
    numbers += [float(source.randrange(-(2**60), 2**60) >> source.randrange(60)) for _ in range(count // 2)]
    return [number for number in numbers if math.isfinite(number)]


def test_a_million_random_doubles_read_back_as_they_were() -> None:
    numbers = random_doubles(400_000)
    assert len(numbers) > 950_000
    texts = [text for text in doubles(numbers) if isinstance(text, bytes)]
    read = json.loads(b"[" + b",".join(texts) + b"]", parse_int=float)
    assert len(read) == len(numbers)
    packed = struct.Struct(f"<{len(numbers)}d").pack
    if packed(*read) != packed(*numbers):
        one = struct.Struct("<d").pack
        wrong = [pair for pair in zip(numbers, read, strict=True) if one(pair[0]) != one(pair[1])]
        raise AssertionError(wrong[:10])


def test_a_double_has_no_more_digits_than_pythons_shortest() -> None:
    numbers = random_doubles(50_000)
    for number, text in zip(numbers, doubles(numbers), strict=True):
        assert isinstance(text, bytes)
        assert significant(text.decode()) <= significant(repr(number)), (number, text)


def significant(text: str) -> int:
    digits = "".join(map(str, Decimal(text).as_tuple().digits)).strip("0")
    return len(digits)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, b"0"),
        (-0.0, b"-0"),
        (0.1, b"0.1"),
        (-12.34, b"-12.34"),
        (5e-324, None),
        (1.7976931348623157e308, None),
        (1e22, b"1e+22"),
        (0.00000001, b"0.00000001"),
        (2.0**53, None),
        (2.0**53 - 1, b"9007199254740991"),
        (1 / 3, b"0.3333333333333333"),
        (0.1 + 0.2, b"0.30000000000000004"),
        (float(struct.unpack("<f", struct.pack("<f", 0.1))[0]), b"0.10000000149011612"),
    ],
)
def test_doubles_at_the_edges_are_right(number: float, text: bytes | None) -> None:
    (got,) = doubles([number])
    assert isinstance(got, bytes)
    assert float(json.loads(got)) == number
    assert text is None or got == text


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_double_that_json_lacks_is_none(number: float) -> None:
    assert list(doubles([number])) == [NOT_A_NUMBER]


def test_integers_have_every_digit() -> None:
    source = seeded()
    signed = [-(2**63), 2**63 - 1, 0, -1, *(source.randrange(-(2**63), 2**63) for _ in range(100_000))]
    unsigned = [0, 2**64 - 1, 2**63, *(source.randrange(2**64) for _ in range(100_000))]
    assert [int(text) for text in written("i", (struct.pack("<q", each) for each in signed))] == signed
    assert [int(text) for text in written("u", (struct.pack("<Q", each) for each in unsigned))] == unsigned


def test_random_text_reads_back_as_it_was() -> None:
    source = seeded()
    ranges = [(0, 0x20), (0x20, 0x7F), (0x7F, 0x800), (0x800, 0xD800), (0xE000, 0x10000), (0x10000, 0x110000)]
    texts = [
        "".join(chr(source.randrange(*source.choice(ranges))) for _ in range(source.randrange(12)))
        for _ in range(200_000)
    ]
    texts += ['"', "\\", "/", "\x00", "\x1f", "\u2028", '\\"' * 100]
    for text, answer in zip(texts, written("s", (text.encode() for text in texts)), strict=True):
        assert isinstance(answer, bytes)
        assert json.loads(answer) == text
        assert len(answer) <= len(json.dumps(text, ensure_ascii=False).encode())


def test_bytes_that_are_not_utf8_are_refused_wherever_they_stand() -> None:
    source = seeded()
    inputs = [source.randbytes(source.randrange(12)) for _ in range(100_000)]
    inputs += [
        b"a" * 1000 + tail for tail in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80")
    ]
    refused = 0
    for value, answer in zip(inputs, written("s", inputs), strict=True):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            assert answer == NOT_UTF8
            refused += 1
        else:
            assert isinstance(answer, bytes)
            assert json.loads(answer) == text
    assert refused > 50_000


def test_base64_is_pythons() -> None:
    source = seeded()
    inputs = [source.randbytes(source.randrange(20)) for _ in range(50_000)] + [bytes(range(256)), b""]
    for value, answer in zip(inputs, written("b", inputs), strict=True):
        assert answer == b'"' + base64.b64encode(value) + b'"'


@pytest.mark.parametrize(
    ("digits", "number"),
    [
        ("0", "0"),
        ("-0.00", "-0.00"),
        ("0001.50", "1.50"),
        ("0000", "0"),
        ("-007", "-7"),
        ("18446744073709551615", "18446744073709551615"),
        ("99999999999999999999999999999999999.999999999999999999999999999999",) * 2,
        ("1e300", "1e300"),
        ("1.5E-7", "1.5E-7"),
    ],
)
def test_digits_stay_as_they_are_but_for_leading_zeros(digits: str, number: str) -> None:
    assert one("n", digits.encode()) == number.encode()
    assert Decimal(json.dumps(json.loads(number, parse_float=str, parse_int=str)).strip('"')) == Decimal(
        digits
    )


@pytest.mark.parametrize(
    "text", ["", "-", ".5", "5.", "1e", "1e+", "0x1", " 1", "1 ", "1,5", "\x02\x01", "--1", "1-1"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    assert one("n", text.encode()) == NOT_A_NUMBER


def random_document(source: random.Random, depth: int) -> Any:
    if depth == 0 or source.random() < 0.3:
        text = "".join(source.choice('ab"\\{}[],: \n\u00e9😀') for _ in range(source.randrange(5)))
        return source.choice(
            [None, True, False, source.randrange(-99, 99), source.uniform(-1, 1), 1e300, text]
        )
    values = [random_document(source, depth - 1) for _ in range(source.randrange(4))]
    if source.random() < 0.5:
        return values
    return {f"{source.choice('kk, ')}{number}": value for number, value in enumerate(values)}


def test_json_as_the_server_prints_it_is_recognised() -> None:
    """json.dumps has the server's white space."""
    source = seeded()
    texts = [
        json.dumps(random_document(source, 6), ensure_ascii=source.random() < 0.3).encode()
        for _ in range(50_000)
    ]
    assert set(map(type, written("p", texts))) == {bytes}


def test_whatever_is_recognised_is_json_in_the_very_form_of_the_server() -> None:
    source = seeded()
    texts = []
    documents = [json.dumps(random_document(source, 3), ensure_ascii=True).encode() for _ in range(20_000)]
    for document in documents * 10:
        changed = bytearray(document)
        for _ in range(source.randrange(1, 4)):
            at = source.randrange(len(changed) + 1)
            changed[at : at + source.randrange(3)] = bytes(
                source.choices(b'{}[],: "\\0aeE+-.\x00\x1f', k=source.randrange(3))
            )
        texts.append(bytes(changed))
    recognised = 0
    for text, answer in zip(texts, written("p", texts), strict=True):
        if isinstance(answer, bytes):
            recognised += 1
            read = json.loads(text, parse_float=Verbatim, parse_int=Verbatim, object_pairs_hook=Pairs)
            assert unescaped(printed(read)) == unescaped(text.decode())
        else:
            assert answer == NOT_PRINTED
    assert recognised > 1000


class Verbatim(str):
    """A number as it was written."""


class Pairs(list[tuple[str, Any]]):
    """An object as it was written, doubled keys too."""


def printed(value: Any) -> str:
    if isinstance(value, Verbatim):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(name)}: {printed(each)}" for name, each in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(printed, value)) + "]"
    return json.dumps(value)


def unescaped(text: str) -> str:
    r"""Without the choices that JSON leaves in strings: \/ for /, \u0061 for a, capitals in \u00E9."""
    strings = json.dumps
    out, at = [], 0
    decoder = json.JSONDecoder()
    while (quote := text.find('"', at)) >= 0:
        value, end = decoder.raw_decode(text, quote)
        out += [text[at:quote], strings(value)]
        at = end
    return "".join(out) + text[at:]


@pytest.mark.parametrize("depth", [1, 99, 100])
def test_a_document_may_be_as_deep_as_the_servers(depth: int) -> None:
    assert one("p", b"[" * depth + b"1" + b"]" * depth) == b""
    assert one("p", b'{"a": ' * depth + b"1" + b"}" * depth) == b""


@pytest.mark.parametrize(
    "text",
    ["[" * 101 + "1" + "]" * 101, "[" * 100_000, '{"a":1}', "[1,2]", " 1", "1 ", "[1, ]", "[, 1]", "[1 , 2]", "{}{}", "",
     "{1: 2}", '{"a"}', '{"a": }', "nul", "01", "1.", '"\t"', '"a', "]", "[}", '{"a": 1]', "[", "{", '{"a": ', "NaN"],
)  # fmt: skip
def test_other_json_and_no_json_is_not_taken_for_the_servers(text: str) -> None:
    assert one("p", text.encode()) == NOT_PRINTED

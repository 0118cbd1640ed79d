"""Which part of an ARN is wrong: said of the name in SQL, and of the pattern in a rule.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import pytest

from lambda_sidecar.access.function_name import Defaults, parse_function_name
from lambda_sidecar.access.function_pattern import split_function_pattern
from lambda_sidecar.errors import InvalidRequest

DEFAULTS = Defaults({"us-east-1": "aws"}, "us-east-1", "123456789012")
PARTITION = "partition: aws, aws-cn, aws-us-gov or their like expected"
SERVICE = "service: lambda expected"
REGION = "region: a name such as us-east-1 expected"
ACCOUNT = "account: 12 digits expected"
RESOURCE = "resource: 'function' expected before the name"
NAME = "name: letters, digits, dots, - and _ expected"
QUALIFIER = "version or alias: $LATEST, or letters, digits, - and _ expected"
MORE = "nothing is expected behind the version or alias"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("arn::lambda:us-east-1:123456789012:function:f", PARTITION),
        ("arn:azure:lambda:us-east-1:123456789012:function:f", PARTITION),
        ("arn:aws:s3:us-east-1:123456789012:function:f", SERVICE),
        ("arn:aws::us-east-1:123456789012:function:f", SERVICE),
        ("arn:aws:lambda::123456789012:function:f", REGION),
        ("arn:aws:lambda:123456789012:function:f", REGION),
        ("arn:aws:lambda:mars-north-1:123456789012:function:f", REGION),
        ("arn:aws:lambda:us-east-1a:123456789012:function:f", REGION),
        ("arn:aws:lambda:us-east-1:12345678901:function:f", ACCOUNT),
        ("arn:aws:lambda:us-east-1:1234-5678-9012:function:f", ACCOUNT),
        ("arn:aws:lambda:us-east-1::function:f", ACCOUNT),
        ("arn:aws:lambda:us-east-1:function:f", ACCOUNT),
        ("arn:aws:lambda:us-east-1:123456789012:f", RESOURCE),
        ("arn:aws:lambda:us-east-1:123456789012:layer:f", RESOURCE),
        ("arn:aws:lambda:us-east-1:123456789012:function/f", RESOURCE),
        ("arn:aws:lambda:us-east-1:123456789012:function:", NAME),
        ("arn:aws:lambda:us-east-1:123456789012:function", NAME),
        ("arn:aws:lambda:us-east-1:123456789012:function:f g", NAME),
        ("arn:aws:lambda:us-east-1:123456789012:function:..", NAME),
        ("arn:aws:lambda:us-east-1:123456789012:function:f:", QUALIFIER),
        ("arn:aws:lambda:us-east-1:123456789012:function:f:a b", QUALIFIER),
        ("arn:aws:lambda:us-east-1:123456789012:function:f:1.2", QUALIFIER),
        ("arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST.", QUALIFIER),
        ("arn:aws:lambda:us-east-1:123456789012:function:f:1:2", MORE),
    ],
)
def test_the_part_that_is_wrong_is_named(text: str, wrong: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_function_name(text, DEFAULTS)
    assert refused.value.text.startswith(f"not a function name or ARN: {wrong}; allowed are a name, ")
    with pytest.raises(ValueError, match="not a pattern of functions: ") as raised:
        split_function_pattern(text)
    assert str(raised.value).startswith(f"not a pattern of functions: {wrong}; allowed are *, ")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("1234:function:f", ACCOUNT),
        (":function:f", ACCOUNT),
        ("123456789012:function:", NAME),
        ("123456789012:function:f:1:2", MORE),
    ],
)
def test_the_part_of_a_partial_arn_that_is_wrong_is_named(text: str, wrong: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_function_name(text, DEFAULTS)
    assert refused.value.text.startswith(f"not a function name or ARN: {wrong}; ")


@pytest.mark.parametrize(
    "text", ["a b", "f:1:2", "arn", "f:", "'f'", "1234:f:g", ".", "..", "...", "..:live", "f:1.2"]
)
def test_what_is_like_no_arn_has_no_parts_to_name(text: str) -> None:
    if text == "arn":  # a function may be called so
        assert parse_function_name(text, DEFAULTS).name == "arn"
        return
    with pytest.raises(InvalidRequest, match="not a function name or ARN; allowed are"):
        parse_function_name(text, DEFAULTS)


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:lambda:us-east-1:123456789012:function:f",
        "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST",
        "arn:aws:lambda:us-east-1:123456789012:function:arn:1",
        "123456789012:function:f",
        "123456789012:function:f:live",
        "function:function",
        "function:f",
        "f:live",
        "f.g",
        ".f.",
        "f.g:$LATEST.PUBLISHED",
        "arn:aws:lambda:us-east-1:123456789012:function:f.g:$LATEST.PUBLISHED",
        "n" * 256,
    ],
)
def test_right_names_are_taken(text: str) -> None:
    parse_function_name(text, DEFAULTS)


@pytest.mark.parametrize(
    "text", ["arn:*:lambda:*:*:function:*", "arn:aws*:lambda:eu-*:1234567890??:function:o-?:$LATEST", "arn:aws:lambda:*:12*:function:f:*", "o.*", "f.g:$LATEST.PUBLISHED", "f:$LATEST*"]
)  # fmt: skip
def test_right_patterns_are_taken(text: str) -> None:
    split_function_pattern(text)


@pytest.mark.parametrize(
    "text", ["arn:aws:lambda:*:1234:function:f", "arn:aws:lambda:*:1234?:function:f", "arn:aws:lambda:*:app*:function:f"]
)  # fmt: skip
def test_a_pattern_whose_account_can_match_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"not a pattern of functions: {ACCOUNT}"):
        split_function_pattern(text)


@pytest.mark.parametrize("text", ["..", "f:1.2", "f:$x", "f:$LATEST.", "arn:aws:lambda:*:*:function:."])
def test_a_pattern_that_no_name_can_match_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a pattern of functions|not a qualifier"):
        split_function_pattern(text)


def test_a_name_is_no_longer_than_lambdas() -> None:
    with pytest.raises(InvalidRequest, match="it has 257 characters, at most 256;"):
        parse_function_name("n" * 257, DEFAULTS)


def test_a_qualifier_beside_the_name_has_what_lambda_takes_there() -> None:
    for text in ("$LATEST", "$LATEST.PUBLISHED", "7", "live", "a$b"):
        assert parse_function_name("f", DEFAULTS, qualifier=text).qualifier == text
    for text in ("a.b", "$LATEST.x", "live\n", ".."):
        with pytest.raises(InvalidRequest, match=r"not a qualifier: .* or \$LATEST\.PUBLISHED is expected"):
            parse_function_name("f", DEFAULTS, qualifier=text)


def test_a_qualifier_in_the_name_is_as_short_as_one_in_the_options() -> None:
    parse_function_name("f:" + "q" * 128, DEFAULTS)
    for text, option in (("f:" + "q" * 129, ""), ("f", "q" * 129)):
        with pytest.raises(InvalidRequest, match="not a qualifier"):
            parse_function_name(text, DEFAULTS, qualifier=option)

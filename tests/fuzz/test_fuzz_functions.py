"""Function names as people may write them, beside the pattern of the AWS SDK's own model of Lambda.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import pytest
from botocore.loaders import Loader
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.checkout import ROOT

from lambda_sidecar.access.function_name import Defaults, parse_function_name
from lambda_sidecar.access.function_pattern import FunctionPattern
from lambda_sidecar.errors import InvalidRequest
from lambda_sidecar.local.errors import ApiError
from lambda_sidecar.local.target import resolve
from lambda_sidecar.quotas import FUNCTION_NAME_MAX, QUALIFIER_MAX

DEFAULTS = Defaults(
    partitions={
        "us-east-1": "aws",
        "eu-west-3": "aws",
        "cn-north-1": "aws-cn",
        "us-gov-west-1": "aws-us-gov",
    },
    region="us-east-1",
    account_id="123456789012",
)
_SHAPES = Loader().load_service_model("lambda", "service-2")["shapes"]
_REQUEST = _SHAPES["InvocationRequest"]["members"]


def _pattern(member: str) -> re.Pattern[str]:
    """Of Invoke's request; with ASCII's digits: in botocore's model \\d stands for them."""
    return re.compile(_SHAPES[_REQUEST[member]["shape"]]["pattern"], re.ASCII)


AWS_NAME, AWS_QUALIFIER = _pattern("FunctionName"), _pattern("Qualifier")
# The groups of AWS_NAME.
_ARN, _PARTITION, _REGION, _ACCOUNT, _FUNCTION, _NAME, _VERSION = 1, 2, 3, 9, 10, 11, 13
(OUTBOX_NAME, _) = (
    re.compile(json.loads(f'"{pattern}"'))
    for pattern in re.findall(
        r'"maxLength": 255,\s+"pattern": "(.*)"', (ROOT / "udf/sql/install.sql").read_text()
    )
)


class EveryRegion(Mapping[str, str]):
    """Regions as the model's pattern has them, all in one partition."""

    def __init__(self, partition: str) -> None:
        self._partition = partition

    def __getitem__(self, region: str) -> str:
        return self._partition

    def __contains__(self, region: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


PARTS = st.sampled_from(
    [
        "arn",
        "aws",
        "aws-cn",
        "aws-us-gov",
        "",
        "lambda",
        "us-east-1",
        "cn-north-1",
        "us-gov-west-1",
        "xx-none-9",
        "123456789012",
        "12345678901",
        "١" * 12,
        "function",
        "F",
        "f-_9",
        "x" * 64,
        "x" * 65,
        "$LATEST",
        "1",
        "*",
        "?",
        "a.b",
        ".",
        "..",
        "n" * 256,
        "$LATEST.PUBLISHED",
        "eusc-de-east-1",
        "é",
        " ",
        "\n",
        "$x",
    ]
)
WHOLE = st.tuples(
    st.sampled_from(["arn:aws:lambda:", "arn:aws-cn:lambda:", "arn::lambda:", "", "arn:aws:s3:"]),
    st.sampled_from(["us-east-1:", "cn-north-1:", "eu-west-\u0663:", ""]),
    st.sampled_from(["123456789012:", "\u0661" * 12 + ":", ""]),
    st.sampled_from(["function:", ""]),
    st.sampled_from(["F", "f-_9", "x" * 64, "x" * 65, "f.g", ".f", "..", ""]),
    st.sampled_from(
        [
            ":$LATEST",
            ":$LATEST.PUBLISHED",
            ":$LATEST.x",
            ":a$b",
            ":1.2",
            ":1",
            ":live",
            ":" + "q" * 129,
            ":",
            "",
        ]
    ),
).map("".join)
NAMES = st.one_of(WHOLE, st.lists(PARTS, max_size=9).map(":".join), st.text(max_size=300))
OPTIONS = st.sampled_from(["", "us-east-1", "cn-north-1", "mars-1", "\n"])
QUALIFIERS = st.sampled_from(
    ["", "$LATEST", "$LATEST.PUBLISHED", "1", "live", "$x", ".", "q" * 129, "live\n"]
)


@given(NAMES, OPTIONS, QUALIFIERS)
def test_a_name_that_is_taken_is_one_of_lambdas_and_its_canonical_form_means_the_same(
    text: str, region: str, qualifier: str
) -> None:
    try:
        function = parse_function_name(text, DEFAULTS, region=region, qualifier=qualifier)
    except InvalidRequest:
        return
    assert AWS_NAME.fullmatch(text)
    assert len(text) <= FUNCTION_NAME_MAX
    assert AWS_NAME.fullmatch(function.unqualified)
    assert function.qualifier is None or AWS_QUALIFIER.fullmatch(function.qualifier)
    if len(function.unqualified) <= FUNCTION_NAME_MAX:  # the qualifier is sent beside the ARN
        again = parse_function_name(function.unqualified, DEFAULTS, qualifier=function.qualifier or "")
        assert again == function
    if (
        len(str(function)) <= FUNCTION_NAME_MAX and not qualifier
    ):  # beside the name it may be one more of them
        assert AWS_NAME.fullmatch(str(function))
        assert parse_function_name(str(function), DEFAULTS) == function


@given(st.from_regex(AWS_NAME, fullmatch=True) | WHOLE)
def test_every_name_that_the_model_takes_is_taken_but_for_half_an_arn_dots_alone_and_what_is_too_long(
    text: str,
) -> None:
    match = AWS_NAME.fullmatch(text)
    assume(match)
    assert match is not None
    is_half = match[_ARN] and not all(match[part] for part in (_PARTITION, _REGION, _ACCOUNT, _FUNCTION))
    is_dots = not match[_NAME].strip(".")
    is_long = len(text) > FUNCTION_NAME_MAX or len(match[_VERSION] or "") > QUALIFIER_MAX
    defaults = Defaults(EveryRegion(match[_PARTITION] or "aws"), "us-east-1", "123456789012")
    if is_half or is_dots or is_long:
        with pytest.raises(InvalidRequest):
            parse_function_name(text, defaults)
        return
    function = parse_function_name(text, defaults)
    assert (function.name, function.qualifier) == (match[_NAME], match[_VERSION])
    assert OUTBOX_NAME.fullmatch(text)


@given(st.from_regex(AWS_QUALIFIER, fullmatch=True))
def test_every_qualifier_that_the_model_takes_is_taken_beside_a_name(text: str) -> None:
    if len(text) <= QUALIFIER_MAX:
        assert parse_function_name("f", DEFAULTS, qualifier=text).qualifier == text
    with pytest.raises(InvalidRequest, match="not a qualifier"):
        parse_function_name("f", DEFAULTS, qualifier=text + " ")


@given(NAMES, OPTIONS, QUALIFIERS)
def test_a_refusal_quotes_nothing_that_could_steer_a_terminal(text: str, region: str, qualifier: str) -> None:
    try:
        parse_function_name(text, DEFAULTS, region=region, qualifier=qualifier)
    except InvalidRequest as refusal:
        assert str(refusal).isascii()
        assert str(refusal).isprintable()


@given(NAMES)
def test_a_pattern_without_wildcards_matches_the_function_that_it_names(text: str) -> None:
    try:
        pattern = FunctionPattern(text, DEFAULTS)
    except ValueError:
        return
    assume("*" not in text and "?" not in text)
    try:
        function = parse_function_name(text, DEFAULTS)
    except InvalidRequest:
        return
    assert pattern.matches(function)


@given(NAMES, QUALIFIERS)
def test_the_local_lambda_takes_no_name_that_lambda_does_not_take(text: str, qualifier: str) -> None:
    try:
        target = resolve(text, qualifier or None, region="us-east-1", account_id="123456789012")
    except ApiError:
        return
    assert AWS_NAME.fullmatch(text)
    assert AWS_NAME.fullmatch(target.unqualified_arn)
    assert target.qualifier is None or AWS_QUALIFIER.fullmatch(target.qualifier)


@given(NAMES)
def test_the_local_lambda_takes_what_the_sidecar_sends_it(text: str) -> None:
    try:
        function = parse_function_name(text, DEFAULTS)
    except InvalidRequest:
        return
    if len(function.name) > 64:
        with pytest.raises(ApiError, match=r"less than or equal to (64|256)$"):
            resolve(function.unqualified, function.qualifier, region="eu-west-3", account_id="0" * 12)
        return
    target = resolve(function.unqualified, function.qualifier, region="eu-west-3", account_id="0" * 12)
    assert (target.name, target.qualifier, target.arn) == (function.name, function.qualifier, str(function))


def test_the_models_pattern_is_the_one_that_is_meant() -> None:
    """An SDK whose model has another shape of that name would make the tests above say nothing."""
    assert AWS_NAME.fullmatch("arn:aws:lambda:us-east-1:123456789012:function:F:live")
    assert AWS_NAME.fullmatch("a.b:$LATEST.PUBLISHED")
    for text in ("", "a b", "é", "arn:aws:s3:::x", "f:1.2"):
        assert not AWS_NAME.fullmatch(text), text
    with pytest.raises(InvalidRequest):
        parse_function_name("é", DEFAULTS)

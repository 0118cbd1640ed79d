"""Function names as people may write them, beside the pattern of the AWS SDK's own model of Lambda.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import re

import pytest
from botocore.loaders import Loader
from hypothesis import assume, given
from hypothesis import strategies as st

from lambda_sidecar.access.function_name import Defaults, parse_function_name
from lambda_sidecar.access.function_pattern import FunctionPattern
from lambda_sidecar.errors import InvalidRequest
from lambda_sidecar.local.errors import ApiError
from lambda_sidecar.local.target import resolve
from lambda_sidecar.quotas import FUNCTION_ARN_MAX

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
# With ASCII's digits: in botocore's model \d stands for them.
AWS_NAME = re.compile(_SHAPES["FunctionName"]["pattern"], re.ASCII)
AWS_QUALIFIER = re.compile(_SHAPES["Qualifier"]["pattern"], re.ASCII)

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
    st.sampled_from(["F", "f-_9", "x" * 64, "x" * 65, "f.g", ""]),
    st.sampled_from([":$LATEST", ":1", ":live", ":" + "q" * 129, ":", ""]),
).map("".join)
NAMES = st.one_of(WHOLE, st.lists(PARTS, max_size=9).map(":".join), st.text(max_size=300))
OPTIONS = st.sampled_from(["", "us-east-1", "cn-north-1", "mars-1", "\n"])
QUALIFIERS = st.sampled_from(["", "$LATEST", "1", "live", "$x", "q" * 129, "live\n"])


@given(NAMES, OPTIONS, QUALIFIERS)
def test_a_name_that_is_taken_is_one_of_lambdas_and_its_canonical_form_means_the_same(
    text: str, region: str, qualifier: str
) -> None:
    try:
        function = parse_function_name(text, DEFAULTS, region=region, qualifier=qualifier)
    except InvalidRequest:
        return
    assert AWS_NAME.fullmatch(text)
    assert AWS_NAME.fullmatch(str(function))
    assert function.qualifier is None or AWS_QUALIFIER.fullmatch(function.qualifier)
    if len(str(function)) <= FUNCTION_ARN_MAX:  # the qualifier is sent beside the ARN
        assert parse_function_name(str(function), DEFAULTS) == function
    assert parse_function_name(function.unqualified, DEFAULTS, qualifier=function.qualifier or "") == function


@given(WHOLE)
def test_a_name_of_lambdas_is_refused_only_for_a_reason_that_is_named(text: str) -> None:
    assume(AWS_NAME.fullmatch(text))
    try:
        parse_function_name(text, DEFAULTS)
    except InvalidRequest as refusal:
        reasons = (
            "too long",
            "unknown region",
            "wrong partition",
            "partition:",
            "region:",
            "account:",
            "resource:",
        )
        assert any(
            reason in str(refusal)
            for reason in (*reasons, "version or alias:", "at most 140", "not a qualifier")
        )


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
    assert AWS_NAME.fullmatch(target.arn)


@given(NAMES)
def test_the_local_lambda_takes_what_the_sidecar_sends_it(text: str) -> None:
    try:
        function = parse_function_name(text, DEFAULTS)
    except InvalidRequest:
        return
    target = resolve(function.unqualified, function.qualifier, region="eu-west-3", account_id="0" * 12)
    assert (target.name, target.qualifier, target.arn) == (function.name, function.qualifier, str(function))


def test_the_models_pattern_is_the_one_that_is_meant() -> None:
    """An SDK whose model has another shape of that name would make the tests above say nothing."""
    assert AWS_NAME.fullmatch("arn:aws:lambda:us-east-1:123456789012:function:F:live")
    for text in ("", "a b", "a.b", "é", "arn:aws:s3:::x"):
        assert not AWS_NAME.fullmatch(text), text
    with pytest.raises(InvalidRequest):
        parse_function_name("é", DEFAULTS)

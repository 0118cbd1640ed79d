"""The target of an Invoke request: the function and the ARN that its FunctionName and Qualifier mean.
Pure; knows neither which functions exist nor HTTP."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lambda_sidecar.access.arn_parts import NAME, QUALIFIER, QUALIFIER_BESIDE, REGION
from lambda_sidecar.local.errors import ApiError, invalid_parameter
from lambda_sidecar.quotas import FUNCTION_NAME_MAX, QUALIFIER_MAX

# The forms of "Invoke", https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html: name, partial ARN and
# ARN, each with an optional qualifier. A name has no slash and is never of dots alone, so it cannot lead out
# of the functions folder.
_NAME = re.compile(
    r"(?:(?:arn:(?P<partition>aws[a-zA-Z-]*):lambda:"
    rf"(?P<region>{REGION}):)?(?P<account>[0-9]{{12}}):function:)?"
    rf"(?P<name>{NAME})"
    rf"(?::(?P<qualifier>{QUALIFIER}))?"
)
_QUALIFIER = re.compile(QUALIFIER_BESIDE)
# As CreateFunction takes them, and as a folder's name can be.
_NAME_MAX = 64
# As Lambda quotes them: NamespacedFunctionName and NumericLatestPublishedOrAliasQualifier of its model.
_NAME_IN_WORDS = (
    "(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?"
    "(function:)?([a-zA-Z0-9-_\\.]+)(:(\\$LATEST(\\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)
_QUALIFIER_IN_WORDS = "\\$(LATEST(\\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"
# "Amazon Resource Names (ARNs)", partitions; botocore's partitions.json has them all.
_PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("eusc-", "aws-eusc"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The function to run, and the parts of the ARN under which it is invoked."""

    name: str
    qualifier: str | None
    region: str
    unqualified_arn: str

    @property
    def arn(self) -> str:
        """The invoked ARN, with the qualifier if one was given."""
        return f"{self.unqualified_arn}:{self.qualifier}" if self.qualifier else self.unqualified_arn


def is_function_name(text: str) -> bool:
    """Whether a folder of this name can be a function; a hidden one cannot."""
    return len(text) <= _NAME_MAX and not text.startswith(".") and re.fullmatch(NAME, text) is not None


def resolve(function_name: str, qualifier: str | None, *, region: str, account_id: str) -> Target:
    """Reads FunctionName and Qualifier; region and account_id stand in where the name has none.

    Raises ApiError (InvalidParameterValueException) for what is no function name, and for two qualifiers
    that differ.
    """
    found = _NAME.fullmatch(function_name)
    if found is None:
        raise _violation("functionName", f"satisfy regular expression pattern: {_NAME_IN_WORDS}")
    for what, text, most in (
        ("functionName", function_name, FUNCTION_NAME_MAX),
        ("functionName", found["name"], _NAME_MAX),
        ("qualifier", found["qualifier"] or "", QUALIFIER_MAX),
        ("qualifier", qualifier or "", QUALIFIER_MAX),
    ):
        if len(text) > most:
            raise _violation(what, f"have length less than or equal to {most}")
    if qualifier is not None and not _QUALIFIER.fullmatch(qualifier):
        raise _violation("qualifier", f"satisfy regular expression pattern: {_QUALIFIER_IN_WORDS}")
    if qualifier is not None and found["qualifier"] not in (None, qualifier):
        raise invalid_parameter(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    region = found["region"] or region
    partition = found["partition"] or next(
        (name for prefix, name in _PARTITIONS if region.startswith(prefix)), "aws"
    )
    account = found["account"] or account_id
    return Target(
        name=found["name"],
        qualifier=found["qualifier"] or qualifier,
        region=region,
        unqualified_arn=f"arn:{partition}:lambda:{region}:{account}:function:{found['name']}",
    )


def _violation(member: str, constraint: str) -> ApiError:
    return invalid_parameter(
        f"1 validation error detected: Value at '{member}' failed to satisfy constraint: "
        f"Member must {constraint}"
    )

"""The target of an Invoke request: the function and the ARN that its FunctionName and Qualifier mean.
Pure; knows neither which functions exist nor HTTP."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lambda_sidecar.local.errors import invalid_parameter

# The forms of "Invoke", https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html: name, partial ARN and
# ARN, each with an optional qualifier; the parts are NamespacedFunctionName's in botocore's model. A name has
# at most 64 characters and no dot, so it can never lead out of the functions folder.
_NAME = re.compile(
    r"(?:(?:arn:(?P<partition>aws[a-zA-Z-]*):lambda:"
    r"(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-[0-9]):)?(?P<account>[0-9]{12}):function:)?"
    r"(?P<name>[a-zA-Z0-9_-]{1,64})"
    r"(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]{1,128}))?"
)
_QUALIFIER = re.compile(r"\$LATEST|[a-zA-Z0-9_-]{1,128}")
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
    """Whether a folder of this name can be a function."""
    return re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", text) is not None


def resolve(function_name: str, qualifier: str | None, *, region: str, account_id: str) -> Target:
    """Reads FunctionName and Qualifier; region and account_id stand in where the name has none.

    Raises ApiError (InvalidParameterValueException) for what is no function name, and for two qualifiers
    that differ.
    """
    found = _NAME.fullmatch(function_name)
    if found is None:
        raise invalid_parameter(
            "1 validation error detected: Value at 'functionName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?"
            "([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)"
            "(:(\\$LATEST|[a-zA-Z0-9-_]+))?"
        )
    if qualifier is not None and not _QUALIFIER.fullmatch(qualifier):
        raise invalid_parameter(
            "1 validation error detected: Value at 'qualifier' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: (|[a-zA-Z0-9$_-]+)"
        )
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

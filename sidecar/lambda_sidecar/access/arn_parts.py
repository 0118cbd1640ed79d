"""The parts of a function's ARN, and which of them is wrong: for names in SQL and for patterns in rules.

Pure; never quotes the text that it checks."""

from __future__ import annotations

import re
from typing import NamedTuple


class Part(NamedTuple):
    """One part: `pattern` is Lambda's own; `wildcard` is the pattern of a rule's part that holds * or ?;
    `expected` says to people what belongs there."""

    name: str
    pattern: str
    wildcard: str
    expected: str

    def takes(self, piece: str, *, wildcards: bool) -> bool:
        wild = wildcards and ("*" in piece or "?" in piece)
        return re.fullmatch(self.wildcard if wild else self.pattern, piece) is not None


# The parts of Invoke's FunctionName, as botocore's model of lambda 2015-03-31 has them
# (NamespacedFunctionName). But a name is never of dots alone: "..", which no function can have, would be a
# step in the path of a request (RFC 3986, 5.2.4).
REGION = r"(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-[0-9]"
NAME = r"\.*[a-zA-Z0-9_-][a-zA-Z0-9._-]*"
QUALIFIER = r"\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9_-]+"
# Invoke's Qualifier, beside the name (NumericLatestPublishedOrAliasQualifier).
QUALIFIER_BESIDE = r"\$LATEST(?:\.PUBLISHED)?|[$a-zA-Z0-9_-]+"
NAME_PART = Part("name", NAME, "[a-zA-Z0-9._*?-]+", "letters, digits, dots, - and _ expected")
QUALIFIER_PART = Part(
    "version or alias", QUALIFIER, "[$a-zA-Z0-9._*?-]+", "$LATEST, or letters, digits, - and _ expected"
)
_PARTS = (
    Part("ARN", "arn", "arn", "'arn' expected at its beginning"),
    Part("partition", "aws[a-zA-Z-]*", "[a-zA-Z*?-]+", "aws, aws-cn, aws-us-gov or their like expected"),
    Part("service", "lambda", "lambda", "lambda expected"),
    Part("region", REGION, "[a-z0-9*?-]+", "a name such as us-east-1 expected"),
    Part("account", "[0-9]{12}", r"[0-9?]{12}|[0-9?]*\*[0-9*?]*", "12 digits expected"),
    Part("resource", "function", "function", "'function' expected before the name"),
    NAME_PART,
    QUALIFIER_PART,
)
_RESOURCE = 5
_QUALIFIER = 7


def wrong_part(text: str, *, wildcards: bool = False) -> str | None:
    """Names the first part that is wrong or missing in an ARN or a partial one (account:function:name), and
    what is expected there. None if all parts are right, or if `text` looks like neither."""
    parts = text.split(":")
    if parts[0] == "arn":
        first = 0
    elif "function" in parts[1:2]:
        first = _RESOURCE - 1
    else:
        return None
    if len(parts) > len(_PARTS) - first:
        return "nothing is expected behind the version or alias"
    required = _QUALIFIER - first
    given = parts + [""] * (required - len(parts))
    for part, piece in zip(_PARTS[first:], given, strict=False):
        if not part.takes(piece, wildcards=wildcards):
            return f"{part.name}: {part.expected}"
    return None

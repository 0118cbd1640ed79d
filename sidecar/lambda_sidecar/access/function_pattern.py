"""Patterns of function names in rules, matched part by part against a canonical name.

Pure; knows neither accounts nor roles."""

from __future__ import annotations

import re

from lambda_sidecar.access.arn_parts import NAME_PART, QUALIFIER_PART, REGION, wrong_part
from lambda_sidecar.access.function_name import Defaults, FunctionName
from lambda_sidecar.access.wildcard import wildcard

_ANY = "*"
_LATEST = "$LATEST"
_WHOLE_ARN = 7  # arn, partition, lambda, region, account, function, name; the qualifier is the eighth
_WHOLE_NAME = 2  # name and qualifier
# Before a colon these are parts of an ARN in SQL. A rule that took one for a name would be silent, and match
# nothing of what is meant.
_PARTIAL = re.compile(rf"{REGION}|[0-9]{{12}}|function")
_ALLOWED = (
    "allowed are *, a name, or a whole ARN "
    "(arn:aws:lambda:region:account:function:name), each part with * and ?"
)


def split_function_pattern(text: str) -> list[str]:
    """Splits at the colons: an ARN pattern has seven or eight parts, a name has one or two. Raises ValueError
    for what is neither."""
    parts = text.split(":")
    if parts[0] == "arn":
        if wrong := wrong_part(text, wildcards=True):
            raise ValueError(f"not a pattern of functions: {wrong}; {_ALLOWED}")
        return parts
    if len(parts) > _WHOLE_NAME or not NAME_PART.takes(parts[0], wildcards=True):
        raise ValueError(f"not a pattern of functions; {_ALLOWED}")
    if len(parts) == _WHOLE_NAME and _PARTIAL.fullmatch(parts[0]):
        raise ValueError(f"not a pattern of functions; {_ALLOWED}")
    if len(parts) == _WHOLE_NAME and not QUALIFIER_PART.takes(parts[1], wildcards=True):
        raise ValueError(
            "not a qualifier: a version number, an alias, $LATEST or $LATEST.PUBLISHED is expected"
        )
    return parts


class FunctionPattern:
    """`*` alone matches every function. A name stands for that function in the configured account and region.
    An ARN is matched part by part, so * never reaches over a colon. A pattern without a qualifier matches
    every qualifier; `:$LATEST` also matches a call without one, because $LATEST is what such a call runs."""

    def __init__(self, text: str, defaults: Defaults) -> None:
        """Raises ValueError for what is no pattern, and where account or region is needed and not known."""
        self._any = text == _ANY
        if self._any:
            return
        if defaults.account_id is None:
            raise ValueError("a rule that names functions needs account_id")
        parts = split_function_pattern(text)
        if len(parts) < _WHOLE_ARN:
            if defaults.region is None:
                raise ValueError("a plain name needs a region: set region or AWS_REGION, or write an ARN")
            parts = ["arn", _ANY, "lambda", defaults.region, defaults.account_id, "function", *parts]
        self._partition, self._region, self._account, self._name = (wildcard(parts[n]) for n in (1, 3, 4, 6))
        self._qualifier = wildcard(parts[_WHOLE_ARN]) if len(parts) > _WHOLE_ARN else None

    @property
    def is_any(self) -> bool:
        """Whether it is `*`: it does not depend on the function."""
        return self._any

    def matches(self, function: FunctionName) -> bool:
        if self._any:
            return True
        return bool(
            self._name.fullmatch(function.name)
            and self._account.fullmatch(function.account_id or "")
            and self._region.fullmatch(function.region)
            and self._partition.fullmatch(function.partition)
            and (self._qualifier is None or self._qualifier.fullmatch(function.qualifier or _LATEST))
        )

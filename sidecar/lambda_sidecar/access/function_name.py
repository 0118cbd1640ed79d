"""Function names as people write them in SQL, matched whole and made canonical.

Pure; knows neither configuration files nor AWS sessions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lambda_sidecar.access.arn_parts import NAME, QUALIFIER, QUALIFIER_BESIDE, REGION, wrong_part
from lambda_sidecar.errors import InvalidRequest
from lambda_sidecar.quotas import FUNCTION_NAME_MAX, QUALIFIER_MAX

# NamespacedFunctionName (arn_parts.py), here with named groups, and with a partition that is not empty.
_PATTERN = re.compile(
    r"(?P<arn>arn:(?P<partition>aws[a-zA-Z-]*):lambda:)?"
    rf"(?:(?P<region>{REGION}):)?"
    r"(?:(?P<account>[0-9]{12}):)?"
    r"(?P<function>function:)?"
    rf"(?P<name>{NAME})"
    rf"(?::(?P<qualifier>{QUALIFIER}))?"
)
_QUALIFIER = re.compile(QUALIFIER_BESIDE)

_ALLOWED = (
    "allowed are a name, 123456789012:function:name, or a full ARN, each with or without :version or :alias"
)


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A function's canonical parts. `account_id` is None only where neither the name nor the configuration
    gives one; `qualifier` is None for the unqualified function."""

    partition: str
    region: str
    account_id: str | None
    name: str
    qualifier: str | None

    @property
    def unqualified(self) -> str:
        """The Invoke API's FunctionName: the ARN, or the name alone where no account is known."""
        if self.account_id is None:
            return self.name
        return f"arn:{self.partition}:lambda:{self.region}:{self.account_id}:function:{self.name}"

    def __str__(self) -> str:
        return self.unqualified if self.qualifier is None else f"{self.unqualified}:{self.qualifier}"


@dataclass(frozen=True, slots=True)
class Defaults:
    """The region and the account of functions whose name has none.

    `partitions` maps each region in which the AWS SDK knows Lambda to its partition."""

    partitions: Mapping[str, str]
    region: str | None = None
    account_id: str | None = None


def parse_function_name(
    text: str, defaults: Defaults, *, region: str = "", qualifier: str = ""
) -> FunctionName:
    """The canonical name of `text`; `region` and `qualifier` are those of the call's options, or "".

    Raises InvalidRequest, which says what is wrong and what is allowed. Its text quotes only what matches
    the pattern, so that no stray SQL text ends up in a log."""
    if not text:
        raise InvalidRequest(f"function is empty; {_ALLOWED}")
    if (length := len(text)) > FUNCTION_NAME_MAX:
        raise InvalidRequest(
            f"not a function name or ARN: it has {length} characters, at most {FUNCTION_NAME_MAX}; {_ALLOWED}"
        )
    match = _PATTERN.fullmatch(text)
    # The pattern takes ARNs without region, account or function:, too.
    if (match is None or match["arn"]) and (wrong := wrong_part(text)):
        raise InvalidRequest(f"not a function name or ARN: {wrong}; {_ALLOWED}")
    if match is None:
        raise InvalidRequest(f"not a function name or ARN; {_ALLOWED}")
    part = match.groupdict()
    chosen = _choose_region(part["region"], region, defaults)
    partition = defaults.partitions[chosen]
    if part["partition"] and part["partition"] != partition:
        raise InvalidRequest(
            f"wrong partition: region '{chosen}' belongs to '{partition}', not to '{part['partition']}'"
        )
    return FunctionName(
        partition=partition,
        region=chosen,
        account_id=part["account"] or defaults.account_id,
        name=part["name"],
        qualifier=_choose_qualifier(part["qualifier"], qualifier),
    )


def _choose_region(named: str | None, option: str, defaults: Defaults) -> str:
    if named and option and named != option:
        raise InvalidRequest(f"region '{option}' disagrees with the function's ARN, which says '{named}'")
    chosen = named or option or defaults.region
    if not chosen:
        raise InvalidRequest("no region: name it in the ARN, in the sidecar's configuration or in AWS_REGION")
    if chosen not in defaults.partitions:
        shown = f" '{chosen}'" if re.fullmatch(r"[a-z0-9-]{1,32}", chosen) else ""
        raise InvalidRequest(f"unknown region{shown}: not one that the AWS SDK knows for Lambda")
    return chosen


def _choose_qualifier(named: str | None, option: str) -> str | None:
    if not all(
        len(given) <= QUALIFIER_MAX and _QUALIFIER.fullmatch(given) for given in (named, option) if given
    ):
        raise InvalidRequest(
            "not a qualifier: a version number, an alias, $LATEST or $LATEST.PUBLISHED is expected"
        )
    if named and option and named != option:
        raise InvalidRequest(f"qualifier '{option}' disagrees with the function's, which is '{named}'")
    return named or option or None

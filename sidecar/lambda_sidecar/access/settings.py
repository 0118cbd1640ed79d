"""The settings of access: the rules, the roles, and where functions without a region or an account are.

Checks the form of each value, as AWS's own limits have it; decides nothing about a call."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lambda_sidecar.access.account import AccountPattern
from lambda_sidecar.access.function_pattern import split_function_pattern

# IAM user guide, "IAM identifiers": a role's ARN with its path; STS API reference, AssumeRole: 20 to 2,048.
_ROLE_ARN = re.compile(r"arn:aws[a-zA-Z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+")
ROLE_ARN_MAX = 2048
# STS API reference, AssumeRole, ExternalId.
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_+=,.@:/-]{2,1224}")
# STS API reference, AssumeRole, DurationSeconds; the role's own maximum may be lower.
DURATION_MIN = 900
DURATION_MAX = 43_200
DURATION_DEFAULT = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleRule:
    """One [[role_rules]] table: accounts and functions that match get this role."""

    account: str
    role: str
    function: str = "*"
    external_id: str | None = None
    duration_seconds: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, which names the key."""
        _check_patterns(self.account, self.function)
        check_role_arn("role", self.role)
        check_external_id("external_id", self.external_id)
        check_duration("duration_seconds", self.duration_seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowRule:
    """One [[allow]] table: accounts that match may invoke functions that match."""

    account: str
    function: str = "*"

    def __post_init__(self) -> None:
        """Raises ValueError, which names the key."""
        _check_patterns(self.account, self.function)


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessSettings:
    """The configuration's keys about who may invoke which function, and under which role: each has its key's
    name and meaning (config/config.py). A list of rules that is None was not mentioned at all."""

    region: str | None = None
    account_id: str | None = None
    aws_default_lambda_role: str | None = None
    associated_roles: tuple[str, ...] = ()
    external_id: str | None = None
    role_duration_seconds: int = DURATION_DEFAULT
    session_tags: bool = False
    role_rules: tuple[RoleRule, ...] | None = None
    allow: tuple[AllowRule, ...] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, which names the key."""
        check_role_arn("aws_default_lambda_role", self.aws_default_lambda_role)
        for number, role in enumerate(self.associated_roles, 1):
            check_role_arn(f"associated_roles {number}", role)
        check_external_id("external_id", self.external_id)
        check_duration("role_duration_seconds", self.role_duration_seconds)
        for key, named in self.roles().items():
            if self.associated_roles and named not in self.associated_roles:
                raise ValueError(f"{key}: {named} is not one of associated_roles")

    def roles(self) -> dict[str, str]:
        """The roles that calls can get, by the key that names each."""
        default = self.aws_default_lambda_role
        named = {} if default is None else {"aws_default_lambda_role": default}
        rules = enumerate(self.role_rules or (), 1)
        return named | {f"role_rules {number}: role": rule.role for number, rule in rules}


def _check_patterns(account: str, function: str) -> None:
    try:
        AccountPattern(account)
    except ValueError as error:
        raise ValueError(f"account: {error}, not {account!r}") from None
    try:
        split_function_pattern(function)
    except ValueError as error:
        raise ValueError(f"function: {function!r}: {error}") from None


def is_role_arn(text: str) -> bool:
    return len(text) <= ROLE_ARN_MAX and bool(_ROLE_ARN.fullmatch(text))


def check_role_arn(key: str, role: str | None) -> None:
    """Raises ValueError for what is no role's ARN; None passes."""
    if role is not None and not is_role_arn(role):
        raise ValueError(
            f"{key}: a role's ARN is expected (arn:aws:iam::123456789012:role/name), not {role!r}"
        )


def check_external_id(key: str, external_id: str | None) -> None:
    """Raises ValueError for what STS does not take; None passes."""
    if external_id is not None and not _EXTERNAL_ID.fullmatch(external_id):
        raise ValueError(f"{key}: 2 to 1224 letters, digits or _+=,.@:/- are expected")


def check_duration(key: str, seconds: int | None) -> None:
    """Raises ValueError for a duration that STS does not take; None passes."""
    if seconds is not None and not DURATION_MIN <= seconds <= DURATION_MAX:
        raise ValueError(f"{key}: {DURATION_MIN} to {DURATION_MAX} is expected, not {seconds}")

"""Whether an account may invoke a function, and under which IAM role: the rules, compiled.

Pure; knows no configuration files. Asks neither STS nor the network: it refuses before anything is sent."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from lambda_sidecar.access.account import HOST_MAX, USER_MAX, Account, AccountPattern
from lambda_sidecar.access.function_name import Defaults, FunctionName
from lambda_sidecar.access.function_pattern import FunctionPattern
from lambda_sidecar.access.settings import AccessSettings, AllowRule, RoleRule, is_role_arn
from lambda_sidecar.errors import AccessDenied, InvalidRequest

# What only a rule for all functions matches.
_EVERY = FunctionName("", "", None, "every function", None)
# Decisions remembered: a busy server's accounts times its functions. To decide anew costs some microseconds.
REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Role:
    """A role, and how it is assumed. With `session_tags` STS gets the account as tags."""

    arn: str
    external_id: str | None
    duration_seconds: int
    session_tags: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """`role` is None for the sidecar's own credentials. `reasons` say to people which entries decided."""

    role: Role | None
    reasons: tuple[str, ...]


class _Match:
    """The account and function of one rule."""

    def __init__(self, name: str, rule: RoleRule | AllowRule, defaults: Defaults) -> None:
        """Raises ValueError, which names the rule."""
        self.text = f"{name} (account = {rule.account!r}, function = {rule.function!r})"
        self._account = AccountPattern(rule.account)
        try:
            self._function = FunctionPattern(rule.function, defaults)
        except ValueError as error:
            raise ValueError(f"{name}: function: {error}") from None

    def __call__(self, account: Account, function: FunctionName) -> bool:
        return self._account.matches(account) and self._function.matches(function)

    def is_of(self, account: Account) -> bool:
        return self._account.matches(account)

    @property
    def is_for_all(self) -> bool:
        """Whether it does not depend on the function."""
        return self._function.is_any


class AccessRules:
    """Decides by settings that never change: a new configuration makes new AccessRules."""

    def __init__(self, settings: AccessSettings, defaults: Defaults) -> None:
        """`defaults` are the region and the account in force: the settings' own, or the AWS configuration's.
        Raises ValueError for a rule that names functions where either is needed and not known."""
        self._allow = [
            _Match(f"allow {number}", rule, defaults) for number, rule in enumerate(settings.allow or (), 1)
        ]
        self._roles = [
            (
                _Match(f"role_rules {number}", rule, defaults),
                _role(settings, rule.role, rule.external_id, rule.duration_seconds),
            )
            for number, rule in enumerate(settings.role_rules or (), 1)
        ]
        default = settings.aws_default_lambda_role
        self._default = _role(settings, default) if default is not None else None
        self.decide = functools.lru_cache(REMEMBERED)(self._decide)

    def _decide(self, account: Account, function: FunctionName, wanted: str = "") -> Decision:
        """`wanted` is the role that the call's options name, or "". Raises AccessDenied, and InvalidRequest
        for what is no role's ARN, and no account of MySQL's."""
        if len(account.user) > USER_MAX or len(account.host) > HOST_MAX:
            raise InvalidRequest("the account's name is longer than MySQL's are")
        allowed = self._allowed_by(account, function)
        role, reason = self._choose(account, function, wanted)
        return Decision(role, (allowed, reason))

    def decide_for_all(self, account: Account, wanted: str = "") -> Decision:
        """The same for a call whose function is not known. Raises AccessDenied where the account's rules
        depend on the function."""
        if len(account.user) > USER_MAX or len(account.host) > HOST_MAX:
            raise InvalidRequest("the account's name is longer than MySQL's are")
        mine = [match for match in self._allow if match.is_for_all and match.is_of(account)]
        if self._allow and not mine:
            raise AccessDenied(f"account {account} may not invoke every function: name it in the options")
        roles = [match for match, _ in self._roles if match.is_of(account)]
        if any(not match.is_for_all for match in roles):
            raise AccessDenied(
                f"the role of account {account} depends on the function: name it in the options"
            )
        allowed = mine[0].text if mine else "no allow entry: every account may invoke every function"
        role, reason = self._choose(account, _EVERY, wanted)
        return Decision(role, (allowed, reason))

    def _allowed_by(self, account: Account, function: FunctionName) -> str:
        if not self._allow:
            return "no allow entry: every account may invoke every function"
        for match in self._allow:
            if match(account, function):
                return match.text
        raise AccessDenied(f"account {account} may not invoke {function}")

    def _choose(self, account: Account, function: FunctionName, wanted: str) -> tuple[Role | None, str]:
        if wanted and not is_role_arn(wanted):
            raise InvalidRequest("options: role: not a role's ARN (arn:aws:iam::123456789012:role/name)")
        matching = [(role, match.text) for match, role in self._roles if match(account, function)]
        if not matching and self._default is not None:
            matching = [(self._default, "aws_default_lambda_role")]
        for role, reason in matching:
            if not wanted or role.arn == wanted:
                return role, reason
        if wanted:
            raise AccessDenied(f"account {account} may not use the role {wanted} for {function}")
        if self._roles:
            raise AccessDenied(f"no role rule gives account {account} a role for {function}")
        return None, "no role is configured: the sidecar's own credentials"


def _role(
    settings: AccessSettings, arn: str, external_id: str | None = None, duration_seconds: int | None = None
) -> Role:
    return Role(
        arn=arn,
        external_id=external_id if external_id is not None else settings.external_id,
        duration_seconds=duration_seconds or settings.role_duration_seconds,
        session_tags=settings.session_tags,
    )

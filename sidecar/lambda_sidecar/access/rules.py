"""May this account invoke this function, and under which IAM role: the configured rules, compiled.

Pure; asks neither STS nor the network, so a refusal comes before anything is sent."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from lambda_sidecar.access.account import Account, AccountPattern
from lambda_sidecar.access.function_name import Defaults, FunctionName
from lambda_sidecar.access.function_pattern import FunctionPattern
from lambda_sidecar.access.settings import AllowRule, RoleRule, is_role_arn
from lambda_sidecar.config.config import Config, ConfigError
from lambda_sidecar.errors import AccessDenied, InvalidRequest

# Decisions remembered: accounts times functions of a busy server; a wrong guess costs some microseconds.
REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Role:
    """A role to assume, and how: `session_tags` sends the account along as tags."""

    arn: str
    external_id: str | None
    duration_seconds: int
    session_tags: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """`role` None: the sidecar's own credentials. `reasons` say which entries decided, for people."""

    role: Role | None
    reasons: tuple[str, ...]


class _Match:
    """The account and function of one rule."""

    def __init__(self, name: str, rule: RoleRule | AllowRule, defaults: Defaults) -> None:
        self.text = f"{name} (account = {rule.account!r}, function = {rule.function!r})"
        self._account = AccountPattern(rule.account)
        try:
            self._function = FunctionPattern(rule.function, defaults)
        except ValueError as error:
            raise ConfigError(f"{name}: function: {error}") from None

    def __call__(self, account: Account, function: FunctionName) -> bool:
        return self._account.matches(account) and self._function.matches(function)


class AccessRules:
    """The decisions of one configuration; a new configuration makes a new one."""

    def __init__(self, config: Config, defaults: Defaults) -> None:
        """Raises ConfigError for a rule that names functions where account or region is not known."""
        self._allow = [
            _Match(f"allow {number}", rule, defaults) for number, rule in enumerate(config.allow or (), 1)
        ]
        self._roles = [
            (
                _Match(f"role_rules {number}", rule, defaults),
                _role(config, rule.role, rule.external_id, rule.duration_seconds),
            )
            for number, rule in enumerate(config.role_rules or (), 1)
        ]
        default = config.aws_default_lambda_role
        self._default = _role(config, default) if default is not None else None
        self.decide = functools.lru_cache(REMEMBERED)(self._decide)

    def _decide(self, account: Account, function: FunctionName, wanted: str = "") -> Decision:
        """`wanted` is the role that the call's options name, or "". Raises AccessDenied, InvalidRequest."""
        allowed = self._allowed_by(account, function)
        role, reason = self._choose(account, function, wanted)
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
    config: Config, arn: str, external_id: str | None = None, duration_seconds: int | None = None
) -> Role:
    return Role(
        arn=arn,
        external_id=external_id if external_id is not None else config.external_id,
        duration_seconds=duration_seconds or config.role_duration_seconds,
        session_tags=config.session_tags,
    )

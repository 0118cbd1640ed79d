"""The changes of access that a new configuration brings, in words for the log.

Compares settings; decides nothing. External ids are never logged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lambda_sidecar.access.settings import AccessSettings, AllowRule, RoleRule

# Rules that are listed one by one; a file may have thousands.
LISTED_MAX = 20

_RULES = ("allow", "role_rules")
Rule = AllowRule | RoleRule


def vanished_rules(old: AccessSettings, new: AccessSettings) -> str | None:
    """The key of the first list of rules that was in force and that `new` does not even mention, as a file
    that was cut off would not; None if there is none."""
    return next((key for key in _RULES if getattr(old, key) and getattr(new, key) is None), None)


def access_changes(old: AccessSettings, new: AccessSettings) -> Iterator[str]:
    """One line for each key that has changed, except role_duration_seconds, which opens nothing."""
    for key in ("account_id", "region"):
        yield from _value(old, new, key, "names that tell none now mean other functions")
    yield from _value(
        old, new, "aws_default_lambda_role", "without it and without rules: the sidecar's own credentials"
    )
    yield from _value(old, new, "session_tags", "whether STS gets the account as tags")
    if old.external_id != new.external_id:
        yield "external_id has changed"
    yield from _entries("associated_roles", old.associated_roles, new.associated_roles)
    for key in _RULES:
        before: Sequence[Rule] = getattr(old, key) or ()
        now: Sequence[Rule] = getattr(new, key) or ()
        yield from _rules(key, before, now)


def _value(old: AccessSettings, new: AccessSettings, key: str, meaning: str) -> Iterator[str]:
    before, now = getattr(old, key), getattr(new, key)
    if before != now:
        yield f"{key} was {_shown(before)}, is {_shown(now)} ({meaning})"


def _shown(value: object) -> str:
    return "not set" if value is None else str(value)


def _rules(key: str, before: Sequence[Rule], now: Sequence[Rule]) -> Iterator[str]:
    if before == now:
        return
    if not now:
        yield f"{key}: {len(before)} before, none now: {_without(key)}{_listed('gone', before)}"
    elif Counter(before) == Counter(now):
        yield f"{key}: {len(now)}, in another order"
    else:
        yield from _entries(key, before, now)


def _without(key: str) -> str:
    if key == "allow":
        return "every account may invoke every function"
    return "every call gets aws_default_lambda_role, or the sidecar's own credentials without one"


def _entries(key: str, before: Sequence[Rule | str], now: Sequence[Rule | str]) -> Iterator[str]:
    if Counter(before) == Counter(now):
        return
    gone = list((Counter(before) - Counter(now)).elements())
    new = list((Counter(now) - Counter(before)).elements())
    yield f"{key}: {len(before)} before, {len(now)} now{_listed('gone', gone)}{_listed('new', new)}"


def _listed(word: str, rules: Sequence[Rule | str]) -> str:
    if not rules:
        return ""
    listed = "; ".join(_described(rule) for rule in rules[:LISTED_MAX])
    more = f"; and {len(rules) - LISTED_MAX} more" if len(rules) > LISTED_MAX else ""
    return f"; {word}: {listed}{more}"


def _described(rule: Rule | str) -> str:
    if isinstance(rule, str):
        return rule
    text = f"account = {rule.account!r}, function = {rule.function!r}"
    if isinstance(rule, AllowRule):
        return text
    text += f", role = {rule.role!r}"
    if rule.duration_seconds is not None:
        text += f", duration_seconds = {rule.duration_seconds}"
    return text + (", with an external_id" if rule.external_id is not None else "")

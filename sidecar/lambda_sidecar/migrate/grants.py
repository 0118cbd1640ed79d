"""Reads GRANT statements as SHOW GRANTS prints them, MySQL's and Aurora's, and writes them for stock MySQL.

Pure; must not know who needs what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lambda_sidecar.install.options import Account
from lambda_sidecar.migrate.tokens import Token, tokens

ROLE = Account("AWS_LAMBDA_ACCESS", "%")
INVOKE = frozenset({"INVOKE LAMBDA", "INVOKE_LAMBDA"})
# Aurora User Guide: "Granting privileges" of the pages on S3, machine learning and Lambda.
AURORA_PRIVILEGES = frozenset(
    {"INVOKE SAGEMAKER", "INVOKE COMPREHEND", "INVOKE BEDROCK", "LOAD FROM S3", "SELECT INTO S3"}
)
AURORA_ROLES = frozenset(
    {
        "AWS_LOAD_S3_ACCESS",
        "AWS_SELECT_S3_ACCESS",
        "AWS_SAGEMAKER_ACCESS",
        "AWS_COMPREHEND_ACCESS",
        "AWS_BEDROCK_ACCESS",
        "RDS_SUPERUSER_ROLE",
    }
)
_EVERYTHING = frozenset({"ALL", "ALL PRIVILEGES"})


@dataclass(frozen=True)
class Grant:
    """Either `privileges`, in capitals, on (schema, name), where `*` stands for all; or `roles`."""

    privileges: frozenset[str] = frozenset()
    schema: str = "*"
    name: str = "*"
    roles: tuple[Account, ...] = ()

    def gives(self, privilege: str, schema: str, name: str) -> bool:
        place = _fits(self.schema, schema) and self.name in ("*", name)
        return place and (privilege in self.privileges or bool(self.privileges & _EVERYTHING))


@dataclass(frozen=True)
class Holdings:
    """The grants of each account. `default_roles` are active without SET ROLE.

    sessions            the accounts that can log in
    all_roles_on_login  the server's activate_all_roles_on_login: every role is active in sessions"""

    grants: Mapping[Account, tuple[Grant, ...]]
    default_roles: Mapping[Account, tuple[Account, ...]] = field(default_factory=dict)
    sessions: frozenset[Account] = frozenset()
    all_roles_on_login: bool = False

    def roles(self, account: Account) -> tuple[Account, ...]:
        return tuple(role for grant in self.grants.get(account, ()) for role in grant.roles)

    def in_force(self, account: Account, *, all_roles: bool) -> Iterator[Grant]:
        """Its own grants and those of its active roles, and of the roles that these have."""
        active = self.roles(account) if all_roles else self.default_roles.get(account, ())
        waiting, seen = [account, *active], set()
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            grants = self.grants.get(one, ())
            yield from grants
            if one == ROLE:
                yield Grant(frozenset({"INVOKE_LAMBDA"}))
            if one != account:
                waiting.extend(role for grant in grants for role in grant.roles)

    def may_invoke(self, account: Account, *, all_roles: bool) -> bool:
        return any(
            grant.gives(privilege, "*", "*")
            for grant in self.in_force(account, all_roles=all_roles)
            for privilege in ("SUPER", *INVOKE)
        )

    def may(self, privilege: str, account: Account, schema: str, name: str, *, all_roles: bool) -> bool:
        return any(
            grant.gives(privilege, schema, name) for grant in self.in_force(account, all_roles=all_roles)
        )


def read_grant(line: str) -> Grant:
    """Reads one line; one that grants neither privileges nor roles (as PROXY) is a grant of nothing."""
    found = tokens(line)
    cut = next((place for place, token in enumerate(found) if token.says("ON", "TO")), None)
    if cut is None or not found[0].says("GRANT"):
        return Grant()
    if found[cut].says("TO"):
        return Grant(roles=tuple(_account(item) for item in _items(found[1:cut])))
    privileges = frozenset(_privilege(item) for item in _items(found[1:cut]))
    end = next((place for place, token in enumerate(found) if place > cut and token.says("TO")), len(found))
    level = [token.text for token in found[cut + 1 : end] if not token.says("TABLE", "PROCEDURE", "FUNCTION")]
    if "PROXY" in privileges or level.count(".") != 1 or len(level) != 3:
        return Grant()
    return Grant(privileges, level[0], level[2])


def _fits(pattern: str, schema: str) -> bool:
    """A schema's name in a grant is a pattern: % for any characters, _ for one, a backslash before either for
    itself (manual, GRANT). `*.*` fits all, and only `*.*` itself is global."""
    if "*" in (pattern, schema):
        return pattern == "*"
    pieces = {"%": ".*", "_": "."}
    source = re.sub(
        r"\\?(.)",
        lambda one: pieces.get(one[0]) or re.escape(one[1]),
        pattern,
        flags=re.DOTALL,
    )
    return re.fullmatch(source, schema, re.DOTALL) is not None


def for_stock_mysql(line: str) -> tuple[str | None, list[str]]:
    """The statement as stock MySQL with lambda-udf takes it, or None if nothing of it is left; and the parts
    of the old one that stock MySQL does not know. Neither holds a password (5.7's IDENTIFIED BY)."""
    found = tokens(line)
    cut = next((place for place, token in enumerate(found) if token.says("ON", "TO")), None)
    if cut is None or not found[0].says("GRANT"):
        return line, []
    is_role = found[cut].says("TO")
    kept, unknown = [], []
    for item in _items(found[1:cut]):
        name = _account(item).user if is_role else _privilege(item)
        if name in INVOKE or name.upper() in (AURORA_ROLES if is_role else AURORA_PRIVILEGES):
            unknown.append(name)
        if name in INVOKE:
            kept.append("INVOKE_LAMBDA")
        elif name not in unknown:
            kept.append(_written(line, item))
    unknown = [name for name in unknown if name != "INVOKE_LAMBDA"]
    rest, has_password = _without_password(line, found[cut:])
    if has_password:
        unknown.append("IDENTIFIED BY in GRANT")
    if not unknown:
        return line, []
    return (f"GRANT {', '.join(kept)} {rest}" if kept else None), unknown


def _without_password(line: str, found: list[Token]) -> tuple[str, bool]:
    begin = next((token.start for token in found if token.says("IDENTIFIED")), None)
    text = line[found[0].start :]
    if begin is None:
        return text, False
    after = next((token.start for token in found if token.says("WITH") and token.start > begin), len(line))
    is_option = line[after:].upper().split()[1:2] == ["GRANT"]  # IDENTIFIED WITH names a plugin
    return line[found[0].start : begin] + (line[after:] if is_option else ""), True


def _items(found: Iterable[Token]) -> Iterator[list[Token]]:
    """The parts between commas; commas within parentheses (columns) do not count."""
    item: list[Token] = []
    depth = 0
    for token in found:
        depth += token.says("(") - token.says(")")
        if token.says(",") and depth == 0:
            yield item
            item = []
        else:
            item.append(token)
    if item:
        yield item


def _privilege(item: list[Token]) -> str:
    words = [token.text.upper() for token in item]
    return " ".join(words[: words.index("(")] if "(" in words else words)


def _account(item: list[Token]) -> Account:
    parts = [token.text for token in item if not token.says("@")]
    return Account(parts[0], "".join(parts[1:]).lower() or "%")


def _written(line: str, item: list[Token]) -> str:
    return line[item[0].start : item[-1].end]

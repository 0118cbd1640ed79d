"""MySQL accounts: how they are written, how a rule's pattern matches them, and what STS calls their sessions.

Pure; knows neither configuration files nor roles."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from lambda_sidecar.access.wildcard import wildcard

# Characters of the columns User and Host (refman, "Grant Tables"): no server has longer ones.
USER_MAX, HOST_MAX = 32, 255
# STS API reference, AssumeRole, RoleSessionName: 2 to 64 of [\w+=,.@-]; Tag, Value: 256 at most, of a set
# that holds all these but the comma. '=' is kept for what stands in for other characters.
SESSION_NAME_MAX = 64
TAG_VALUE_MAX = 256
_UNSAFE = re.compile(rb"[^A-Za-z0-9_+.-]")
_DIGEST_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Account:
    """`user` and `host` of the account, as CURRENT_USER() gives them: '%' is a host like any other."""

    user: str
    host: str

    def __str__(self) -> str:
        return f"'{self.user}'@'{self.host}'"

    @property
    def session_name(self) -> str:
        """The account as a RoleSessionName, `app@=25` for 'app'@'%'. No two accounts share one: what STS
        does not take is written as =HH, byte for byte, and a name cut at its limit ends in its digest."""
        return _cut(f"{_encoded(self.user) or '='}@{_encoded(self.host)}", SESSION_NAME_MAX)

    @property
    def tags(self) -> dict[str, str]:
        """The session tags, with the same encoding."""
        return {
            "mysql_user": _cut(_encoded(self.user), TAG_VALUE_MAX),
            "mysql_host": _cut(_encoded(self.host), TAG_VALUE_MAX),
        }


def _encoded(text: str) -> str:
    return _UNSAFE.sub(lambda match: b"=%02X" % match[0][0], text.encode()).decode("ascii")


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]
    return f"{text[: limit - len(digest) - 2]}=-{digest}"


def parse_account(text: str) -> Account:
    """Reads an account that is written user@host or 'user'@'host', with or without quotation marks; the last
    @ separates the two. Raises ValueError."""
    user, at, host = text.rpartition("@")
    if not at or not host:
        raise ValueError("user@host is expected, as in app@% or 'app'@'%'")
    return Account(_unquoted(user), _unquoted(host))


def _unquoted(text: str) -> str:
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"`"
    return text[1:-1] if quoted else text


class AccountPattern:
    """Accounts, written as user@host with * for any characters and ? for one. The user's case counts, the
    host's does not, as in MySQL; % is an ordinary character."""

    def __init__(self, text: str) -> None:
        """Raises ValueError where `text` is not user@host."""
        parts = parse_account(text)
        self._user = wildcard(parts.user)
        self._host = wildcard(parts.host, re.IGNORECASE)

    def matches(self, account: Account) -> bool:
        return bool(self._user.fullmatch(account.user) and self._host.fullmatch(account.host))

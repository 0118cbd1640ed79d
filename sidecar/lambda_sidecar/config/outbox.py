"""The outbox's deliverer: the table [outbox] of the configuration.

Checks its own values; knows nothing of MySQL's protocol or of what is delivered."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

# Rows at Lambda at once; they take slots of max_concurrency as all calls do.
CONCURRENCY_MAX = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxSettings:
    """The table's presence turns delivery on. The server is reached by its socket, or by host and port."""

    mysql_socket: Path | None = None
    """mysqld's Unix socket."""
    host: str | None = None
    """Instead of mysql_socket: a name or an address. Anything but loopback needs ssl_ca."""
    port: int = 3306
    user: str = "lambda_outbox"
    """The account that `lambda-sidecar install --outbox-account` gave its rights to."""
    password_file: Path | None = None
    """A file with its password in the first line; none for an account without, as with auth_socket."""
    ssl_ca: Path | None = None
    """A file of certificates: the connection is encrypted then, and the server's name is checked."""
    concurrency: int = 100
    """How many rows may be at Lambda at once; 1 to 10000. One function gets at most half of what is free."""
    max_attempts: int = 30
    """So often a row is tried before it is dead; 1 to 1000. Waits between tries grow to ten minutes."""
    result_days: float = 7.0
    """How long the answers of rows with keep_result are kept; above 0, to 3650."""
    deduplication_hours: float = 24.0
    """How long a deduplication_key is remembered; above 0, to 8760."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if (self.mysql_socket is None) == (self.host is None):
            raise ValueError("one of mysql_socket and host is expected, and not both")
        if self.host is not None and self.ssl_ca is None and not _is_loopback(self.host):
            raise ValueError("ssl_ca: expected for a host that is not loopback, so that the server is known")
        _require(1 <= self.port <= 65535, "port", "1 to 65535")
        _require(bool(self.user), "user", "a name")
        _require(1 <= self.concurrency <= CONCURRENCY_MAX, "concurrency", f"1 to {CONCURRENCY_MAX}")
        _require(1 <= self.max_attempts <= 1000, "max_attempts", "1 to 1000")
        _require(0 < self.result_days <= 3650, "result_days", "above 0, to 3650,")
        _require(0 < self.deduplication_hours <= 8760, "deduplication_hours", "above 0, to 8760,")

    def __str__(self) -> str:
        return str(self.mysql_socket) if self.host is None else f"{self.host}:{self.port}"


def _require(holds: bool, key: str, expected: str) -> None:
    if not holds:
        raise ValueError(f"{key}: {expected} is expected")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

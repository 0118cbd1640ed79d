"""The address of /metrics: the table [metrics] of the configuration.

Checks its own value; knows nothing of the metrics."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_LISTEN = re.compile(r"(?:\[(?P<ipv6>[^\]]*)\]|(?P<ipv4>[^:\[\]]*)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricsSettings:
    """The table's presence turns /metrics on."""

    listen: str = "127.0.0.1:9464"
    """Address and port, as in 127.0.0.1:9464 or [::1]:9464; port 0 takes any free one."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.address and self.port > 65535:
            raise ValueError(f"listen: the port is {self.port}; it must be 0 to 65535")

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        """Raises ValueError."""
        found = self._parts()
        try:
            if found["ipv6"] is not None:
                return ipaddress.IPv6Address(found["ipv6"])
            return ipaddress.IPv4Address(found["ipv4"])
        except ValueError:
            raise _wrong(self.listen) from None

    @property
    def port(self) -> int:
        """Raises ValueError."""
        return int(self._parts()["port"])

    def _parts(self) -> re.Match[str]:
        found = _LISTEN.fullmatch(self.listen)
        if found is None:
            raise _wrong(self.listen)
        return found


def _wrong(listen: str) -> ValueError:
    return ValueError(
        f"listen: an IP address and a port are expected, as in 127.0.0.1:9464 or [::1]:9464, not {listen!r}"
    )

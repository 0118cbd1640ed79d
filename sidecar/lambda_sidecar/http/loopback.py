"""Whether a Host header names this machine alone: what keeps web pages away from servers on loopback.

Pure; knows nothing of what is served."""

from __future__ import annotations

import ipaddress
import re

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:]+\]|[^:\[\]]+)(?::\d{1,5})?")


def is_loopback_host(host: str) -> bool:
    """Whether a Host header is of 127.0.0.0/8, [::1] or localhost, with or without port. A web page that
    makes its own name point here (DNS rebinding) sends that name."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found["name"]
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False

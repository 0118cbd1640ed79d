"""Certificates as they should be and as they should not, and the authorities of them that a client trusts.

Knows http_peer.py's; nothing of who connects."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.support.http_peer import certificate


class Certificates:
    """By name: `good`; `expired`; of another `address`; `unknown`, by an authority that is not in `bundle`."""

    def __init__(self, directory: Path) -> None:
        self._contexts: dict[str, ssl.SSLContext] = {}
        authorities = {
            "good": self._make(directory, "good"),
            "expired": self._make(directory, "expired", hours_left=-1),
            "address": self._make(directory, "address", address="127.0.0.2"),
        }
        self._make(directory, "unknown")
        self.bundle = directory / "bundle.pem"
        self.bundle.write_bytes(b"".join(path.read_bytes() for path in authorities.values()))

    def _make(self, directory: Path, name: str, *, address: str = "127.0.0.1", hours_left: float = 1) -> Path:
        folder = directory / name
        folder.mkdir()
        self._contexts[name], authority = certificate(folder, address=address, hours_left=hours_left)
        self._contexts[name].minimum_version = ssl.TLSVersion.TLSv1_3
        return authority

    def context(self, name: str) -> ssl.SSLContext | None:
        """None for `plain`."""
        return None if name == "plain" else self._contexts[name]

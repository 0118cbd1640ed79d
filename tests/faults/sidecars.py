"""The kinds of sidecar that the fault table needs: by how they reach Lambda, and with which credentials.

Knows configurations; nothing of faults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.account import ACCOUNT_ID, REGION, ROLE
from tests.support.tls import Certificates
from tests.support.wall_clock import WallClock

from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess

# `connect_timeout_seconds`: three attempts of it fit between the library's two limits (stage.py).
CONNECT_SECONDS = 0.25
# Functions for which a role is assumed, each of them another.
ROLES = ("warm", "refused", "silent", "garbage", "expired")
# Each is for one attempt at a fault: what one has left of a role's credentials is not for the next.
TURNS = 12


@dataclass(frozen=True)
class Ports:
    """Where nobody listens unless a row makes somebody."""

    endpoint: int
    proxy: int
    sts: int

    @classmethod
    def free(cls) -> Ports:
        return cls(free_port(), free_port(), free_port())


def sidecar(
    kind: str, directory: Path, ports: Ports, certificates: Certificates, clock: WallClock
) -> SidecarProcess:
    """`plain`: to Lambda over HTTP; `tls`: over HTTPS; `proxied`: that through a proxy; `nameless`: to a name that
    does not exist; `roles`: plain, with roles that STS gives."""
    url = {
        "plain": f"http://127.0.0.1:{ports.endpoint}",
        "roles": f"http://127.0.0.1:{ports.endpoint}",
        "nameless": "http://lambda.invalid:9",
    }.get(kind, f"https://127.0.0.1:{ports.endpoint}")
    environment: dict[str, str | None] = {
        **clock.variables,
        "LD_PRELOAD": str(clock.library),
        "AWS_ACCESS_KEY_ID": "AKIDTEST",
        "AWS_SECRET_ACCESS_KEY": "canary-test-secret",
        "AWS_ENDPOINT_URL_LAMBDA": url,
        "AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{ports.sts}",
        "AWS_CA_BUNDLE": str(certificates.bundle),
        "HTTPS_PROXY": f"http://127.0.0.1:{ports.proxy}" if kind == "proxied" else None,
        "NO_PROXY": None,
        "no_proxy": None,
    }
    config = {
        "region": REGION,
        "account_id": ACCOUNT_ID,
        "connect_timeout_seconds": CONNECT_SECONDS,
        "drain_seconds": 10,
    }
    if kind == "roles":
        config["role_rules"] = [
            {"account": "root@localhost", "function": name, "role": ROLE + name}
            for role in ROLES
            for name in (f"{role}-{turn}" for turn in range(TURNS))
        ]
    return SidecarProcess(directory, config, environment=environment)

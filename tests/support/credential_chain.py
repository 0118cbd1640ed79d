"""The sidecar's credential chain before a scripted STS, as tests of it need it.

Knows which variables lead there; asserts nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.support.account import ROLE
from tests.support.sts_endpoint import StsEndpoint, sts_endpoint

from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.credentials import ChainCredentials
from lambda_sidecar.aws.role_credentials import RoleCredentials
from lambda_sidecar.aws.sts import Sts

AS_MISSING = "Lambda API returned error: Missing Credentials: Cannot instantiate Lambda Client"


@contextlib.contextmanager
def chain_before_sts(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StsEndpoint]:
    """Nothing else is reached. `directory` may get a `config`."""
    with sts_endpoint() as endpoint:
        for name, value in {
            "AWS_ENDPOINT_URL_STS": endpoint.url,
            "AWS_REGION": "eu-central-1",
            "AWS_CONFIG_FILE": str(directory / "config"),
            "HOME": str(directory),
        }.items():
            monkeypatch.setenv(name, value)
        yield endpoint


def web_identity(directory: Path, monkeypatch: pytest.MonkeyPatch, *, written: bool = True) -> None:
    """The chain is to exchange a token, whose file may be missing."""
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE + "pod")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(directory / "token"))
    if written:
        (directory / "token").write_text("token")


@contextlib.asynccontextmanager
async def parts(
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[tuple[ChainCredentials, Sts, RoleCredentials]]:
    """The chain, STS asked with what it gives, and roles assumed by that."""
    aws = AwsConfiguration()
    chain = ChainCredentials(aws.session, clock=clock)
    asks = Sts(aws, chain, None)
    roles = RoleCredentials(chain, asks.assume, clock=clock)
    try:
        yield chain, asks, roles
    finally:
        await roles.close()
        await asks.close()
        await chain.close()

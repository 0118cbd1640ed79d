"""What STS and the chain's sources answer, and what becomes of it: no program is started.

STS is real HTTP, answered by a scripted server in this process. Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.account import ROLE
from tests.support.credential_chain import AS_MISSING, chain_before_sts, parts, web_identity
from tests.support.sts_endpoint import SECRET, StsEndpoint, key

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.rules import Role
from lambda_sidecar.aws import chain_providers
from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.credentials import ChainCredentials
from lambda_sidecar.errors import ErrorKind, InvokeFailure


@pytest.fixture
def sts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StsEndpoint]:
    with chain_before_sts(tmp_path, monkeypatch) as endpoint:
        yield endpoint


async def test_a_web_identity_is_assumed_once_and_its_key_is_given(
    sts: StsEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web_identity(tmp_path, monkeypatch)
    chain = ChainCredentials(AwsConfiguration().session)
    given = await asyncio.gather(*(chain.get() for _ in range(50)))
    assert {one.access_key for one in given} == {key(1)}
    assert [request["Action"] for request in sts.requests] == ["AssumeRoleWithWebIdentity"]


async def test_a_refused_web_identity_is_said_in_stss_words_and_sts_is_asked_once(
    sts: StsEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web_identity(tmp_path, monkeypatch)
    sts.error = (400, "InvalidIdentityToken", "No OpenIDConnect provider found")
    chain = ChainCredentials(AwsConfiguration().session)
    said = await asyncio.gather(*(chain.get() for _ in range(50)), return_exceptions=True)
    said += await asyncio.gather(*(chain.get() for _ in range(50)), return_exceptions=True)
    assert {str(one) for one in said} == {
        f"{AS_MISSING}: InvalidIdentityToken: No OpenIDConnect provider found"
    }
    assert {one.kind for one in said if isinstance(one, InvokeFailure)} == {ErrorKind.CREDENTIALS}
    assert len(sts.requests) == 1


async def test_a_chain_that_has_nothing_says_no_more_than_aurora(sts: StsEndpoint) -> None:
    chain = ChainCredentials(AwsConfiguration().session)
    with pytest.raises(InvokeFailure) as raised:
        await chain.get()
    assert raised.value.text == AS_MISSING


async def test_a_metadata_service_that_is_silent_has_nothing(
    sts: StsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{port}/")
    monkeypatch.setenv("AWS_METADATA_SERVICE_TIMEOUT", "60")
    monkeypatch.setattr(chain_providers, "METADATA_SECONDS", 0.3)
    chain = ChainCredentials(AwsConfiguration().session)
    with pytest.raises(InvokeFailure) as raised:
        await chain.get()
    assert raised.value.text == AS_MISSING
    server.close()


async def test_the_sdks_own_words_about_a_failed_renewal_are_not_logged(sts: StsEndpoint) -> None:
    ChainCredentials(AwsConfiguration().session)
    assert not logging.getLogger("aiobotocore.credentials").isEnabledFor(logging.ERROR)


GARBAGE = {
    "nothing": b"",
    "no XML": b"{}",
    "another document": b"<html><body>sign in</body></html>",
    "no credentials": b"<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>",
    "credentials without keys": b"<AssumeRoleResponse><AssumeRoleResult><Credentials/></AssumeRoleResult></AssumeRoleResponse>",
    "no date": (
        b"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>canary-secret-key"
        b"</SecretAccessKey><SessionToken>t</SessionToken><Expiration>canary-secret-key</Expiration></Credentials>"
        b"</AssumeRoleResult></AssumeRoleResponse>"
    ),
    "too much": b"<!--" + b"x" * 1_000_000,
    "no UTF-8": b"\xff\xfe<",
}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDBASE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "base")


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
async def test_what_is_no_answer_of_sts_is_said_to_be_none(
    sts: StsEndpoint, keys: None, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sts.garbage = body
    async with parts() as (_, asks, _):
        with pytest.raises(InvokeFailure) as raised:
            await asks.assume(Role(ROLE + "r", None, 900, False), Account("app", "%"), "eu-central-1")
        with pytest.raises(InvokeFailure, match="InvalidResponse: STS gave no answer to GetCallerIdentity"):
            await asks.caller("eu-central-1")
    words = r"Lambda API returned error: InvalidResponse: STS gave no answer to AssumeRole \([A-Za-z]+\)"
    assert re.fullmatch(words, raised.value.text), raised.value.text
    assert raised.value.kind is ErrorKind.CREDENTIALS
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("lifetime", "token", "words"),
    [
        (-60, "t", "those that were given have expired already: is this machine's clock right"),
        (3600, "t&#13;&#10;x: y", "those that were given hold what no credentials can hold"),
    ],
)
async def test_credentials_of_sts_that_can_sign_nothing_are_refused(
    sts: StsEndpoint, keys: None, monkeypatch: pytest.MonkeyPatch, lifetime: float, token: str, words: str
) -> None:
    monkeypatch.setattr("tests.support.sts_endpoint.TOKEN", token)
    sts.lifetime = lifetime
    async with parts() as (_, _, roles):
        with pytest.raises(InvokeFailure, match=words):
            await roles.get(Role(ROLE + "r", None, 900, False), Account("app", "%"), "eu-central-1")

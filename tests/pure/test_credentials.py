"""A role's credentials over time: one fetch for many, renewal under load, failures, isolation.

STS is real HTTP, answered by a scripted server; the clock is the test's. Each name is what it proves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiobotocore.config import AioConfig
from tests.support.sts_endpoint import StsEndpoint, key, sts_endpoint
from tests.support.waiting import until

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.rules import Role
from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.credentials import ChainCredentials
from lambda_sidecar.aws.role_credentials import RoleCredentials
from lambda_sidecar.aws.sts import Sts
from lambda_sidecar.errors import ErrorKind, InvokeFailure

REGION = "eu-central-1"
ORDERS = Role("arn:aws:iam::123456789012:role/orders", None, 3600, False)
APP = Account("app", "%")


class Clock:
    """Seconds since the epoch, as the test says."""

    def __init__(self) -> None:
        self.now = 2_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sts(clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StsEndpoint]:
    with sts_endpoint() as endpoint:
        endpoint.clock = clock
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", endpoint.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDBASE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "base")
        yield endpoint


@contextlib.asynccontextmanager
async def role_credentials(clock: Clock, *, sessions_max: int = 100) -> AsyncIterator[RoleCredentials]:
    aws = AwsConfiguration()
    base = ChainCredentials(aws.session)
    asks = Sts(aws, base, REGION)
    credentials = RoleCredentials(base, asks.assume, clock=clock, sessions_max=sessions_max)
    try:
        yield credentials
    finally:
        await credentials.close()
        await asks.close()


def asked(sts: StsEndpoint, times: int) -> Callable[[], bool]:
    return lambda: len(sts.requests) == times


async def test_200_concurrent_first_calls_of_one_account_make_one_assume_role(
    sts: StsEndpoint, clock: Clock
) -> None:
    async with role_credentials(clock) as credentials:
        given = await asyncio.gather(*(credentials.get(ORDERS, APP, REGION) for _ in range(200)))
        assert {one.access_key for one in given} == {key(1)}
        assert len(sts.requests) == 1


async def test_the_request_carries_role_account_duration_and_nothing_that_was_not_asked_for(
    sts: StsEndpoint, clock: Clock
) -> None:
    async with role_credentials(clock) as credentials:
        await credentials.get(ORDERS, APP, REGION)
    (request,) = sts.requests
    assert request == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": ORDERS.arn,
        "RoleSessionName": "app@=25",
        "DurationSeconds": "3600",
    }


async def test_external_id_and_session_tags_are_sent_where_configured(sts: StsEndpoint, clock: Clock) -> None:
    async with role_credentials(clock) as credentials:
        await credentials.get(Role(ORDERS.arn, "tenant/7", 900, True), APP, REGION)
    (request,) = sts.requests
    assert (request["ExternalId"], request["DurationSeconds"]) == ("tenant/7", "900")
    tags = {request[f"Tags.member.{n}.Key"]: request[f"Tags.member.{n}.Value"] for n in (1, 2)}
    assert tags == {"mysql_user": "app", "mysql_host": "=25"}


async def test_a_chained_role_is_asked_for_an_hour_at_most(
    sts: StsEndpoint, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = Role(ORDERS.arn, None, 43_200, False)
    async with role_credentials(clock) as credentials:
        await credentials.get(longer, APP, REGION)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "temporary")
    async with role_credentials(clock) as credentials:
        await credentials.get(longer, APP, REGION)
    assert [request["DurationSeconds"] for request in sts.requests] == ["43200", "3600"]


async def test_expiry_under_load_fails_no_call_and_makes_none_wait(sts: StsEndpoint, clock: Clock) -> None:
    async with role_credentials(clock) as credentials:
        seen = [(await credentials.get(ORDERS, APP, REGION)).access_key]
        for session in range(1, 6):
            clock.now += 3600 - 300  # into the last 300 s
            sts.gate.clear()  # STS does not answer while the old credentials still serve
            async with asyncio.timeout(1):
                given = await asyncio.gather(*(credentials.get(ORDERS, APP, REGION) for _ in range(200)))
            assert {one.access_key for one in given} == {key(session)}
            assert (await credentials.get(ORDERS, APP, REGION)).access_key == key(session)
            sts.gate.set()

            async def renewed(new: str = key(session + 1)) -> bool:
                return bool((await credentials.get(ORDERS, APP, REGION)).access_key == new)

            await until(renewed)
            seen.append((await credentials.get(ORDERS, APP, REGION)).access_key)
        assert seen == [key(n) for n in range(1, 7)]
        assert len(sts.requests) == 6


async def test_expired_credentials_are_never_given_out(sts: StsEndpoint, clock: Clock) -> None:
    async with role_credentials(clock) as credentials:
        await credentials.get(ORDERS, APP, REGION)
        clock.now += 3600 - 29
        assert (await credentials.get(ORDERS, APP, REGION)).access_key == key(2)


async def test_a_renewal_that_fails_is_not_felt_while_the_old_credentials_serve(
    sts: StsEndpoint, clock: Clock
) -> None:
    async with role_credentials(clock) as credentials:
        await credentials.get(ORDERS, APP, REGION)
        clock.now += 3600 - 300
        sts.error = (403, "AccessDenied", "no longer")
        await credentials.get(ORDERS, APP, REGION)
        await until(asked(sts, 2))
        assert (await credentials.get(ORDERS, APP, REGION)).access_key == key(1)
        clock.now += 280
        with pytest.raises(InvokeFailure, match="AccessDenied: no longer"):
            await credentials.get(ORDERS, APP, REGION)


async def test_an_error_of_sts_is_every_waiting_callers_and_is_forgotten_soon(
    sts: StsEndpoint, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lambda_sidecar.aws.role_credentials.FAILED_SECONDS", 0.5)
    sts.error = (403, "AccessDenied", "User: x is not authorized to perform: sts:AssumeRole")
    async with role_credentials(clock) as credentials:
        calls = [credentials.get(ORDERS, APP, REGION) for _ in range(50)]
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert {str(failure) for failure in failures} == {
            "Lambda API returned error: AccessDenied: User: x is not authorized to perform: sts:AssumeRole"
        }
        with pytest.raises(InvokeFailure) as raised:
            await credentials.get(ORDERS, APP, REGION)
        assert (raised.value.kind, raised.value.code) == (ErrorKind.CREDENTIALS, "")
        assert len(sts.requests) == 1
        sts.error = None
        began = asyncio.get_running_loop().time()

        async def works() -> bool:
            with contextlib.suppress(InvokeFailure):
                return bool(await credentials.get(ORDERS, APP, REGION))
            return False

        await until(works)
        assert asyncio.get_running_loop().time() - began < 3


async def test_a_cancelled_caller_leaves_the_fetch_to_the_others(sts: StsEndpoint, clock: Clock) -> None:
    sts.gate.clear()
    async with role_credentials(clock) as credentials:
        first, second = (asyncio.create_task(credentials.get(ORDERS, APP, REGION)) for _ in range(2))
        await until(asked(sts, 1))
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        sts.gate.set()
        assert (await second).access_key == key(1)
        assert len(sts.requests) == 1


async def test_accounts_share_nothing_even_if_their_session_names_were_equal(
    sts: StsEndpoint, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Account, "session_name", "the-same")
    others = [Account("app", "_"), Account("app", "localhost"), Account("APP", "%")]
    async with role_credentials(clock) as credentials:
        given = [await credentials.get(ORDERS, account, REGION) for account in (APP, *others)]
        again = [await credentials.get(ORDERS, account, REGION) for account in (APP, *others)]
    assert [one.access_key for one in given] == [key(n) for n in (1, 2, 3, 4)]
    assert again == given
    assert {request["RoleSessionName"] for request in sts.requests} == {"the-same"}


async def test_roles_and_external_ids_share_nothing(sts: StsEndpoint, clock: Clock) -> None:
    roles = [
        ORDERS,
        Role(ORDERS.arn, "one", 3600, False),
        Role(ORDERS.arn, "two", 3600, False),
        Role(ORDERS.arn + "-2", None, 3600, False),
    ]
    async with role_credentials(clock) as credentials:
        given = [await credentials.get(role, APP, REGION) for role in roles * 2]
    assert [one.access_key for one in given] == [key(n) for n in (1, 2, 3, 4)] * 2


async def test_the_sessions_kept_are_bounded_and_the_least_used_goes(sts: StsEndpoint, clock: Clock) -> None:
    one, two, three = (Account(name, "%") for name in ("one", "two", "three"))
    async with role_credentials(clock, sessions_max=2) as credentials:
        for account in (one, two, one, three, one, two):
            await credentials.get(ORDERS, account, REGION)
    assert [request["RoleSessionName"] for request in sts.requests] == [
        "one@=25",
        "two@=25",
        "three@=25",
        "two@=25",
    ]


async def test_without_a_role_the_chains_own_credentials_sign(sts: StsEndpoint, clock: Clock) -> None:
    async with role_credentials(clock) as credentials:
        assert (await credentials.get(None, APP, REGION)).access_key == "AKIDBASE"
    assert sts.requests == []


async def test_an_sts_that_is_not_there_is_an_unreachable_endpoint(
    sts: StsEndpoint, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    monkeypatch.setattr("lambda_sidecar.aws.sts._CONFIG", AioConfig(retries={"total_max_attempts": 1}))
    async with role_credentials(clock) as credentials:
        with pytest.raises(InvokeFailure) as raised:
            await credentials.get(ORDERS, APP, REGION)
    assert raised.value.text == "Lambda API returned error: Network Connection. Unable to connect to endpoint"


async def test_the_regional_endpoint_is_asked(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDBASE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "base")
    aws = AwsConfiguration()
    asks = Sts(aws, ChainCredentials(aws.session), None)
    try:
        client = await asks._client("eu-west-3")
        assert client.meta.endpoint_url == "https://sts.eu-west-3.amazonaws.com"
    finally:
        await asks.close()

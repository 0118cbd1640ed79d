"""STS: AssumeRole with the account in the session's name, and who the caller is.

The only file that knows STS; remembers its clients, but no credentials."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import botocore.exceptions
from aiobotocore.config import AioConfig
from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.access import Role
from lambda_sidecar.account import Account
from lambda_sidecar.aws import AwsConfiguration
from lambda_sidecar.credentials import ChainCredentials
from lambda_sidecar.errors import EndpointUnreachable, InvokeFailure, MissingCredentials, RoleNotAssumed
from lambda_sidecar.role_credentials import Session

log = logging.getLogger(__name__)

# IAM user guide, "Roles terms and concepts", role chaining: one hour at most, whatever the role allows.
CHAINED_SECONDS_MAX = 3600
# One request, and all its attempts together (AssumeRole may be repeated: it changes nothing).
REQUEST_SECONDS = 5
ATTEMPTS = 3
TOTAL_SECONDS = 15.0
CONNECTIONS = 20
_CONFIG = AioConfig(
    connect_timeout=REQUEST_SECONDS,
    read_timeout=REQUEST_SECONDS,
    max_pool_connections=CONNECTIONS,
    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
)


class Sts:
    """Asks STS with the chain's credentials. `close` at the end."""

    def __init__(self, aws: AwsConfiguration, base: ChainCredentials, region: str | None) -> None:
        """`region`'s endpoint is asked first, because its network is known; a call's own without it."""
        self._aws = aws
        self._base = base
        self.region = region
        self._clients: dict[str, Any] = {}
        self._making = asyncio.Lock()
        self._resources = contextlib.AsyncExitStack()

    async def assume(self, role: Role, account: Account, region: str) -> Session:
        """Assumes `role` for `account`; `region` is the call's. Raises InvokeFailure."""
        base = await self._base.get()
        seconds = role.duration_seconds
        if base.token is not None:  # temporary themselves, as an instance's: this is role chaining
            seconds = min(seconds, CHAINED_SECONDS_MAX)
        request: dict[str, Any] = {
            "RoleArn": role.arn,
            "RoleSessionName": account.session_name,
            "DurationSeconds": seconds,
        }
        if role.external_id is not None:
            request["ExternalId"] = role.external_id
        if role.session_tags:
            request["Tags"] = [{"Key": key, "Value": value} for key, value in account.tags.items()]
        answer = await self._ask("assume_role", region, request)
        given = answer["Credentials"]
        return Session(
            ReadOnlyCredentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]),
            given["Expiration"].timestamp(),
            answer.get("AssumedRoleUser", {}).get("Arn", ""),
        )

    async def caller(self, region: str) -> str:
        """The ARN of the chain's own identity. Raises InvokeFailure."""
        await self._base.get()
        arn: str = (await self._ask("get_caller_identity", region, {}))["Arn"]
        return arn

    async def close(self) -> None:
        await self._resources.aclose()

    async def _ask(self, operation: str, region: str, request: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                client = await self._client(self.region or region)
                answer: dict[str, Any] = await getattr(client, operation)(**request)
        except botocore.exceptions.ClientError as error:
            said = error.response.get("Error", {})
            raise RoleNotAssumed(said.get("Code", "Unknown"), said.get("Message", "no message")) from None
        except (
            TimeoutError,
            botocore.exceptions.ConnectionError,
            botocore.exceptions.HTTPClientError,
        ) as error:
            log.warning("STS could not be reached: %s", type(error).__name__)
            raise EndpointUnreachable from None
        except (botocore.exceptions.NoCredentialsError, botocore.exceptions.CredentialRetrievalError):
            raise MissingCredentials from None
        except botocore.exceptions.BotoCoreError as error:
            log.warning("STS could not be asked: %s", type(error).__name__)
            raise InvokeFailure(
                f"sidecar unavailable: STS could not be asked: {type(error).__name__}"
            ) from None
        return answer

    async def _client(self, region: str) -> Any:
        async with self._making:
            if region not in self._clients:
                made = self._aws.session.create_client("sts", region_name=region, config=_CONFIG)
                self._clients[region] = await self._resources.enter_async_context(made)
        return self._clients[region]

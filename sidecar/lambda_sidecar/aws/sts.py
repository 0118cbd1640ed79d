"""STS: AssumeRole with the account in the session's name, and who the caller is.

The only file that asks STS; keeps clients, but no credentials."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from typing import Any

import botocore.exceptions
from aiobotocore.config import AioConfig
from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.rules import Role
from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.credentials import ChainCredentials
from lambda_sidecar.aws.kept_credentials import Session
from lambda_sidecar.aws.sdk_error import describe, unreachable_reason
from lambda_sidecar.errors import EndpointUnreachable, InvokeFailure, RoleNotAssumed

log = logging.getLogger(__name__)

# IAM user guide, "Roles terms and concepts", role chaining: one hour at most, whatever the role allows.
CHAINED_SECONDS_MAX = 3600
# All attempts together (AssumeRole may be repeated: it changes nothing); configuration.py bounds one of them.
ATTEMPTS = 3
TOTAL_SECONDS = 15.0
CONNECTIONS = 20
_CONFIG = AioConfig(
    max_pool_connections=CONNECTIONS, retries={"mode": "standard", "total_max_attempts": ATTEMPTS}
)


class Sts:
    """Asks STS with the chain's credentials. `close` at the end."""

    def __init__(self, aws: AwsConfiguration, base: ChainCredentials, region: str | None) -> None:
        """Asks `region`'s endpoint, to which the network is known; without one, that of a call's region."""
        self._aws = aws
        self.base = base
        """What its questions are signed with."""
        self.region = region
        self._clients: dict[str, Any] = {}
        self._making = asyncio.Lock()
        self._resources = contextlib.AsyncExitStack()

    async def assume(self, role: Role, account: Account, region: str) -> Session:
        """Assumes `role` for `account`; `region` is the call's. Raises InvokeFailure."""
        base = await self.base.get()
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
        try:
            given = answer["Credentials"]
            return Session(
                ReadOnlyCredentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]),
                given["Expiration"].timestamp(),
                answer.get("AssumedRoleUser", {}).get("Arn", ""),
            )
        except (LookupError, AttributeError, TypeError, ValueError, OverflowError) as error:
            raise _no_answer("assume_role", error) from None

    async def caller(self, region: str) -> str:
        """The ARN of the chain's own identity. Raises InvokeFailure."""
        await self.base.get()
        answer = await self._ask("get_caller_identity", region, {})
        arn = answer.get("Arn")
        if not isinstance(arn, str):
            raise _no_answer("get_caller_identity", KeyError())
        return arn

    async def close(self) -> None:
        await self._resources.aclose()

    async def _ask(self, operation: str, region: str, request: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                client = await self._client(self.region or region)
                answer: dict[str, Any] = await getattr(client, operation)(**request)
        except InvokeFailure:  # of the chain, which signs
            raise
        except botocore.exceptions.ClientError as error:
            code, _, message = describe(error).partition(": ")
            raise RoleNotAssumed(code, message) from None
        except (
            TimeoutError,
            botocore.exceptions.ConnectionError,
            botocore.exceptions.HTTPClientError,
        ) as error:
            reason = f"STS at {self._endpoint(region)}: {unreachable_reason(error)}"
            log.warning("STS could not be reached: %s", reason)
            raise EndpointUnreachable(reason) from None
        except Exception as error:
            raise _no_answer(operation, error) from None
        return answer

    def _endpoint(self, region: str) -> str:
        """Where it is asked, as far as that is known."""
        where = self.region or region
        client = self._clients.get(where)
        return f"{client.meta.endpoint_url} ({where})" if client is not None else where

    async def _client(self, region: str) -> Any:
        """A region's client, made once. Raises InvokeFailure where the AWS configuration allows none."""
        async with self._making:
            if region not in self._clients:
                made = self._aws.session.create_client("sts", region_name=region, config=_CONFIG)
                try:
                    self._clients[region] = await self._resources.enter_async_context(made)
                except (botocore.exceptions.BotoCoreError, ValueError, OSError) as error:
                    reason = str(error) if isinstance(error, ValueError) else describe(error)
                    log.warning("STS could not be asked: %s", reason)
                    raise InvokeFailure(f"sidecar unavailable: STS could not be asked: {reason}") from None
        return self._clients[region]


def _no_answer(operation: str, error: Exception) -> RoleNotAssumed:
    """Logs that an answer cannot be one of STS (no XML, no credentials, no date), and makes the call's error
    of it. The stack says where that was found; the error's text may quote the answer, and is left out."""
    stack = "".join(traceback.format_tb(error.__traceback__))
    log.warning("STS answered what is none of its answers: %s\n%s", type(error).__name__, stack)
    name = operation.title().replace("_", "")
    return RoleNotAssumed("InvalidResponse", f"STS gave no answer to {name} ({type(error).__name__})")

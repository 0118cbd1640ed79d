"""Where a call's credentials come from: the contract of it, and the AWS credential chain.

Knows nothing of roles (role_credentials.py) and nothing of how a call is sent."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Protocol

import botocore.exceptions
from aiobotocore.session import AioSession
from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.access import Role
from lambda_sidecar.account import Account
from lambda_sidecar.errors import MissingCredentials

log = logging.getLogger(__name__)

# How long the chain may take to say that it has nothing, and how long that answer stands.
CHAIN_SECONDS = 4.5
MISSING_SECONDS = 5.0


class CredentialSource(Protocol):
    """Anything that can tell the credentials of a call."""

    async def get(self, role: Role | None, account: Account, region: str) -> ReadOnlyCredentials:
        """Credentials that are valid now: of `role`, assumed for `account`; None: the sidecar's own.
        `region` is the call's. Raises InvokeFailure."""
        ...


class PlaceholderCredentials:
    """For the local Lambda, which wants a signature but checks no key."""

    async def get(self, role: Role | None, account: Account, region: str) -> ReadOnlyCredentials:
        return ReadOnlyCredentials("local", "local", None)


class ChainCredentials:
    """The AWS credential chain: environment, profile, web identity, container, instance profile.

    Read once however many calls wait; botocore renews what expires. That there are none is
    remembered for MISSING_SECONDS, so that a burst of calls does not ask the chain one by one."""

    def __init__(self, session: AioSession) -> None:
        self._session = session
        self._credentials: Any = None
        self._reading: asyncio.Task[None] | None = None
        self._missing_until = 0.0

    async def get(self) -> ReadOnlyCredentials:
        """Credentials that are valid now. Raises MissingCredentials."""
        if self._credentials is None:
            await self._read_once()
        try:
            frozen: ReadOnlyCredentials = await self._credentials.get_frozen_credentials()
        except botocore.exceptions.BotoCoreError as error:
            log.warning("credentials could not be renewed: %s", type(error).__name__)
            raise MissingCredentials from None
        return frozen

    async def _read_once(self) -> None:
        if time.monotonic() < self._missing_until:
            raise MissingCredentials
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="credential chain")
        # Shielded: a caller that is cancelled must not take the chain's answer from the others.
        await asyncio.shield(self._reading)
        if self._credentials is None:
            raise MissingCredentials

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(CHAIN_SECONDS):
                self._credentials = await self._session.get_credentials()
        except (TimeoutError, botocore.exceptions.BotoCoreError) as error:
            log.warning("the AWS credential chain failed: %s", type(error).__name__)
        finally:
            self._reading = None
            if self._credentials is None:
                self._missing_until = time.monotonic() + MISSING_SECONDS

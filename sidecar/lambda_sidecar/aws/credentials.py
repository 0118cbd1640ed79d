"""Where a call's credentials come from: the contract of it, and the AWS credential chain.

Knows nothing of roles (role_credentials.py) and nothing of how a call is sent."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Protocol

from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.rules import Role
from lambda_sidecar.aws.chain_providers import make_resolver
from lambda_sidecar.aws.kept_credentials import NEVER, Clock, KeptCredentials, Session
from lambda_sidecar.aws.sdk_error import describe
from lambda_sidecar.errors import InvokeFailure, MissingCredentials

log = logging.getLogger(__name__)

# How long a call waits for the chain: that it has nothing is known within 5 s. A program that takes longer is
# waited for in the background, READ_SECONDS at most. How long a failure stands.
CHAIN_SECONDS = 4.5
READ_SECONDS = 60.0
MISSING_SECONDS = 5.0
# botocore's own advisory refresh, credentials.py: instance profiles are given an expiry that counts on it.
RENEW_SECONDS = 900.0
# Where renewing brought the same ones again, as a source with a cache of its own may: not sooner than this,
# or in the middle of what is left.
AGAIN_SECONDS = 60.0


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

    Read once however many calls wait, and renewed in the background: never within a call, whose time may be
    too short for it. Clients of the session that sign do so with what is kept here."""

    def __init__(
        self, session: AioSession, *, clock: Clock = time.time, read_seconds: float = READ_SECONDS
    ) -> None:
        self._session = session
        self._read_seconds = read_seconds
        self._source: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept = KeptCredentials(
            self._read,
            clock=clock,
            tasks=self._tasks,
            fresh_for=_fresh_for,
            failed_seconds=MISSING_SECONDS,
            wait_seconds=CHAIN_SECONDS,
        )
        session.register_component("credential_provider", _KeptProvider(self))
        # A failed renewal is logged here; there it comes with what credential_process has printed.
        logging.getLogger("aiobotocore.credentials").setLevel(logging.CRITICAL)

    async def get(self) -> ReadOnlyCredentials:
        """Credentials that are valid now. Raises MissingCredentials."""
        return await self._kept.get("")

    async def close(self) -> None:
        """Ends reading; calls that wait for it are cancelled."""
        await end_tasks(self._tasks)

    async def _read(self, _region: str) -> Session:
        """Whatever the chain raises is one kind of failure: its providers raise what their files, programs
        and libraries do."""
        try:
            async with asyncio.timeout(self._read_seconds) as limit:
                return await self._ask()
        except InvokeFailure as failure:
            log.warning("the AWS credential chain has no credentials")
            raise failure from None
        except Exception as error:
            reason = describe(error)
            if limit.expired():
                reason = f"they could not be read within {self._read_seconds:g} s"
            log.warning("the AWS credential chain failed: %s", reason)
            raise MissingCredentials(reason) from None

    async def _ask(self) -> Session:
        """The first time whatever the chain finds, then that source's new ones."""
        source = self._source
        if source is not None:
            _set_refresh_window(source, NEVER)
        else:
            source = await make_resolver(self._session).load_credentials()
            if source is None:
                raise MissingCredentials
            _set_refresh_window(source, 0)
        frozen = await source.get_frozen_credentials()
        self._source = source
        expires = getattr(source, "_expiry_time", None)
        return Session(frozen, NEVER if expires is None else expires.timestamp())


def _fresh_for(left: float, again: bool) -> float:
    """Those that live shortly are renewed in the middle of their time."""
    if left > RENEW_SECONDS:
        return left - RENEW_SECONDS
    return min(left / 2, AGAIN_SECONDS) if again else left / 2


def _set_refresh_window(source: Any, seconds: float) -> None:
    """How long before they expire botocore renews its refreshable credentials when it is asked for them:
    NEVER is at once, with every error raised; 0 not before it must. By itself it would do so within calls,
    and run a credential_process of short-lived ones twice."""
    source._advisory_refresh_timeout = source._mandatory_refresh_timeout = seconds


class _KeptProvider:
    """A session's credential provider that leads here."""

    def __init__(self, chain: ChainCredentials) -> None:
        self._chain = chain

    async def load_credentials(self) -> AioCredentials:
        return _KeptInChain(self._chain)


class _KeptInChain(AioCredentials):  # type: ignore[misc]  # botocore is not typed
    """What a client holds: asks for the credentials of the moment at each signature."""

    def __init__(self, chain: ChainCredentials) -> None:
        super().__init__("", "")
        self._chain = chain

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return await self._chain.get()


async def end_tasks(tasks: set[asyncio.Task[None]]) -> None:
    """Cancels them and waits until they are done."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

"""The sources of a call's credentials: their common protocol, and the AWS credential chain.

Assumes no roles (role_credentials.py does) and knows nothing of how a call is sent."""

from __future__ import annotations

import asyncio
import contextlib
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
from lambda_sidecar.errors import CredentialsAwaited, InvokeFailure, MissingCredentials

log = logging.getLogger(__name__)

# How long a call waits for the chain, so that it fails within 5 s where there is nothing; how long a slower
# program may take, which is waited for in the background; how long a failure answers further calls.
CHAIN_SECONDS = 4.5
READ_SECONDS = 60.0
MISSING_SECONDS = 5.0
# botocore's own advisory refresh (credentials.py), on which the expiry of an instance profile counts.
RENEW_SECONDS = 900.0
# Where renewing has brought the same credentials again, as a source with a cache of its own may: they are
# renewed after this time, or in the middle of the time that is left if that is sooner.
AGAIN_SECONDS = 60.0


class CredentialSource(Protocol):
    """Anything that gives a call its credentials."""

    async def get(self, role: Role | None, account: Account, region: str) -> ReadOnlyCredentials:
        """Credentials that are valid now: those of `role`, assumed for `account`, or the sidecar's own where
        `role` is None. `region` is the call's. Raises InvokeFailure."""
        ...


class PlaceholderCredentials:
    """For the local Lambda, which wants a signature but checks no key."""

    async def get(self, role: Role | None, account: Account, region: str) -> ReadOnlyCredentials:
        return ReadOnlyCredentials("local", "local", None)


class ChainCredentials:
    """The AWS credential chain: environment, profile, web identity, container, instance profile.

    They are read once, however many calls wait, and renewed in the background: never within a call, whose
    time may be too short for that. The session's own clients (STS) sign with them too."""

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
        # A failed renewal is logged here. aiobotocore would log it with the output of credential_process.
        logging.getLogger("aiobotocore.credentials").setLevel(logging.CRITICAL)

    async def get(self) -> ReadOnlyCredentials:
        """Credentials that are valid now. Raises InvokeFailure, mostly MissingCredentials."""
        return await self._kept.get("")

    async def get_in_the_end(self) -> ReadOnlyCredentials:
        """The same, but it waits for as long as the reading takes: for whatever is no call."""
        while True:
            with contextlib.suppress(CredentialsAwaited):
                return await self.get()

    async def close(self) -> None:
        """Ends the reading; calls that wait for it are cancelled."""
        await end_tasks(self._tasks)

    async def _read(self, _region: str) -> Session:
        """Asks the chain. Raises InvokeFailure, and that alone: whatever else the providers raise, as their
        files, programs and libraries do, becomes MissingCredentials."""
        try:
            async with asyncio.timeout(self._read_seconds) as limit:
                return await self._ask()
        except InvokeFailure as failure:
            log.warning(
                "no credentials found: the AWS credential chain has none (environment, profile, web "
                "identity, container, instance profile); docs/systemd.md says where a service gets them"
            )
            raise failure from None
        except Exception as error:
            reason = describe(error)
            if limit.expired():
                reason = f"they could not be read within {self._read_seconds:g} s"
            log.warning("no credentials found: the AWS credential chain failed: %s", reason)
            raise MissingCredentials(reason) from None

    async def _ask(self) -> Session:
        """Asks the whole chain the first time, and from then on the source that it found."""
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
    """Short-lived credentials are renewed in the middle of their time."""
    if left > RENEW_SECONDS:
        return left - RENEW_SECONDS
    return min(left / 2, AGAIN_SECONDS) if again else left / 2


def _set_refresh_window(source: Any, seconds: float) -> None:
    """Sets how many seconds before they expire botocore renews refreshable credentials when it is asked for
    them: NEVER means at once, and raises every error; 0 means not before it must. With its own window
    botocore would renew within calls, and run credential_process twice for short-lived credentials."""
    source._advisory_refresh_timeout = source._mandatory_refresh_timeout = seconds


class _KeptProvider:
    """The credential provider of the session's own clients: it gives them what ChainCredentials keeps."""

    def __init__(self, chain: ChainCredentials) -> None:
        self._chain = chain

    async def load_credentials(self) -> AioCredentials:
        return _KeptInChain(self._chain)


class _KeptInChain(AioCredentials):  # type: ignore[misc]  # botocore is not typed
    """The credentials of a client, which ask the chain anew at each signature."""

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

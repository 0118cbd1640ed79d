"""Credentials that expire: fetched once for all who wait, renewed in the background while the old ones serve.

Knows neither the credential chain nor STS: its owner gives it the function that fetches, and a clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.errors import CredentialsAwaited, InternalFailure, InvokeFailure, MissingCredentials
from lambda_sidecar.log.format import log_defect

log = logging.getLogger(__name__)

# Credentials are not given out in their last 30 s, which is more than a call's retries take; short-lived ones
# not in the last tenth of their time.
UNUSABLE_SECONDS = 30.0
UNUSABLE_PART = 0.1
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Session:
    """Credentials; `expires` in seconds since the epoch, or NEVER. `arn` is the assumed role's."""

    credentials: ReadOnlyCredentials
    expires: float
    arn: str = ""


Fetch = Callable[[str], Awaitable[Session]]
FreshFor = Callable[[float, bool], float]
Clock = Callable[[], float]


class KeptCredentials:
    """One set of credentials. A caller waits only while there are none that are valid; one that is cancelled,
    or has no more time, takes nothing from the others, nor from the fetching."""

    def __init__(
        self,
        fetch: Fetch,
        *,
        clock: Clock,
        tasks: set[asyncio.Task[None]],
        fresh_for: FreshFor,
        failed_seconds: float,
        wait_seconds: float | None = None,
        ended: Callable[[InvokeFailure | None], None] | None = None,
    ) -> None:
        """`fetch` is given the call's region and raises InvokeFailure. `clock` gives seconds since the epoch.
        `tasks` gets the tasks that fetch; its owner ends them.

        `fresh_for` says for how many seconds nothing is renewed, given the seconds that are left and whether
        the same credentials came again. A failure answers callers for `failed_seconds`; after that, the next
        caller has them fetched anew. A caller waits for `wait_seconds` at most (None: for as long as it
        takes). `ended` is called after each fetching with its failure, or with None."""
        self._fetch = fetch
        self._clock = clock
        self._tasks = tasks
        self._fresh_for = fresh_for
        self._failed_seconds = failed_seconds
        self._wait_seconds = wait_seconds
        self._ended = ended
        self._session: Session | None = None
        self._fresh_until = self._usable_until = -NEVER
        self._fetching: asyncio.Task[None] | None = None
        self._failure: InvokeFailure | None = None
        self._failure_until = 0.0

    async def get(self, region: str) -> ReadOnlyCredentials:
        """Credentials that are valid now. Raises InvokeFailure."""
        session, now = self._session, self._clock()
        if session is not None and now < self._fresh_until:
            return session.credentials
        self._renew(region)
        if session is not None and now < self._usable_until:
            return session.credentials
        if self._fetching is not None:
            await self._wait_for(self._fetching)
        if self._failure is not None:
            raise self._failure.with_traceback(None)  # it is raised for many: its traceback must not grow
        if self._session is None:
            raise InternalFailure
        return self._session.credentials

    async def _wait_for(self, fetching: asyncio.Task[None]) -> None:
        """Waits for the fetching, but never cancels it: others wait for it too. Raises CredentialsAwaited
        when the time is over."""
        try:
            async with asyncio.timeout(self._wait_seconds):
                await asyncio.shield(fetching)
        except TimeoutError:  # the fetching itself raises none
            raise CredentialsAwaited("they are still being read; later calls will find them") from None

    def _renew(self, region: str) -> None:
        """Starts to fetch, unless that is under way or has failed just now."""
        if self._fetching is not None:
            return
        if self._failure is not None and asyncio.get_running_loop().time() < self._failure_until:
            return
        self._fetching = asyncio.create_task(self._fetch_once(region), name="credentials")
        self._tasks.add(self._fetching)
        self._fetching.add_done_callback(self._tasks.discard)

    async def _fetch_once(self, region: str) -> None:
        failure: InvokeFailure | None = None
        try:
            self._take(await self._fetch(region))
        except InvokeFailure as raised:
            failure = raised
        except Exception as error:  # a defect of ours
            failure = InternalFailure()
            log_defect(log, error)
        finally:
            self._fetching = None
        self._failure = failure
        self._failure_until = asyncio.get_running_loop().time() + self._failed_seconds
        if self._ended is not None:
            self._ended(failure)

    def _take(self, session: Session) -> None:
        """Keeps new credentials. Raises MissingCredentials, and keeps the old, if these can sign nothing."""
        left = session.expires - (now := self._clock())
        if not left > 0:  # or no number at all
            raise MissingCredentials(
                "those that were given have expired already: is this machine's clock right?"
            )
        if not _sound(session.credentials):
            raise MissingCredentials("those that were given hold what no credentials can hold")
        again = self._session is not None and session.expires <= self._session.expires
        self._session = session
        self._usable_until = session.expires - min(UNUSABLE_SECONDS, left * UNUSABLE_PART)
        self._fresh_until = now + self._fresh_for(left, again)


def _sound(credentials: ReadOnlyCredentials) -> bool:
    """Whether they are visible ASCII and nothing else: they go into headers, and must not break one."""
    texts = [credentials.access_key, credentials.secret_key]
    if credentials.token is not None:
        texts.append(credentials.token)
    return all(isinstance(text, str) and text.isascii() and text.isprintable() for text in texts) and all(
        texts[:2]
    )

"""Temporary credentials of roles, per account: kept, renewed before they expire, fetched once for all.

Knows neither STS nor rules: it is given what fetches, and a clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.access import Role
from lambda_sidecar.account import Account
from lambda_sidecar.credentials import ChainCredentials
from lambda_sidecar.errors import InternalFailure, InvokeFailure
from lambda_sidecar.log_format import log_defect

log = logging.getLogger(__name__)

# A session lasts 900 s at least: renewed in the background by the first call in its last 300 s, which leaves
# some hundred attempts; no longer given out in its last 30 s, more than a call's retries take.
REFRESH_SECONDS = 300.0
UNUSABLE_SECONDS = 30.0
# How long an error of STS answers further calls: a burst asks once, a corrected trust policy helps at once.
FAILED_SECONDS = 1.0
# About 1 KB each.
SESSIONS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Session:
    """A role's credentials; `expires` in seconds since the epoch, `arn` is the assumed role's."""

    credentials: ReadOnlyCredentials
    expires: float
    arn: str


Assume = Callable[[Role, Account, str], Awaitable[Session]]


class _Entry:
    """One role of one account."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.fetching: asyncio.Task[None] | None = None
        self.failure: InvokeFailure | None = None
        self.failure_until = 0.0


class RoleCredentials:
    """The CredentialSource of a sidecar on AWS: a role's session, or the chain's own credentials."""

    def __init__(
        self,
        base: ChainCredentials,
        assume: Assume,
        *,
        clock: Callable[[], float] = time.time,
        sessions_max: int = SESSIONS_MAX,
    ) -> None:
        """`clock` gives seconds since the epoch, against which sessions expire."""
        self._base = base
        self._assume = assume
        self._clock = clock
        self._sessions_max = sessions_max
        # By role (its ARN, external id, duration, tags) and whole account, never by the session's name.
        self._entries: OrderedDict[tuple[Role, Account], _Entry] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self.refreshes: Counter[str] = Counter()
        """How often STS was asked: "success", or the failure's kind in lower case."""

    async def get(self, role: Role | None, account: Account, region: str) -> ReadOnlyCredentials:
        """Credentials that are valid now; waits only if there are none. Raises InvokeFailure.

        A caller that is cancelled does not take the answer from the others who wait for it."""
        if role is None:
            return await self._base.get()
        entry = self._entry(role, account)
        left = entry.session.expires - self._clock() if entry.session is not None else 0.0
        if left <= REFRESH_SECONDS:
            self._renew(entry, role, account, region)
        if entry.session is not None and left > UNUSABLE_SECONDS:
            return entry.session.credentials
        if entry.fetching is not None:
            await asyncio.shield(entry.fetching)
        if entry.failure is not None:
            raise entry.failure.with_traceback(None)  # it is raised for many: its traceback must not grow
        if entry.session is None:
            raise InternalFailure
        return entry.session.credentials

    async def close(self) -> None:
        """Calls that still wait for STS are cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _entry(self, role: Role, account: Account) -> _Entry:
        key = (role, account)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry()
            if len(self._entries) > self._sessions_max:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(key)
        return entry

    def _renew(self, entry: _Entry, role: Role, account: Account, region: str) -> None:
        """Starts fetching unless that is under way, or has failed just now."""
        if entry.fetching is not None:
            return
        if entry.failure is not None and asyncio.get_running_loop().time() < entry.failure_until:
            return
        entry.fetching = asyncio.create_task(self._fetch(entry, role, account, region), name="assume role")
        self._tasks.add(entry.fetching)
        entry.fetching.add_done_callback(self._tasks.discard)

    async def _fetch(self, entry: _Entry, role: Role, account: Account, region: str) -> None:
        failure: InvokeFailure | None = None
        try:
            entry.session = await self._assume(role, account, region)
            log.debug("role assumed", extra={"fields": {"account": str(account), "role": role.arn}})
        except InvokeFailure as raised:
            failure = raised
            fields = {"account": str(account), "role": role.arn, "reason": raised.text}
            log.warning("role not assumed", extra={"fields": fields})
        except Exception as error:  # a defect of ours
            failure = InternalFailure()
            log_defect(log, error)
        finally:
            entry.fetching = None
        self.refreshes[failure.kind.name.lower() if failure is not None else "success"] += 1
        entry.failure = failure
        entry.failure_until = asyncio.get_running_loop().time() + FAILED_SECONDS

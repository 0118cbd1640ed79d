"""Temporary credentials of roles, per account: kept, renewed before they expire, fetched once for all.

Knows neither STS nor who may use a role: its owner gives it the function that assumes one, and a clock."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable

from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.rules import Role
from lambda_sidecar.aws.credentials import ChainCredentials, end_tasks
from lambda_sidecar.aws.kept_credentials import Clock, KeptCredentials, Session
from lambda_sidecar.errors import InvokeFailure

log = logging.getLogger(__name__)

# A session lasts 900 s at least. The first call in its last 300 s has it renewed in the background, which
# leaves time for some hundred attempts.
REFRESH_SECONDS = 300.0
# How long an error of STS answers further calls: a burst asks once, and a corrected trust policy helps soon.
FAILED_SECONDS = 1.0
# Sessions that are kept, each of about 1 KB.
SESSIONS_MAX = 1000

Assume = Callable[[Role, Account, str], Awaitable[Session]]


class RoleCredentials:
    """The CredentialSource of a sidecar on AWS: a role's session, or the chain's own credentials."""

    def __init__(
        self,
        base: ChainCredentials,
        assume: Assume,
        *,
        clock: Clock = time.time,
        sessions_max: int = SESSIONS_MAX,
    ) -> None:
        """`clock` gives seconds since the epoch, against which sessions expire."""
        self._base = base
        self._assume = assume
        self._clock = clock
        self._sessions_max = sessions_max
        # By role (its ARN, external id, duration, tags) and whole account, never by the session's name.
        self._kept: OrderedDict[tuple[Role, Account], KeptCredentials] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self.refreshes: Counter[str] = Counter()
        """How often STS was asked: "success", or the failure's kind in lower case."""

    async def get(self, role: Role | None, account: Account, region: str) -> ReadOnlyCredentials:
        """Credentials that are valid now; waits only if there are none. Raises InvokeFailure.

        A caller that is cancelled does not take the answer from the others who wait for it."""
        if role is None:
            return await self._base.get()
        return await self._of(role, account).get(region)

    async def close(self) -> None:
        """Calls that still wait for STS are cancelled."""
        await end_tasks(self._tasks)

    def _of(self, role: Role, account: Account) -> KeptCredentials:
        key = (role, account)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        kept = self._kept[key] = KeptCredentials(
            functools.partial(self._fetch, role, account),
            clock=self._clock,
            tasks=self._tasks,
            fresh_for=_fresh_for,
            failed_seconds=FAILED_SECONDS,
            ended=self._count,
        )
        if len(self._kept) > self._sessions_max:
            self._kept.popitem(last=False)
        return kept

    async def _fetch(self, role: Role, account: Account, region: str) -> Session:
        try:
            session = await self._assume(role, account, region)
        except InvokeFailure as failure:
            fields = {"account": str(account), "role": role.arn, "reason": failure.text}
            log.warning("role not assumed", extra={"fields": fields})
            raise
        log.debug("role assumed", extra={"fields": {"account": str(account), "role": role.arn}})
        return session

    def _count(self, failure: InvokeFailure | None) -> None:
        self.refreshes[failure.kind.name.lower() if failure is not None else "success"] += 1


def _fresh_for(left: float, _again: bool) -> float:
    return left - REFRESH_SECONDS

"""The look of a running sidecar at itself: its socket's rights, what its calls would meet, and its outbox.

Puts them together; knows neither who asks nor AWS."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path

from lambda_sidecar.access.account import Account
from lambda_sidecar.calls.diagnosis import Diagnosis
from lambda_sidecar.calls.finding import Finding, Findings, Verdict
from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.contract.diagnosis import Look
from lambda_sidecar.process.socket_check import look_at_rights
from lambda_sidecar.process.thread_look import ThreadLook

# With AWS_SECONDS (calls/diagnosis.py) they are TOTAL_SECONDS (calls/finding.py).
RIGHTS_SECONDS, OUTBOX_SECONDS = 5.0, 15.0
_NO_USERS = Finding(
    Verdict.WARNING,
    "group",
    f"who may connect is not known: this machine's user database gave no answer within {RIGHTS_SECONDS:g} s",
    "look at the directory server that nsswitch.conf names",
)


def own_look(socket: Path, diagnosis: Diagnosis, outbox: OutboxSettings | None) -> Look:
    """The function that the service Diagnosis calls."""
    rights = ThreadLook(functools.partial(look_at_rights, socket), RIGHTS_SECONDS, _NO_USERS)

    async def look(function: str, account: Account, findings: Findings) -> None:
        await rights.look(findings)
        await diagnosis.run(function, account, findings)
        if outbox is not None:
            await _look_at_outbox(outbox, findings)

    return look


async def _look_at_outbox(settings: OutboxSettings, findings: Findings) -> None:
    # Imported where it is wanted: it brings MySQL's connector with it.
    from lambda_sidecar.outbox.account_check import ELECTED_SECONDS, STEP, look_at_outbox

    try:
        async with asyncio.timeout(OUTBOX_SECONDS):
            await look_at_outbox(settings, findings, patience=ELECTED_SECONDS)
    except TimeoutError:
        findings.fail(STEP, f"{settings}: mysqld gave no answer within {OUTBOX_SECONDS:g} s")

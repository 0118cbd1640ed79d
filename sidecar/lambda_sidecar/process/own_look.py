"""The look of a running sidecar at itself: the rights of its socket, and what its calls would meet.

Puts the two together; knows neither who asks nor AWS."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lambda_sidecar.access.account import Account
from lambda_sidecar.calls.diagnosis import Diagnosis
from lambda_sidecar.calls.finding import Findings
from lambda_sidecar.contract.diagnosis import Look
from lambda_sidecar.process.socket_check import look_at_rights


def own_look(socket: Path, diagnosis: Diagnosis) -> Look:
    """The function that the service Diagnosis calls."""

    async def look(function: str, account: Account, findings: Findings) -> None:
        # In a thread: the machine's user database may be a directory server.
        await asyncio.to_thread(look_at_rights, socket, findings)
        await diagnosis.run(function, account, findings)

    return look

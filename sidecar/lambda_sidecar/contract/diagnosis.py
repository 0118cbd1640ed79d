"""The gRPC service Diagnosis: what a call would meet, asked of this sidecar itself by `lambda-sidecar check`.

Translates and bounds; calls/diagnosis.py looks. Whoever can open the socket may ask, as for calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from lambda_sidecar.access.account import HOST_MAX, USER_MAX, Account
from lambda_sidecar.calls.finding import Finding, Findings
from lambda_sidecar.log.format import log_defect
from lambda_sidecar.version import version
from lambda_udf.v1 import diagnosis_pb2, diagnosis_pb2_grpc

# Each asks AWS several times: whoever floods the sidecar with questions must not flood AWS.
AT_ONCE = 2
# With those that wait for their turn: some operators and their monitoring. More are refused at once.
ASKED_MAX = 16

log = logging.getLogger(__name__)

Look = Callable[[str, Account, Findings], Awaitable[None]]


class Diagnosis(diagnosis_pb2_grpc.DiagnosisServicer):
    """`look` is given a function (or an empty text), an account, and where its findings go."""

    def __init__(self, sidecar_id: str, configuration: Path | None, look: Look) -> None:
        self._sidecar_id = sidecar_id
        self._configuration = configuration
        self._look = look
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._asked = 0

    async def Diagnose(
        self, request: diagnosis_pb2.DiagnoseRequest, context: Any
    ) -> diagnosis_pb2.DiagnoseResponse:
        if self._asked >= ASKED_MAX:
            text = f"{ASKED_MAX} others are asking the same: ask again in a minute"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        self._asked += 1
        try:
            found = await self._findings(request)
        finally:
            self._asked -= 1
        path = self._configuration
        return diagnosis_pb2.DiagnoseResponse(
            version=version(),
            sidecar_id=self._sidecar_id,
            configuration="" if path is None else _text(str(path.absolute())),
            findings=[_finding(each) for each in found],
        )

    async def _findings(self, request: diagnosis_pb2.DiagnoseRequest) -> list[Finding]:
        """A defect of ours is one, too: gRPC would log its text, and send it."""
        found: list[Finding] = []
        findings = Findings(found.append)
        # As of calls: a character more than there may be is refused.
        account = Account(request.user[: USER_MAX + 1], request.host[: HOST_MAX + 1])
        async with self._turns:
            try:
                await self._look(request.function, account, findings)
            except Exception as error:
                log_defect(log, error)
                findings.fail("sidecar", f"internal failure: {type(error).__name__}", "see the sidecar's log")
        return found


def _finding(finding: Finding) -> diagnosis_pb2.Finding:
    return diagnosis_pb2.Finding(
        verdict=diagnosis_pb2.Verdict.Name(finding.verdict),
        step=finding.step,
        text=_text(finding.text),
        next=_text(finding.next),
    )


def _text(text: str) -> str:
    """Paths, and what quotes them, may hold bytes that are not UTF-8."""
    return text.encode(errors="replace").decode()

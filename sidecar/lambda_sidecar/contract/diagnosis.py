"""The gRPC service Diagnosis: what a call would meet, asked of this sidecar itself by `lambda-sidecar check`.

Translates and bounds; calls/diagnosis.py looks. Whoever can open the socket may ask, as for calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lambda_sidecar.access.account import HOST_MAX, USER_MAX, Account
from lambda_sidecar.calls.finding import Finding, Findings
from lambda_sidecar.version import version
from lambda_udf.v1 import diagnosis_pb2, diagnosis_pb2_grpc

# Each asks AWS several times: whoever floods the sidecar with questions must not flood AWS.
AT_ONCE = 2

Look = Callable[[str, Account, Findings], Awaitable[None]]


class Diagnosis(diagnosis_pb2_grpc.DiagnosisServicer):
    """`look` is given a function (or an empty text), an account, and where its findings go."""

    def __init__(self, sidecar_id: str, configuration: Path | None, look: Look) -> None:
        self._sidecar_id = sidecar_id
        self._configuration = configuration
        self._look = look
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def Diagnose(
        self, request: diagnosis_pb2.DiagnoseRequest, _context: Any
    ) -> diagnosis_pb2.DiagnoseResponse:
        found: list[Finding] = []
        # As of calls: a character more than there may be is refused.
        account = Account(request.user[: USER_MAX + 1], request.host[: HOST_MAX + 1])
        async with self._turns:
            await self._look(request.function, account, Findings(found.append))
        path = self._configuration
        return diagnosis_pb2.DiagnoseResponse(
            version=version(),
            sidecar_id=self._sidecar_id,
            # A path may hold bytes that are not UTF-8.
            configuration="" if path is None else str(path.absolute()).encode(errors="replace").decode(),
            findings=[_finding(each) for each in found],
        )


def _finding(finding: Finding) -> diagnosis_pb2.Finding:
    return diagnosis_pb2.Finding(
        verdict=diagnosis_pb2.Verdict.Name(finding.verdict),
        step=finding.step,
        text=finding.text,
        next=finding.next,
    )

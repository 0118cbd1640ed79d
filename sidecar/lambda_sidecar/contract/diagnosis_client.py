"""The running sidecar asked what a call would meet, on its socket.

For the command `check`. Knows gRPC; nothing of what is found, nor of who may connect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from lambda_sidecar.access.account import Account
from lambda_sidecar.calls.finding import TOTAL_SECONDS, Finding, Verdict
from lambda_sidecar.contract.client import AUTHORITY, NoAnswer
from lambda_sidecar.text.safe_text import visible
from lambda_udf.v1 import diagnosis_pb2, diagnosis_pb2_grpc

# One diagnosis, and those of somebody else that may be before it.
DIAGNOSIS_SECONDS = 2 * TOTAL_SECONDS + 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sidecar said of itself. `configuration` is empty where it has read no file. The texts are safe
    to print: whatever listens there may have made them."""

    version: str
    sidecar_id: str
    configuration: str
    findings: tuple[Finding, ...]


def diagnose(path: Path, function: str, account: Account) -> Answer:
    """What a call of `account` would meet, or, with an empty `function`, every call. Raises NoAnswer."""
    request = diagnosis_pb2.DiagnoseRequest(function=function, user=account.user, host=account.host)
    with grpc.insecure_channel(f"unix:{path.absolute()}", options=(AUTHORITY,)) as channel:
        stub = diagnosis_pb2_grpc.DiagnosisStub(channel)
        try:
            answer = stub.Diagnose(request, timeout=DIAGNOSIS_SECONDS)
        except grpc.RpcError as error:
            raise NoAnswer(error) from None
    return Answer(
        version=visible(answer.version),
        sidecar_id=visible(answer.sidecar_id),
        configuration=visible(answer.configuration),
        findings=tuple(_finding(each) for each in answer.findings),
    )


def _finding(finding: diagnosis_pb2.Finding) -> Finding:
    """A verdict that only a newer sidecar knows is no success."""
    number = int(finding.verdict)
    verdict = Verdict(number) if number in Verdict.__members__.values() else Verdict.WARNING
    return Finding(verdict, visible(finding.step), visible(finding.text), visible(finding.next))

"""The sidecar's part of a check: the running one says itself, over its socket, what a call would meet.

Knows the socket; nothing of AWS, and nothing of MySQL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lambda_sidecar.access.account import Account
from lambda_sidecar.check.report import Report
from lambda_sidecar.contract.client import NoAnswer
from lambda_sidecar.contract.diagnosis_client import diagnose

STEP = "socket"
_RESTART = "restart it, so that the installed release runs (systemctl restart lambda-sidecar)"
_START = "start the sidecar (systemctl start lambda-sidecar), or name its socket with --socket"


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One that has answered."""

    socket: Path
    sidecar_id: str
    steps: frozenset[str]
    """Those that it has looked at."""


def ask_sidecar(
    socket: Path,
    found: str | None,
    function: str,
    account: Account,
    report: Report,
    *,
    configuration: Path | None = None,
) -> Sidecar | None:
    """Reports what the sidecar behind `socket` finds; None, with the reason in the report, if it does not
    answer. `found` is what socket_check.problem says of it, `configuration` the file that the operator takes
    for the sidecar's."""
    if found is None:
        report.ok(STEP, f"{socket} answers: serving")
    try:
        answer = diagnose(socket, function, account)
    except NoAnswer as error:
        if error.is_unknown_method:
            report.fail("sidecar", f"the one on {socket} is of an older release than this command", _RESTART)
        elif found is None:
            report.fail(STEP, f"{socket}: {error.details}", "ask again, and see the sidecar's log")
        else:
            report.fail(STEP, f"{socket}: {found}", _START)
        return None
    if found is not None:
        report.fail(STEP, f"{socket}: {found}", "see the sidecar's log")
    file = answer.configuration
    report.ok("sidecar", f"version {answer.version}, configuration: {file or 'the environment alone'}")
    if configuration is not None and file and Path(file).resolve() != configuration.resolve():
        report.warn("configuration", f"the sidecar has not read {configuration}, but {file}")
    for finding in answer.findings:
        report.found(finding)
    return Sidecar(socket, answer.sidecar_id, frozenset(finding.step for finding in answer.findings))

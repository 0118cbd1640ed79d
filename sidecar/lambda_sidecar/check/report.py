"""The report of a check: one line for each finding, as soon as it is there.

Knows findings and lines; not what is looked at."""

from __future__ import annotations

from collections.abc import Callable

from lambda_sidecar.calls.finding import Finding, Findings, Verdict

Say = Callable[[str], None]
"""Prints a line."""

_BEGIN = {Verdict.OK: "ok   ", Verdict.WARNING: "WARN ", Verdict.FAILED: "FAIL ", Verdict.SKIPPED: "-    "}


class Report(Findings):
    """`failed` says whether anything is wrong."""

    def __init__(self, say: Say) -> None:
        super().__init__(self._add)
        self._say = say
        self.failed = False

    def _add(self, finding: Finding) -> None:
        self.failed = self.failed or finding.verdict is Verdict.FAILED
        after = f"; next: {finding.next}" if finding.next else ""
        self._say(f"{_BEGIN[finding.verdict]} {finding.step}: {finding.text}{after}")

"""What was found when something was looked at for an operator: a line each, with what to do about it.

Plain data; knows neither what is looked at nor who reads it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

# Everything that a sidecar looks at for one question; each part bounds itself by less (process/own_look.py).
TOTAL_SECONDS = 60.0


class Verdict(enum.IntEnum):
    """Numbers as in diagnosis.proto."""

    OK = 1
    WARNING = 2
    FAILED = 3
    SKIPPED = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for people. `next` says what to do about it; empty where there is nothing."""

    verdict: Verdict
    step: str
    text: str
    next: str = ""


class Findings:
    """Hands each finding on as soon as it is there."""

    def __init__(self, found: Callable[[Finding], None]) -> None:
        self.found = found

    def ok(self, step: str, text: str) -> None:
        self.found(Finding(Verdict.OK, step, text))

    def warn(self, step: str, text: str, next: str = "") -> None:
        self.found(Finding(Verdict.WARNING, step, text, next))

    def fail(self, step: str, text: str, next: str = "") -> None:
        self.found(Finding(Verdict.FAILED, step, text, next))

    def skip(self, step: str, text: str) -> None:
        self.found(Finding(Verdict.SKIPPED, step, text))

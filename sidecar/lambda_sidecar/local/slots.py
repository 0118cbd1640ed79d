"""Concurrency: how many invocations run, of one function and of all, and whether one more may.
Pure counting; knows nothing of workers or HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from lambda_sidecar.local.function import Function


class Slots:
    """Counts running invocations. on_free is called after each one that ends.

    The reasons are values of ThrottleReason in botocore's model ("Understanding Lambda function scaling").
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: Counter[str] = Counter()
        self._total = 0
        self.on_free: Callable[[], None] = lambda: None

    @property
    def full(self) -> bool:
        """Whether no function may run one more."""
        return self._total >= self._most

    def take(self, function: Function) -> str | None:
        """Takes a slot: None if it was had, else Lambda's reason for the refusal."""
        if function.concurrency is not None and self._running[function.name] >= function.concurrency:
            return "ReservedFunctionConcurrentInvocationLimitExceeded"
        if self.full:
            return "ConcurrentInvocationLimitExceeded"
        self._running[function.name] += 1
        self._total += 1
        return None

    def release(self, function: Function) -> None:
        """Gives a slot back."""
        self._running[function.name] -= 1
        self._total -= 1
        self.on_free()

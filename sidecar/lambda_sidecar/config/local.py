"""How the local Lambda runs: the table [local] of the configuration.

Checks its own values, but looks at no folder; knows nothing of how functions run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lambda_sidecar.access.arn_parts import REGION

_ACCOUNT = re.compile(r"[0-9]{12}")


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalLambdaSettings:
    """The table's presence turns the local Lambda on.

    functions: folder with one folder per function.
    port: TCP port on 127.0.0.1; 0 takes any free one.
    region, account_id: what ARNs and AWS_REGION say when the request's function name names none.
    concurrency: invocations running at once over all functions; beyond it RequestResponse gets 429 and an
        Event waits.
    event_retry_seconds: waits before an Event's second and third attempt (Lambda: one and two minutes,
        "How Lambda handles errors and retries with asynchronous invocation").
    idle_seconds: a worker unused for that long is stopped.
    recorded_invocations: how many invocations the record keeps, the newest.
    """

    functions: Path
    port: int = 0
    region: str = "us-east-1"
    account_id: str = "123456789012"
    concurrency: int = 100
    event_retry_seconds: tuple[float, ...] = (60.0, 120.0)
    idle_seconds: float = 300.0
    recorded_invocations: int = 10_000

    def __post_init__(self) -> None:
        """Raises ValueError for a value that cannot be meant."""
        wrong = None
        if not 0 <= self.port <= 65_535:
            wrong = f"port is {self.port}; it must be 0 to 65535"
        elif not re.fullmatch(REGION, self.region):
            wrong = f"region is {self.region!r}; it must look like us-east-1"
        elif not _ACCOUNT.fullmatch(self.account_id):
            wrong = f"account_id is {self.account_id!r}; it must be 12 digits"
        elif self.concurrency < 1:
            wrong = f"concurrency is {self.concurrency}; it must be 1 or more"
        elif any(seconds < 0 for seconds in self.event_retry_seconds):
            wrong = "event_retry_seconds holds a negative number"
        elif self.idle_seconds <= 0 or self.recorded_invocations < 1:
            wrong = "idle_seconds and recorded_invocations must be greater than 0"
        if wrong is not None:
            raise ValueError(f"local Lambda settings: {wrong}")

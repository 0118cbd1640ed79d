"""The settings of the local Lambda, validated once, and Lambda's own quotas, each with its source.
Knows neither files on disk nor processes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lambda_sidecar.local.errors import LocalLambdaError

# "Lambda quotas", https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_REQUEST_BYTES = 6_291_456  # RequestResponse: 6 MB for the request
MAX_RESPONSE_BYTES = 6_291_556  # what Lambda's own error text states: 100 bytes more than a request
MAX_EVENT_BYTES = 1_048_576  # Event: 1 MB (raised from 256 KB in October 2025)
MAX_CLIENT_CONTEXT_BYTES = 3_583  # "Invoke", https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
LOG_TAIL_BYTES = 4_096  # "Invoke": X-Amz-Log-Result holds the last 4 KB of the execution log
DEFAULT_TIMEOUT_SECONDS = 3.0  # "Configure Lambda function timeout"
MAX_TIMEOUT_SECONDS = 900.0  # "Lambda quotas": function timeout
DEFAULT_MEMORY_MB = 128  # "Configure Lambda function memory": 128 MB to 10,240 MB
MAX_MEMORY_MB = 10_240
INIT_SECONDS = 10.0  # "Lambda runtime environment lifecycle": the Init phase is limited to 10 seconds

_REGION = re.compile(r"(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d")
_ACCOUNT = re.compile(r"\d{12}")


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalLambdaSettings:
    """What a local Lambda is started with. Raises LocalLambdaError for a value that cannot be meant.

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
        wrong = None
        if not 0 <= self.port <= 65_535:
            wrong = f"port is {self.port}; it must be 0 to 65535"
        elif not _REGION.fullmatch(self.region):
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
            raise LocalLambdaError(f"local Lambda settings: {wrong}")

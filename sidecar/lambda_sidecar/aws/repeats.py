"""Attempts of a call that is safe to repeat, because of one name and payload one durable execution starts.

Pure; knows failures and time, nothing of requests. lambda_api.py has the rule for other calls."""

from __future__ import annotations

import random
import time

from lambda_sidecar.aws.answer import RETRYABLE
from lambda_sidecar.errors import (
    ApiError,
    ConnectionLost,
    EndpointUnreachable,
    InvokeFailure,
    NotAsLambdaDoes,
)

# So often at most, while the deadline allows it: with the pauses below some 25 s of an endpoint that is away.
ATTEMPTS = 10
# As long as nothing can have been started, one is not more patient than with other calls (lambda_api.py).
CERTAIN_ATTEMPTS = 3
# The pauses grow from twice PAUSE_SECONDS by factors of two, to PAUSE_MAX_SECONDS, less up to half of each.
PAUSE_SECONDS, PAUSE_MAX_SECONDS = 0.2, 5.0
# Errors with a status of 5xx that Lambda raises before it starts anything, and which the same request meets
# again (Lambda API reference, Invoke). Any other with these statuses, ServiceException too, leaves it open.
REFUSALS = frozenset(
    {
        "EC2AccessDeniedException",
        "EC2UnexpectedException",
        "ENILimitReachedException",
        "InvalidRuntimeException",
        "InvalidSecurityGroupIDException",
        "InvalidSubnetIDException",
        "InvalidZipFileException",
        "KMSAccessDeniedException",
        "KMSDisabledException",
        "KMSInvalidStateException",
        "KMSNotFoundException",
        "SubnetIPAddressLimitReachedException",
    }
)
_OPEN_STATUSES = (500, 502, 503, 504)


def leaves_open(failure: InvokeFailure) -> bool:
    """Whether the request may have been carried out all the same."""
    if isinstance(failure, ApiError):
        return failure.status in _OPEN_STATUSES and failure.code not in RETRYABLE | REFUSALS
    return isinstance(failure, ConnectionLost | NotAsLambdaDoes)


class Repeats:
    """Of one call: whatever became of an attempt, the execution of its name is running then, or has its
    answer. What Lambda has throttled is no attempt."""

    def __init__(self, deadline: float) -> None:
        """`deadline` is on time.monotonic()'s clock."""
        self.in_doubt = False
        """Whether an attempt may have started the execution."""
        self._deadline = deadline
        self._attempts = 0

    def pause_after(self, failure: InvokeFailure) -> float:
        """Seconds until the next attempt. Raises `failure` where there is to be none."""
        self._attempts += 1
        is_open = leaves_open(failure)
        self.in_doubt |= is_open
        passes = isinstance(failure, EndpointUnreachable) or (
            isinstance(failure, ApiError) and failure.passes
        )
        pause = self._pause(failure)
        if (
            not (is_open or passes)
            or self._attempts >= (ATTEMPTS if self.in_doubt else CERTAIN_ATTEMPTS)
            or time.monotonic() + pause >= self._deadline
        ):
            raise failure
        return pause

    def last(self, failure: InvokeFailure) -> InvokeFailure:
        """The failure that ends the call, with a text that says so if the execution may be running. Lambda's
        word that the name is another payload's stays as it is."""
        if self.in_doubt and failure.code != "DurableExecutionAlreadyStartedException":
            return failure.may_be_repeated()
        return failure

    def _pause(self, failure: InvokeFailure) -> float:
        most = min(PAUSE_MAX_SECONDS, PAUSE_SECONDS * (1 << self._attempts))
        pause = random.uniform(0.5, 1.0) * most  # noqa: S311
        if isinstance(failure, ApiError) and failure.retry_after is not None:
            return max(pause, failure.retry_after)
        return pause

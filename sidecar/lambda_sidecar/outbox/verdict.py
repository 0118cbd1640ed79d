"""Accepted, again later, or dead: what an outcome means for a row.

Pure; knows failures, and no tables."""

from __future__ import annotations

import random
from dataclasses import dataclass

from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.errors import (
    ApiError,
    CallTimeout,
    ErrorKind,
    InvokeFailure,
    MissingCredentials,
    Overloaded,
    Throttled,
)

# Of outbox_waiting's and outbox_dead's column.
ERROR_MAX = 512
# Waits between attempts: exponential, with full jitter above a half.
BACKOFF_MIN, BACKOFF_MAX = 1.0, 600.0
# Until a row is tried again that was not sent for want of credentials, of a slot or of its function's pace.
UNSENT_SECONDS = 10.0
# Lambda API reference, Invoke: these will be the same tomorrow. Whoever puts it right redrives the row.
_FINAL = frozenset(
    {
        "ResourceNotFoundException",
        "InvalidRequestContentException",
        "InvalidParameterValueException",
        "RequestTooLargeException",
        "ValidationException",  # a name or a value that Lambda does not take ("Common Error Types")
        "UnsupportedMediaTypeException",
        "ResponseTooLarge",
        "DurableExecutionAlreadyStartedException",  # the name is another event's
    }
)
_FINAL_KINDS = (ErrorKind.INVALID, ErrorKind.DENIED)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Lambda has taken it, or has answered."""

    result: InvocationResult


@dataclass(frozen=True, slots=True)
class Later:
    """To be tried again `at` (seconds since 1970). `error` None: it has not been tried yet. `is_rows_alone`:
    the failure says nothing of other rows of the function."""

    at: float
    error: str | None
    is_rows_alone: bool = False


@dataclass(frozen=True, slots=True)
class Dead:
    """It is not tried any more."""

    error: str


EXPIRED = Dead("expired: expires_at has passed before Lambda accepted it")


@dataclass(frozen=True, slots=True)
class Parked:
    """It goes to outbox_waiting before it is sent: until a time, or for the row before it."""


Verdict = Accepted | Later | Dead | Parked


def is_attempt(failure: InvokeFailure) -> bool:
    """False: nothing was sent, and not for anything that the row is to blame for."""
    if isinstance(failure, Throttled | CallTimeout):
        return failure.was_sent
    return not isinstance(failure, Overloaded | MissingCredentials)


def judge(
    failure: InvokeFailure, attempts: int, max_attempts: int, now: float, *, keeps_result: bool = False
) -> Later | Dead:
    """`attempts` counts the one that has just failed, if is_attempt(); `now` is in seconds since 1970.
    `keeps_result`: the function has run by the time that an answer is bad, and would run again."""
    text = failure.text[:ERROR_MAX]
    if not is_attempt(failure):
        return Later(now + UNSENT_SECONDS * random.uniform(0.5, 1.0), text)  # noqa: S311
    if keeps_result and failure.code == "InvalidResponse":
        return Dead(text)
    if failure.kind in _FINAL_KINDS or failure.code in _FINAL:
        return Dead(text)
    if attempts >= max_attempts:
        return Dead(f"given up after {attempts} attempts: {text}"[:ERROR_MAX])
    seconds = min(BACKOFF_MAX, BACKOFF_MIN * 2 ** min(attempts - 1, 30)) * random.uniform(0.5, 1.0)  # noqa: S311
    if isinstance(failure, ApiError) and failure.retry_after is not None:
        seconds = max(seconds, min(failure.retry_after, BACKOFF_MAX))
    return Later(now + seconds, text, is_rows_alone=failure.kind is ErrorKind.CREDENTIALS)

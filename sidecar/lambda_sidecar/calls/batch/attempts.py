"""The invocations that one batch takes: one, and more where its function is at work still or Lambda failed.

Each is a call of its own, with a slot of its own; in between nothing is held. Knows no contract's fields."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import json
import random
import time
from collections.abc import Callable, Generator
from typing import Protocol

from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.aws.repeats import leaves_open
from lambda_sidecar.calls.batch import bigquery, redshift, snowflake
from lambda_sidecar.calls.batch.batch import Batch
from lambda_sidecar.calls.batch.reading import AskAgain, FunctionRefused
from lambda_sidecar.calls.call import Call
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.errors import BatchAnswerInvalid, CallTimeout, InvokeFailure, Throttled
from lambda_sidecar.text.safe_text import visible

# Seconds before the second attempt; each pause is twice as long as the one before, up to the most. Half of it
# is random, so that batches that failed together do not come back together.
PAUSE_FIRST, PAUSE_MOST = 0.1, 5.0
# X-Amz-Function-Error of a function that answered with an error by itself.
_HANDLED = "Handled"

NewCall = Callable[[bytes, int], Call]
"""A call with an event, and so many milliseconds for it."""


class Contract(enum.IntEnum):
    """Numbers as in the contract's enum BatchContract."""

    REDSHIFT = 1
    SNOWFLAKE = 2
    BIGQUERY = 3


class _Fields(Protocol):
    """What each contract's module has."""

    def event(self, batch: Batch, rows: bytes) -> Generator[None, None, bytes]: ...

    def answer(self, batch: Batch, payload: bytes) -> Generator[None, None, bytes]: ...


_FIELDS: dict[Contract, _Fields] = {
    Contract.REDSHIFT: redshift,
    Contract.SNOWFLAKE: snowflake,
    Contract.BIGQUERY: bigquery,
}


async def run(
    pipeline: Pipeline, contract: Contract, batch: Batch, rows: bytes, *, timeout_ms: int, new_call: NewCall
) -> tuple[InvocationResult | InvokeFailure, int]:
    """The batch's answer, and the microseconds that its calls waited for slots. The payload of an answer is
    the results, one for each row, separated by commas; for a function that failed it is an error document,
    as Lambda's are. `timeout_ms` is for all attempts together. A failure says so where an earlier attempt may
    have run the function, or has: its own words may say that nothing was sent."""
    fields = _FIELDS[contract]
    event = await pipeline.pace(fields.event(batch, rows), len(rows))
    ends, pause, waited_us = time.monotonic() + timeout_ms / 1000, PAUSE_FIRST, 0
    in_doubt = False
    while True:
        call = new_call(event, max(1, round((ends - time.monotonic()) * 1000)))
        answer = await pipeline.run(call, functools.partial(_read, pipeline, fields, batch, call))
        waited_us += call.queued_us
        ends = min(ends, call.deadline)
        if in_doubt and isinstance(answer, InvokeFailure) and not _says_itself(answer):
            answer = answer.perhaps_done()
        if answer is None:
            event, answer = snowflake.poll(batch), CallTimeout(timeout_ms)
            in_doubt = True
        elif not isinstance(answer, InvokeFailure) or not (
            batch.retry_service_errors and _may_be_repeated(answer)
        ):
            return answer, waited_us
        else:
            in_doubt |= leaves_open(answer)
        if time.monotonic() + pause >= ends:
            return answer, waited_us
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        pause = min(2 * pause, PAUSE_MOST)


def _may_be_repeated(failure: InvokeFailure) -> bool:
    """What Lambda has throttled was tried for as long as there is sense in it."""
    return failure.of_service and not isinstance(failure, Throttled)


def _says_itself(failure: InvokeFailure) -> bool:
    """Of a call whose time is over nobody takes it that nothing was sent."""
    return isinstance(failure, CallTimeout | BatchAnswerInvalid)


async def _read(
    pipeline: Pipeline, fields: _Fields, batch: Batch, call: Call, result: InvocationResult
) -> InvocationResult | None:
    """None: the function is to be asked again. Raises BatchAnswerInvalid."""
    if result.function_error:
        return result
    try:
        results = await pipeline.pace(fields.answer(batch, result.payload), len(result.payload))
    except AskAgain:
        return None
    except FunctionRefused as refused:
        call.result = _failed(result, refused)
        return call.result
    return dataclasses.replace(result, payload=results)


def _failed(result: InvocationResult, refused: FunctionRefused) -> InvocationResult:
    """As Lambda answers for a function that raised: so it counts, and is reported."""
    document = {"errorType": refused.what, "errorMessage": refused.words}
    sentence = ": ".join(part for part in (refused.what, refused.words) if part)
    return dataclasses.replace(
        result,
        function_error=_HANDLED,
        function_error_text=visible(sentence),
        payload=json.dumps(document, ensure_ascii=False).encode(errors="replace"),
    )

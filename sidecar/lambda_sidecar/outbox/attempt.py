"""One attempt to deliver a row: it becomes a call of the pipeline, and the call's outcome a verdict.

Knows rows and calls; nothing of tables or of who is next."""

from __future__ import annotations

import dataclasses
import time

from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.calls.call import Call
from lambda_sidecar.calls.lambda_invoke import Options
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.concurrency.slots import Share
from lambda_sidecar.errors import InvokeFailure
from lambda_sidecar.outbox.row import Row, event, event_id
from lambda_sidecar.outbox.verdict import Accepted, Dead, Later, is_attempt, judge

# Lambda accepts an event at once; a function runs for 15 minutes at most ("Lambda quotas").
EVENT_MS = 60_000
ANSWER_MS = 960_000


async def attempt(
    row: Row,
    pipeline: Pipeline,
    share: Share,
    calls: dict[int, Call],
    *,
    max_attempts: int,
) -> Accepted | Later | Dead:
    """Counts itself in `row.attempts`. `calls` has the call, by the row's id, as long as it is under way. Of
    a row whose time is over nothing is sent."""
    if row.wrong is not None:
        return Dead(row.wrong)
    if row.expires is not None and time.time() >= row.expires:
        return Dead("expired: expires_at has passed before Lambda accepted it")
    payload = row.payload or b""
    call = Call(
        row.account,
        row.function_name,
        event(row, payload),
        options=_options(row, payload),
        timeout_ms=EVENT_MS if row.call.invocation_type == "Event" else ANSWER_MS,
        share=share,
    )
    calls[row.id] = call
    try:
        outcome = await pipeline.run(call, _as_it_is)
    finally:
        del calls[row.id]
    if isinstance(outcome, InvokeFailure):
        row.attempts += is_attempt(outcome)
        return judge(outcome, row.attempts, max_attempts, time.time(), keeps_result=row.keep_result)
    row.attempts += 1
    # An answer that is not kept would only take memory until the row is settled.
    return Accepted(outcome if row.keep_result else dataclasses.replace(outcome, payload=b""))


def _options(row: Row, payload: bytes) -> Options:
    """`durable`: Lambda starts one execution of a name, however often it is asked for."""
    if not row.durable:
        return row.call
    return dataclasses.replace(row.call, durable_execution_name=event_id(row, payload))


async def _as_it_is(result: InvocationResult) -> InvocationResult:
    return result

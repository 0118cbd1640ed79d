"""One attempt to deliver a row: it becomes a call of the pipeline, and the call's outcome a verdict.

Knows rows and calls; nothing of tables or of who is next."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Iterator

from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.calls.call import SENT, Call
from lambda_sidecar.calls.lambda_invoke import Options
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.concurrency.slots import Share
from lambda_sidecar.errors import InvokeFailure
from lambda_sidecar.outbox.clock import ServerClock
from lambda_sidecar.outbox.row import Row, event, event_id
from lambda_sidecar.outbox.verdict import EXPIRED, Accepted, Dead, Later, is_attempt, judge

# Lambda accepts an event at once; a function runs for 15 minutes at most ("Lambda quotas").
EVENT_MS = 60_000
ANSWER_MS = 960_000


async def attempt(
    row: Row,
    pipeline: Pipeline,
    share: Share,
    calls: dict[int, Call],
    clock: ServerClock,
    *,
    max_attempts: int,
    lease: Callable[[], float],
) -> Accepted | Later | Dead:
    """Counts itself in `row.attempts`. `calls` has the call, by the row's id, as long as it is under way. Of
    a row whose time is over nothing is sent, nor if it ends while the call waits for a slot. Raises
    CancelledError if the `lease` (as Call has it) is over before the call is sent: nothing became of the row.
    """
    if row.wrong is not None:
        return Dead(row.wrong)
    if row.expires is not None and clock.now() >= row.expires:
        return EXPIRED
    payload = row.payload or b""
    call = Call(
        row.account,
        row.function_name,
        event(row, payload),
        options=_options(row, payload),
        timeout_ms=EVENT_MS if row.call.invocation_type == "Event" else ANSWER_MS,
        share=share,
        is_repeated=True,
        lease=lease,
    )
    calls[row.id] = call
    try:
        with _ended_when_expired(row, call, clock):
            outcome = await pipeline.run(call, _as_it_is)
    except _ExpiredUnsent:
        return EXPIRED
    finally:
        del calls[row.id]
    if isinstance(outcome, InvokeFailure):
        row.attempts += is_attempt(outcome)
        return judge(outcome, row.attempts, max_attempts, clock.now(), keeps_result=row.keep_result)
    row.attempts += 1
    # An answer that is not kept would only take memory until the row is settled.
    return Accepted(outcome if row.keep_result else dataclasses.replace(outcome, payload=b""))


class _ExpiredUnsent(Exception):
    """Nobody has seen the call but the sidecar."""


@contextlib.contextmanager
def _ended_when_expired(row: Row, call: Call, clock: ServerClock) -> Iterator[None]:
    """What was sent by then goes on to its end. Raises _ExpiredUnsent."""
    task = asyncio.current_task()
    if row.expires is None or task is None:
        yield
        return
    is_over = False

    def end() -> None:
        nonlocal is_over
        if call.phase is not SENT:
            is_over = True
            task.cancel()

    timer = asyncio.get_running_loop().call_later(max(0.0, row.expires - clock.now()), end)
    try:
        yield
    except asyncio.CancelledError:
        if is_over and task.uncancel() == 0:  # else somebody else has cancelled it too
            raise _ExpiredUnsent from None
        raise
    finally:
        timer.cancel()


def _options(row: Row, payload: bytes) -> Options:
    """`durable`: Lambda starts one execution of a name, however often it is asked for."""
    if not row.durable:
        return row.call
    return dataclasses.replace(row.call, durable_execution_name=event_id(row, payload))


async def _as_it_is(result: InvocationResult) -> InvocationResult:
    return result

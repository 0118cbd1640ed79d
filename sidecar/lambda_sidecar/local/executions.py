"""Durable executions by name: of one name and payload one runs, and whoever asks again gets to it.
In memory, for as long as the function keeps them; knows neither HTTP nor how functions run.

Source: "Idempotency", https://docs.aws.amazon.com/lambda/latest/dg/durable-execution-idempotency.html
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import time
import uuid

from lambda_sidecar.local import errors
from lambda_sidecar.local.invocation import Invocation, Outcome

# Of executions that have ended; the oldest go first, as if their time were over.
KEPT_MAX = 10_000
KEPT_MAX_BYTES = 64 * 1024 * 1024

_Key = tuple[str, str]  # the function's unqualified ARN, the execution's name


class Execution:
    """One of them. `outcome` raises ApiError where the execution could not run after all."""

    def __init__(self, key: _Key, arn: str, payload: bytes, retention_seconds: float) -> None:
        self.key = key
        self.arn = arn
        self.digest = hashlib.sha256(payload).digest()
        self.retention_seconds = retention_seconds
        self.ends = float("inf")
        """On time.monotonic()'s clock: when it is forgotten."""
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        # Nobody may wait for it, which is no reason to complain that nobody has looked.
        self.outcome.add_done_callback(lambda future: future.cancelled() or future.exception())


class Executions:
    """All of a local Lambda. Those that run are as many as may run and wait; the others have a bound."""

    def __init__(self) -> None:
        self._known: dict[_Key, Execution] = {}
        self._ended: dict[_Key, int] = {}  # the oldest first, with the bytes of their outcomes
        self._bytes = 0

    def find(self, invocation: Invocation, name: str) -> Execution | None:
        """The execution that runs under that name or has run; None if there is none, or none any more. Raises
        ApiError if it has another payload."""
        execution = self._known.get((invocation.target.unqualified_arn, name))
        if execution is None:
            return None
        if time.monotonic() >= execution.ends:
            self._forget(execution)
            return None
        if execution.digest != hashlib.sha256(invocation.event).digest():
            raise errors.already_started(name)
        return execution

    def begin(self, invocation: Invocation, name: str, retention_seconds: float) -> Execution:
        """A new one, which ends when the invocation does, and is remembered for so long from then on."""
        target = invocation.target
        key = (target.unqualified_arn, name)
        # botocore's model, DurableExecutionArn: a version's number, or $LATEST, which is what runs.
        version = target.qualifier if (target.qualifier or "").isdecimal() else "$LATEST"
        arn = f"{target.unqualified_arn}:{version}/durable-execution/{name}/{uuid.uuid4()}"
        execution = self._known[key] = Execution(key, arn, invocation.event, retention_seconds)
        invocation.on_end = functools.partial(self._end, execution)
        return execution

    def stop(self) -> None:
        """Forgets all. Whoever waits for one that has not ended gets ServiceException."""
        for execution in list(self._known.values()):
            if not execution.outcome.done():
                self._end(execution, None)
        self._known.clear()
        self._ended.clear()

    def _end(self, execution: Execution, outcome: Outcome | None) -> None:
        if execution.outcome.done():  # by stop()
            return
        if outcome is None:  # the next one may try
            self._forget(execution)
            execution.outcome.set_exception(errors.service_error("the durable execution could not run"))
            return
        execution.outcome.set_result(outcome)
        execution.ends = time.monotonic() + execution.retention_seconds
        size = self._ended[execution.key] = len(outcome.payload) + len(outcome.log)
        self._bytes += size
        while len(self._ended) > KEPT_MAX or self._bytes > KEPT_MAX_BYTES:
            self._forget(self._known[next(iter(self._ended))])

    def _forget(self, execution: Execution) -> None:
        del self._known[execution.key]
        self._bytes -= self._ended.pop(execution.key, 0)

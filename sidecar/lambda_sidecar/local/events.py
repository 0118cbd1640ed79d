"""Invocations of type Event: a bounded queue in front of the workers, and Lambda's two retries.
Nobody waits for them, so the log says how they fail. Knows nothing of HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from lambda_sidecar.local.errors import FunctionConfigError
from lambda_sidecar.local.function import Function
from lambda_sidecar.local.invocation import Invocation, Outcome, error_text
from lambda_sidecar.local.record import Record
from lambda_sidecar.local.slots import Slots
from lambda_sidecar.local.tasks import Tasks

_logger = logging.getLogger(__name__)
_MAX_EVENTS = 10_000
_MAX_BYTES = 256 * 1024 * 1024

Find = Callable[[str], Function | None]
Run = Callable[[Function, Invocation], Awaitable[Outcome]]


class Events:
    """Accepted events that wait for a slot, run, or wait for another attempt.

    Source: "How Lambda handles errors and retries with asynchronous invocation",
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    """

    def __init__(
        self, *, slots: Slots, find: Find, run: Run, record: Record, retry_seconds: tuple[float, ...]
    ) -> None:
        self._slots, self._find, self._run, self._record = slots, find, run, record
        self._retry_seconds = retry_seconds
        self._queues: dict[str, deque[Invocation]] = {}
        self._events = 0
        self._bytes = 0
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks = Tasks()

    def accept(self, invocation: Invocation) -> bool:
        """Puts an event into the queue; False if that is full."""
        if self._events >= _MAX_EVENTS or self._bytes + len(invocation.event) > _MAX_BYTES:
            return False
        self._events += 1
        self._bytes += len(invocation.event)
        self._queue(invocation)
        return True

    def pump(self) -> None:
        """Starts waiting events while there are slots. Call it whenever one becomes free."""
        for name in list(self._queues):
            if self._slots.full:
                return
            self._pump_one(name)

    async def stop(self) -> None:
        """Forgets the events that wait and ends those that run."""
        if self._events:
            _logger.warning("local Lambda: accepted events that are forgotten: %d", self._events)
        self._queues.clear()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        await self._tasks.cancel()

    def _queue(self, invocation: Invocation) -> None:
        self._record.add(invocation)
        self._queues.setdefault(invocation.target.name, deque()).append(invocation)
        self._pump_one(invocation.target.name)

    def _pump_one(self, name: str) -> None:
        queue = self._queues.get(name)
        while queue:
            try:
                function = self._function(name)
            except FunctionConfigError as error:
                self._ended(queue.popleft(), None, str(error))
                continue
            if self._slots.take(function) is not None:
                return
            self._tasks.start(self._attempt(function, queue.popleft()), name=f"event for {name}")
        self._queues.pop(name, None)

    def _function(self, name: str) -> Function:
        function = self._find(name)
        if function is None:
            raise FunctionConfigError("the function is not there any more")
        return function

    async def _attempt(self, function: Function, invocation: Invocation) -> None:
        failure: str | None = "it could not run"
        outcome = None
        try:
            outcome = await self._run(function, invocation)
            failure = error_text(outcome.payload) if outcome.function_error else None
        except Exception:
            _logger.exception("local Lambda: an event for %s could not run", function.name)
        finally:
            self._slots.release(function)
        self._ended(invocation, outcome, failure)

    def _ended(self, invocation: Invocation, outcome: Outcome | None, failure: str | None) -> None:
        invocation.finish("ok" if failure is None else "error")
        is_last = invocation.attempt > len(self._retry_seconds)
        if failure is not None:
            _logger.warning(
                "local Lambda: an event for %s has failed, %s (RequestId: %s): %s",
                invocation.target.name,
                f"attempt {invocation.attempt} of {len(self._retry_seconds) + 1}"
                + (
                    ", the last"
                    if is_last
                    else f", the next in {self._retry_seconds[invocation.attempt - 1]:g} s"
                ),
                invocation.request_id,
                failure,
            )
        if failure is None or is_last:
            self._events -= 1
            self._bytes -= len(invocation.event)
            invocation.end(outcome)
            return
        seconds = self._retry_seconds[invocation.attempt - 1]
        timer: asyncio.TimerHandle

        def retry() -> None:
            self._timers.discard(timer)
            self._queue(invocation.next_attempt())

        timer = asyncio.get_running_loop().call_later(seconds, retry)
        self._timers.add(timer)

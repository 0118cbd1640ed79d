"""Invoke and InvokeWithResponseStream of Lambda's API, as SDKs and the AWS CLI call them: from a request to
its answer. Knows when a request is refused. invoke_request.py and invoke_stream.py know what is on the wire;
fleet.py runs functions."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from lambda_sidecar.config.local import LocalLambdaSettings
from lambda_sidecar.local import errors
from lambda_sidecar.local.events import Events
from lambda_sidecar.local.executions import Execution, Executions
from lambda_sidecar.local.fleet import Fleet
from lambda_sidecar.local.function import Function
from lambda_sidecar.local.invocation import Invocation, Outcome
from lambda_sidecar.local.invoke_request import (
    INVOCATION_TYPES,
    PATH,
    STREAM_INVOCATION_TYPES,
    STREAM_PATH,
    answer,
    empty_answer,
    read_body,
    read_execution_name,
    read_invocation,
    read_target,
    read_type,
)
from lambda_sidecar.local.invoke_stream import stream_answer
from lambda_sidecar.local.parts import Parts
from lambda_sidecar.local.record import OpenRequests, Record
from lambda_sidecar.local.slots import Slots
from lambda_sidecar.local.sources import Functions
from lambda_sidecar.local.target import Target
from lambda_sidecar.local.tasks import Tasks

_logger = logging.getLogger(__name__)


class InvokeApi:
    """Serves POST /2015-03-31/functions/{FunctionName}/invocations, and
    POST /2021-11-15/functions/{FunctionName}/response-streaming-invocations."""

    def __init__(
        self,
        settings: LocalLambdaSettings,
        *,
        functions: Functions,
        fleet: Fleet,
        slots: Slots,
        events: Events,
        record: Record,
        requests: OpenRequests,
    ) -> None:
        self._settings = settings
        self._functions, self._fleet, self._slots = functions, fleet, slots
        self._events, self._record, self._requests = events, record, requests
        self._executions = Executions()
        self._running = Tasks()
        self._stopping = False

    def routes(self) -> list[web.RouteDef]:
        """One for each operation."""
        return [web.post(PATH, self._invoke), web.post(STREAM_PATH, self._invoke_stream)]

    async def stop(self) -> None:
        """Ends what runs; its requests are answered with ServiceException."""
        self._stopping = True
        await self._running.cancel()
        self._executions.stop()

    async def _invoke(self, request: web.Request) -> web.Response:
        with self._requests.one():
            function, invocation = await self._read(request, INVOCATION_TYPES)
            if invocation.invocation_type == "DryRun":
                return self._dry_run(invocation)
            execution, is_new = self._execution(function, invocation, read_execution_name(request))
            if invocation.invocation_type == "Event":
                if is_new:
                    self._accept(invocation)
                return empty_answer(202, invocation, execution)
            if execution is None or is_new:
                task = self._start(function, invocation)
                return answer(invocation, await self._outcome(task, invocation), execution)
            return answer(invocation, await asyncio.shield(execution.outcome), execution)

    async def _invoke_stream(self, request: web.Request) -> web.StreamResponse:
        with self._requests.one():
            function, invocation = await self._read(request, STREAM_INVOCATION_TYPES)
            if invocation.invocation_type == "DryRun":
                return self._dry_run(invocation)
            parts = invocation.parts = Parts()
            task = self._start(function, invocation)
            task.add_done_callback(lambda _: parts.end())
            try:
                return await stream_answer(
                    request, invocation, parts, lambda: self._outcome(task, invocation)
                )
            except (asyncio.CancelledError, ConnectionResetError):
                invocation.client_connected = False
                raise
            finally:
                parts.abandon()

    async def _read(self, request: web.Request, types: tuple[str, ...]) -> tuple[Function, Invocation]:
        """What is to run. Raises ApiError."""
        target = read_target(request, region=self._settings.region, account_id=self._settings.account_id)
        invocation_type = read_type(request, types)
        body = await read_body(request, is_event=invocation_type == "Event")
        if self._stopping:
            raise errors.service_error("the local Lambda is stopping")
        function = self._function(target)
        return function, read_invocation(request, target, invocation_type, body)

    def _dry_run(self, invocation: Invocation) -> web.Response:
        self._record.add(invocation)
        invocation.finish("dry_run")
        return empty_answer(204, invocation)

    def _execution(
        self, function: Function, invocation: Invocation, name: str
    ) -> tuple[Execution | None, bool]:
        """The execution of that name, if there is a name; and whether the invocation has to run. Raises
        ApiError."""
        if not name:
            return None, True
        execution = self._executions.find(invocation, name)
        if execution is not None:
            return execution, False
        return self._executions.begin(invocation, name, function.durable_retention_seconds), True

    def _accept(self, invocation: Invocation) -> None:
        """Raises ApiError where no more events can wait."""
        if not self._events.accept(invocation):
            invocation.end(None)
            raise errors.throttled("FunctionInvocationRateLimitExceeded")

    def _function(self, target: Target) -> Function:
        try:
            function = self._functions.find(target.name)
        except errors.FunctionConfigError as error:
            _logger.warning("local Lambda: %s", error)
            raise errors.broken_function(error) from error
        if function is None:
            _logger.warning("local Lambda: %s", self._functions.why_none(target.name))
            raise errors.not_found(target.arn)
        return function

    def _start(self, function: Function, invocation: Invocation) -> asyncio.Task[Outcome]:
        """Raises ApiError where no more may run."""
        self._record.add(invocation)
        reason = self._slots.take(function)
        if reason is not None:
            invocation.finish("throttled")
            invocation.end(None)
            raise errors.throttled(reason)
        # A task of its own: when the client hangs up, aiohttp cancels the handler, and as in Lambda the
        # invocation goes on.
        return self._running.start(
            self._run_in_slot(function, invocation), name=f"invocation of {function.name}"
        )

    async def _outcome(self, task: asyncio.Task[Outcome], invocation: Invocation) -> Outcome:
        """Raises ApiError where the invocation could not run."""
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            invocation.client_connected = False
            raise
        if task.cancelled():
            raise errors.service_error("the local Lambda is stopping")
        try:
            return task.result()
        except OSError as error:
            raise errors.service_error(f"cannot start a worker: {error.strerror}") from error

    async def _run_in_slot(self, function: Function, invocation: Invocation) -> Outcome:
        outcome = None
        try:
            outcome = await self._fleet.run(function, invocation)
        finally:
            invocation.finish("error" if outcome is None or outcome.function_error else "ok")
            invocation.end(outcome)
            self._slots.release(function)
        return outcome

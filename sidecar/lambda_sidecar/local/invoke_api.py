"""The Invoke operation of AWS Lambda's API, as SDKs and the AWS CLI call it: from a request to its answer.
Knows when a request is refused. invoke_request.py knows what is on the wire; fleet.py runs functions."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from lambda_sidecar.config.local import LocalLambdaSettings
from lambda_sidecar.local import errors
from lambda_sidecar.local.events import Events
from lambda_sidecar.local.fleet import Fleet
from lambda_sidecar.local.function import Function
from lambda_sidecar.local.invocation import Invocation, Outcome
from lambda_sidecar.local.invoke_request import (
    PATH,
    answer,
    empty_answer,
    read_body,
    read_invocation,
    read_target,
    read_type,
)
from lambda_sidecar.local.record import OpenRequests, Record
from lambda_sidecar.local.slots import Slots
from lambda_sidecar.local.sources import Functions
from lambda_sidecar.local.target import Target
from lambda_sidecar.local.tasks import Tasks

_logger = logging.getLogger(__name__)


class InvokeApi:
    """Serves POST /2015-03-31/functions/{FunctionName}/invocations."""

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
        self._running = Tasks()
        self._stopping = False

    def routes(self) -> list[web.RouteDef]:
        """The one route."""
        return [web.post(PATH, self._invoke)]

    async def stop(self) -> None:
        """Ends what runs; its requests are answered with ServiceException."""
        self._stopping = True
        await self._running.cancel()

    async def _invoke(self, request: web.Request) -> web.Response:
        with self._requests.one():
            target = read_target(request, region=self._settings.region, account_id=self._settings.account_id)
            invocation_type = read_type(request)
            body = await read_body(request, is_event=invocation_type == "Event")
            if self._stopping:
                raise errors.service_error("the local Lambda is stopping")
            function = self._function(target)
            invocation = read_invocation(request, target, invocation_type, body)
            if invocation_type == "DryRun":
                self._record.add(invocation)
                invocation.finish("dry_run")
                return empty_answer(204, invocation)
            if invocation_type == "Event":
                if not self._events.accept(invocation):
                    raise errors.throttled("FunctionInvocationRateLimitExceeded")
                return empty_answer(202, invocation)
            return answer(invocation, await self._run(function, invocation))

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

    async def _run(self, function: Function, invocation: Invocation) -> Outcome:
        self._record.add(invocation)
        reason = self._slots.take(function)
        if reason is not None:
            invocation.finish("throttled")
            raise errors.throttled(reason)
        # A task of its own: when the client hangs up, aiohttp cancels the handler, and as in Lambda the
        # invocation goes on.
        task = self._running.start(
            self._run_in_slot(function, invocation), name=f"invocation of {function.name}"
        )
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
            self._slots.release(function)
        return outcome

"""The Invoke operation of AWS Lambda's API, as SDKs and the AWS CLI call it.
Knows HTTP and Lambda's rules for requests; how an invocation runs is the fleet's.

Source: "Invoke", https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging

from aiohttp import web

from lambda_sidecar.local import errors
from lambda_sidecar.local.events import Events
from lambda_sidecar.local.fleet import Fleet
from lambda_sidecar.local.function import Function, FunctionFolder
from lambda_sidecar.local.function_name import Target, resolve
from lambda_sidecar.local.invocation import Invocation, Outcome
from lambda_sidecar.local.record import OpenRequests, Record
from lambda_sidecar.local.settings import (
    MAX_CLIENT_CONTEXT_BYTES,
    MAX_EVENT_BYTES,
    MAX_REQUEST_BYTES,
    LocalLambdaSettings,
)
from lambda_sidecar.local.slots import Slots
from lambda_sidecar.local.tasks import Tasks

_logger = logging.getLogger(__name__)


class InvokeApi:
    """Serves POST /2015-03-31/functions/{FunctionName}/invocations."""

    def __init__(
        self,
        settings: LocalLambdaSettings,
        *,
        functions: FunctionFolder,
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
        """The one route; aiohttp decodes the path after it has matched, so %2F stays inside the name."""
        return [web.post("/2015-03-31/functions/{name}/invocations", self._invoke)]

    async def stop(self) -> None:
        """Ends what runs; its requests are answered with ServiceException."""
        self._stopping = True
        await self._running.cancel()

    async def _invoke(self, request: web.Request) -> web.Response:
        with self._requests.one():
            target = resolve(
                request.match_info["name"],
                request.query.get("Qualifier") or None,
                region=self._settings.region,
                account_id=self._settings.account_id,
            )
            invocation_type = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
            if invocation_type not in ("RequestResponse", "Event", "DryRun"):
                raise errors.invalid_parameter(
                    "1 validation error detected: Value at 'invocationType' failed to satisfy constraint: "
                    "Member must satisfy enum value set: [Event, RequestResponse, DryRun]"
                )
            event = await _event(request, is_event=invocation_type == "Event")
            if self._stopping:
                raise errors.service_error("the local Lambda is stopping")
            function = self._function(target)
            invocation = Invocation(
                target=target,
                invocation_type=invocation_type,
                event=_checked(event),
                # "Lambda passes the ClientContext object to your function for synchronous invocations only."
                client_context=_client_context(request) if invocation_type == "RequestResponse" else None,
                wants_log=_wants_log(request),
            )
            if invocation_type == "DryRun":
                self._record.add(invocation)
                invocation.finish("dry_run")
                return _empty(204, invocation)
            if invocation_type == "Event":
                if not self._events.accept(invocation):
                    raise errors.throttled("FunctionInvocationRateLimitExceeded")
                return _empty(202, invocation)
            return _answer(invocation, await self._run(function, invocation))

    def _function(self, target: Target) -> Function:
        try:
            function = self._functions.find(target.name)
        except errors.FunctionConfigError as error:
            _logger.warning("local Lambda: %s", error)
            raise errors.broken_function(error) from error
        if function is None:
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


async def _event(request: web.Request, *, is_event: bool) -> bytes:
    """The request's body, never more of it than Lambda takes."""
    most = MAX_EVENT_BYTES if is_event else MAX_REQUEST_BYTES
    size = request.content_length or 0
    body = bytearray()
    if size <= most:
        try:
            async for chunk in request.content.iter_any():
                body += chunk
                size = len(body)
                if size > most:
                    break
        except web.RequestPayloadError as error:
            raise errors.invalid_content("The request's body ends early or is malformed.") from error
    if size <= most:
        return bytes(body)
    if is_event:
        raise errors.too_large(
            f"{size} byte payload is too large for the Event invocation type (limit {most} bytes)"
        )
    raise errors.too_large(f"Request must be smaller than {most} bytes for the InvokeFunction operation")


def _checked(event: bytes) -> bytes:
    """The event if it is JSON in UTF-8 as RFC 8259 has it; {} for an empty one. Values are not converted."""
    if not event:
        return b"{}"
    try:
        json.loads(event.decode(), parse_int=_nothing, parse_float=_nothing, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"{error.msg}: line {error.lineno} column {error.colno}"
    except UnicodeDecodeError as error:
        where = f"Invalid UTF-8 at byte {error.start}"
    except ValueError as error:
        where = str(error)
    except RecursionError:
        where = "Nested too deeply"
    else:
        return event
    raise errors.invalid_content(f"Could not parse request body into json: {where}")


def _nothing(_digits: str) -> None:
    return None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _client_context(request: web.Request) -> str | None:
    encoded = request.headers.get("X-Amz-Client-Context")
    if not encoded:
        return None
    if len(encoded) > MAX_CLIENT_CONTEXT_BYTES:
        raise errors.invalid_content(f"Client context must be no more than {MAX_CLIENT_CONTEXT_BYTES} bytes")
    try:
        # Written anew: in ASCII and on one line, it is a header of the Runtime API.
        return json.dumps(json.loads(base64.b64decode(encoded, validate=True)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise errors.invalid_content("Client context must be a valid Base64-encoded JSON object.") from error


def _wants_log(request: web.Request) -> bool:
    log_type = request.headers.get("X-Amz-Log-Type", "None")
    if log_type not in ("None", "Tail"):
        raise errors.invalid_parameter(
            "1 validation error detected: Value at 'logType' failed to satisfy constraint: "
            "Member must satisfy enum value set: [None, Tail]"
        )
    return log_type == "Tail"


def _empty(status: int, invocation: Invocation) -> web.Response:
    return web.Response(status=status, headers={"x-amzn-RequestId": invocation.request_id})


def _answer(invocation: Invocation, outcome: Outcome) -> web.Response:
    headers = {
        "x-amzn-RequestId": invocation.request_id,
        "X-Amzn-Trace-Id": invocation.trace_id,
        "X-Amz-Executed-Version": "$LATEST",
    }
    if outcome.function_error:
        headers["X-Amz-Function-Error"] = "Unhandled"
    if invocation.wants_log:
        headers["X-Amz-Log-Result"] = base64.b64encode(outcome.log).decode()
    return web.Response(body=outcome.payload, content_type="application/json", headers=headers)

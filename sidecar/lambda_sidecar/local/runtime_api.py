"""AWS's Runtime API (version 2018-06-01) for one worker, on a loopback port of its own.
Knows nothing of processes, timeouts or the Invoke API: it hands over one event at a time.

Source: "Using the Lambda runtime API for custom runtimes",
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from dataclasses import dataclass

from aiohttp import web

from lambda_sidecar.local.invocation import Invocation, error_document, too_large_document
from lambda_sidecar.local.peer import owner
from lambda_sidecar.local.quiet import quiet
from lambda_sidecar.quotas import RESPONSE_MAX
from lambda_sidecar.text.json_text import NestedTooDeeply, NotJson, NotUtf8, check_steps, utf8_steps
from lambda_sidecar.text.pacer import at_once

_logger = logging.getLogger(__name__)
_RUNTIME = "/2018-06-01/runtime/"
# awslambdaric sends an X-Ray cause of up to 1 MiB as a header with an error (lambda_runtime_client.py).
_MAX_HEADER_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """The runtime's answer to an event: the result, or an error document if is_error is set."""

    payload: bytes
    is_error: bool


class RuntimeApi:
    """The server of one worker. After start(), the worker's first GET …/invocation/next completes `ready`.

    ready: done while the runtime waits for an event; a new one from hand_over() on.
    init_error: the error document of POST …/init/error.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.init_error: asyncio.Future[bytes] = loop.create_future()
        self.address = ""
        self._loop = loop
        self._initialised = False
        self._next: asyncio.Future[tuple[Invocation, int]] | None = None
        self._current: tuple[str, asyncio.Future[Answer]] | None = None
        self._runner: web.ServerRunner | None = None
        self._ours: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    async def start(self) -> None:
        """Listens on a free port of 127.0.0.1. Raises OSError."""
        server = web.Server(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            logger=quiet,
            max_line_size=8_190,
            max_field_size=_MAX_HEADER_BYTES,
            auto_decompress=False,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"{host}:{port}"

    async def close(self) -> None:
        """Stops listening and drops the worker's connections."""
        if self._next is not None:
            self._next.cancel()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def waiting(self) -> bool:
        """Whether the runtime waits for an event now."""
        return self._next is not None and not self._next.done()

    def forget(self) -> None:
        """Ends the current invocation: an answer to it is refused from now on."""
        self._current = None

    def hand_over(self, invocation: Invocation, deadline: float) -> asyncio.Future[Answer]:
        """Gives the waiting runtime an event (deadline: Unix seconds); ends with the runtime's answer."""
        if self._next is None or self._next.done():  # see waiting
            raise RuntimeError("the runtime does not wait for an event")
        self.ready = self._loop.create_future()
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._current = (invocation.request_id, answer)
        self._next.set_result((invocation, int(deadline * 1000)))
        return answer

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        # A browser sends Origin, and another Host after DNS rebinding; a runtime sends neither.
        if request.headers.get("Host") != self.address or "Origin" in request.headers:
            return _refusal(403, "Forbidden", "only this worker's runtime may call")
        if not await self._is_ours(request.transport):
            return _refusal(
                403, "Forbidden", "only this worker's runtime may call, not another user of the machine"
            )
        operation = request.rel_url.raw_path.removeprefix(_RUNTIME)
        if request.method == "GET" and operation == "invocation/next":
            return await self._invocation_next()
        if request.method == "POST" and operation == "init/error":
            return await self._init_failed(request)
        match request.method, *operation.split("/"):
            case "POST", "invocation", request_id, "response":
                return await self._answered(request, request_id, is_error=False)
            case "POST", "invocation", request_id, "error":
                return await self._answered(request, request_id, is_error=True)
        return _refusal(404, "NotFound", "no such operation of the Runtime API")

    async def _is_ours(self, transport: asyncio.Transport | None) -> bool:
        """Whether a process of this user has made the connection: the port is open to everybody on the
        machine, and whoever asks first gets the event. Looked up once for each connection."""
        if transport is None:
            return False
        if transport not in self._ours:
            peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
            if peer is None or own is None or await asyncio.to_thread(owner, peer, own) != os.geteuid():
                return False
            self._ours.add(transport)
        return True

    async def _invocation_next(self) -> web.StreamResponse:
        if self._next is not None or (self._current is not None and not self._current[1].done()):
            return _refusal(403, "InvalidStateTransition", "the previous event has no answer yet")
        self._next = self._loop.create_future()
        self._initialised = True
        if not self.ready.done():
            self.ready.set_result(None)
        try:
            invocation, deadline = await self._next
        finally:  # also when the worker hangs up
            self._next = None
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(deadline),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.target.arn,
            "Lambda-Runtime-Trace-Id": invocation.trace_id,
        }
        if invocation.client_context is not None:
            headers["Lambda-Runtime-Client-Context"] = invocation.client_context
        return web.Response(body=invocation.event, content_type="application/json", headers=headers)

    async def _answered(self, request: web.BaseRequest, request_id: str, *, is_error: bool) -> web.Response:
        current = self._current
        if current is None or current[0] != request_id or current[1].done():
            return _refusal(400, "InvalidRequestID", "Invalid request ID")
        payload = await _read(request)
        answer = current[1]
        if self._current is not current or answer.done():  # it ran out of time while the answer arrived
            return _refusal(400, "InvalidRequestID", "Invalid request ID")
        if payload is None:
            answer.set_result(Answer(too_large_document(), is_error=True))
            return _refusal(
                413,
                "RequestEntityTooLarge",
                f"Exceeded maximum allowed payload size ({RESPONSE_MAX} bytes).",
            )
        answer.set_result(Answer(_error_payload(request, payload) if is_error else payload, is_error))
        return _accepted()

    async def _init_failed(self, request: web.BaseRequest) -> web.Response:
        payload = await _read(request)
        if self._initialised or self.init_error.done():
            return _refusal(403, "InvalidStateTransition", "the Init phase is over")
        self.init_error.set_result(_error_payload(request, payload or b""))
        return _accepted()


async def _read(request: web.BaseRequest) -> bytes | None:
    """The body, or None if it is above Lambda's quota (the rest of it is dropped)."""
    body = bytearray()
    too_large = False
    async for chunk in request.content.iter_any():
        if not too_large:
            body += chunk
            too_large = len(body) > RESPONSE_MAX
    return None if too_large else bytes(body)


def _error_payload(request: web.BaseRequest, payload: bytes) -> bytes:
    """The runtime's error document; one made from its error type header if it sent no JSON object."""
    try:
        at_once(utf8_steps(payload))
        at_once(check_steps(payload))
        if payload.lstrip().startswith(b"{"):
            return payload
    except (NotUtf8, NotJson, NestedTooDeeply):
        _logger.debug("a runtime reported an error without a JSON document")
    return error_document(request.headers.get("Lambda-Runtime-Function-Error-Type", "Runtime.Unknown"), "")


def _accepted() -> web.Response:
    return web.json_response({"status": "OK"}, status=202)


def _refusal(status: int, error_type: str, message: str) -> web.Response:
    return web.json_response({"errorType": error_type, "errorMessage": message}, status=status)

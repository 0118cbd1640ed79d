"""AWS's Runtime API (version 2018-06-01) for one worker, on a loopback port of its own.
Knows nothing of processes, timeouts or the Invoke API: it hands over one event at a time.

Source: "Using the Lambda runtime API for custom runtimes",
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import asyncio
import os
import weakref

from aiohttp import web

from lambda_sidecar.local.connections import Connections
from lambda_sidecar.local.invocation import Invocation
from lambda_sidecar.local.peer import owner
from lambda_sidecar.local.quiet import quiet
from lambda_sidecar.local.runtime_answer import (
    STREAMED_RESPONSE_MAX,
    Answer,
    cut_off,
    drop_rest,
    error_behind,
    error_payload,
    is_streaming,
    pass_on,
    read_whole,
    too_large,
)
from lambda_sidecar.quotas import RESPONSE_MAX

_RUNTIME = "/2018-06-01/runtime/"
# awslambdaric sends an X-Ray cause of up to 1 MiB as a header with an error (lambda_runtime_client.py).
_MAX_HEADER_BYTES = 2 * 1024 * 1024


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
        self._current: tuple[Invocation, asyncio.Future[Answer]] | None = None
        self._connections: Connections | None = None
        self._listener: asyncio.Server | None = None
        self._runner: web.ServerRunner | None = None
        self._ours: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    async def start(self) -> None:
        """Listens on a free port of 127.0.0.1. Raises OSError."""
        self._connections = Connections(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            logger=quiet,
            max_line_size=8_190,
            max_field_size=_MAX_HEADER_BYTES,
            auto_decompress=False,
        )
        self._runner = web.ServerRunner(self._connections.server, shutdown_timeout=0.1)
        await self._runner.setup()
        self._listener = await self._loop.create_server(self._connections.protocol, "127.0.0.1", 0)
        host, port = self._listener.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    async def close(self) -> None:
        """Stops listening and drops the worker's connections."""
        if self._next is not None:
            self._next.cancel()
        if self._listener is not None:
            self._listener.close()
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
        self._current = (invocation, answer)
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
        if current is None or current[0].request_id != request_id or current[1].done():
            return _refusal(400, "InvalidRequestID", "Invalid request ID")
        invocation, answer = current
        if invocation.parts is not None and invocation.parts.begun:
            return _refusal(403, "InvalidStateTransition", "the answer to this event has begun")
        streaming = is_streaming(request) and not is_error
        parts = invocation.parts if streaming else None
        read = False
        try:
            if parts is None:
                payload = await read_whole(request)
            else:
                payload = await pass_on(request, parts, lambda: self._current is current)
            read = True
        finally:
            if streaming and not read and not answer.done():
                answer.set_result(cut_off(request_id))
        if self._current is not current or answer.done():  # it ran out of time while the answer arrived
            return _refusal(400, "InvalidRequestID", "Invalid request ID")
        if payload is None:
            answer.set_result(too_large(in_parts=parts is not None))
            limit = RESPONSE_MAX if parts is None else STREAMED_RESPONSE_MAX
            message = f"Exceeded maximum allowed payload size ({limit} bytes)."
            await drop_rest(request)
            return _refusal(413, "RequestEntityTooLarge", message)
        failure = self._error_behind(request, in_parts=parts is not None) if streaming else None
        if is_error:
            failure = Answer(error_payload(request, payload), is_error)
        answer.set_result(failure or Answer(payload, is_error=False))
        return _accepted()

    def _error_behind(self, request: web.BaseRequest, *, in_parts: bool) -> Answer | None:
        trailers = self._connections.trailers(request) if self._connections is not None else {}
        return error_behind(trailers, in_parts=in_parts)

    async def _init_failed(self, request: web.BaseRequest) -> web.Response:
        payload = await read_whole(request)
        if self._initialised or self.init_error.done():
            return _refusal(403, "InvalidStateTransition", "the Init phase is over")
        self.init_error.set_result(error_payload(request, payload or b""))
        return _accepted()


def _accepted() -> web.Response:
    return web.json_response({"status": "OK"}, status=202)


def _refusal(status: int, error_type: str, message: str) -> web.Response:
    return web.json_response({"errorType": error_type, "errorMessage": message}, status=status)

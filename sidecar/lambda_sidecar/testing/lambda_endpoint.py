"""The kit's Lambda API and STS: HTTP in a thread of the test's process, for one sidecar and nobody else.

Knows HTTP; sessions.py decides who may call, and functions.py what is answered."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Self
from urllib.parse import parse_qsl

from aiohttp import web

from lambda_sidecar.local import errors
from lambda_sidecar.local.guard import answer_failures
from lambda_sidecar.local.invoke_request import (
    PATH,
    answer,
    empty_answer,
    read_body,
    read_invocation,
    read_target,
    read_type,
)
from lambda_sidecar.local.quiet import quiet
from lambda_sidecar.testing.function_name import ACCOUNT_ID, REGION
from lambda_sidecar.testing.functions import Functions
from lambda_sidecar.testing.handler_threads import HandlerThreads
from lambda_sidecar.testing.process import ServerError
from lambda_sidecar.testing.sessions import Sessions

# Handlers at once. One that itself calls a function through SQL needs a second thread.
_THREADS = 64
_START_SECONDS = 30


class LambdaEndpoint:
    """The HTTP server. `functions` may be replaced at any time: a call keeps those that it began with."""

    def __init__(self) -> None:
        self.functions = Functions()
        self.sessions = Sessions()
        self.port = 0
        self._hosts: tuple[str, ...] = ()
        self._started: Future[int] = Future()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="lambda-endpoint", daemon=True)
        self._handlers = HandlerThreads(_THREADS)

    def start(self, *hosts: str) -> Self:
        """Returns when it listens: on the first of these addresses that is this machine's, and on any free
        port. Raises ServerError."""
        self._hosts = hosts
        self._thread.start()
        try:
            self.port = self._started.result(_START_SECONDS)
        except OSError as error:
            raise ServerError(f"the kit cannot listen on {hosts[-1]}: {error.strerror}") from None
        return self

    def stop(self) -> None:
        """Closes every connection; a handler that still runs is left to itself. Safe to call twice."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
        self._handlers.stop()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application(middlewares=[answer_failures])
        application.add_routes([web.post(PATH, self._invoke), web.post("/", self._assume_role)])
        runner = web.AppRunner(
            application, access_log=None, logger=quiet, auto_decompress=False, shutdown_timeout=0.5
        )
        await runner.setup()
        try:
            await self._listen(runner)
            self._started.set_result(runner.addresses[0][1])
            await self._stop.wait()
        except OSError as error:
            self._started.set_exception(error)
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        for host in self._hosts:
            try:
                await web.TCPSite(runner, host, 0).start()
            except OSError:
                if host == self._hosts[-1]:
                    raise
            else:
                return

    async def _assume_role(self, request: web.Request) -> web.Response:
        self.sessions.known(request.headers)
        body = await read_body(request, is_event=True)
        session = self.sessions.verify(request.method, request.raw_path, request.headers, body)
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        if session is not self.sessions.sidecar or form.get("Action") != "AssumeRole":
            raise errors.forbidden("AccessDenied", "only AssumeRole is served here, and to the sidecar alone")
        return web.Response(body=self.sessions.assume(form), content_type="text/xml")

    async def _invoke(self, request: web.Request) -> web.Response:
        self.sessions.known(request.headers)
        target = read_target(request, region=REGION, account_id=ACCOUNT_ID)
        invocation_type = read_type(request)
        body = await read_body(request, is_event=invocation_type == "Event")
        session = self.sessions.verify(request.method, request.raw_path, request.headers, body)
        if session.account is None:
            raise errors.forbidden("AccessDeniedException", "no account: AssumeRole comes first")
        invocation = read_invocation(request, target, invocation_type, body)
        functions = self.functions
        call, handler = functions.receive(invocation, session.account)
        if invocation_type == "DryRun":
            functions.finish(call)
            return empty_answer(204, invocation)
        running = self._handlers.submit(functions.run, handler, invocation, call)
        if invocation_type == "Event":
            return empty_answer(202, invocation)
        return answer(invocation, await asyncio.wrap_future(running))

"""Starts and stops the local Lambda: an HTTP server on 127.0.0.1 in the running loop, the workers behind it.
Knows the parts and the order in which they start and stop; nothing of what they do."""

from __future__ import annotations

import asyncio
import errno
import logging
import os

from aiohttp import web

from lambda_sidecar.config.local import LocalLambdaSettings
from lambda_sidecar.local.errors import LocalLambdaError
from lambda_sidecar.local.events import Events
from lambda_sidecar.local.fleet import Fleet
from lambda_sidecar.local.guard import answer_failures, guard
from lambda_sidecar.local.invoke_api import InvokeApi
from lambda_sidecar.local.quiet import quiet
from lambda_sidecar.local.record import OpenRequests, Record
from lambda_sidecar.local.record_api import RecordApi
from lambda_sidecar.local.scratch import Scratch
from lambda_sidecar.local.slots import Slots
from lambda_sidecar.local.sources import Functions

_logger = logging.getLogger(__name__)


class LocalLambda:
    """A Lambda service on loopback. Its workers die with the thread that start() runs in."""

    def __init__(self, settings: LocalLambdaSettings) -> None:
        self._settings = settings
        self._scratch: Scratch | None = None
        self._fleet: Fleet | None = None
        self._events: Events | None = None
        self._invoke_api: InvokeApi | None = None
        self._runner: web.AppRunner | None = None
        self._endpoint: str | None = None

    @property
    def endpoint(self) -> str:
        """http://127.0.0.1:PORT, for AWS_ENDPOINT_URL_LAMBDA. Raises LocalLambdaError before start()."""
        if self._endpoint is None:
            raise LocalLambdaError("the local Lambda is not started")
        return self._endpoint

    async def start(self) -> None:
        """Checks every function and listens. Raises LocalLambdaError with a text that says what to change."""
        if self._runner is not None:
            raise LocalLambdaError("the local Lambda is started already")
        functions = Functions(self._settings)
        found = await asyncio.to_thread(functions.check)
        unserved = await asyncio.to_thread(functions.unserved)
        if not hasattr(os, "pidfd_open"):
            raise LocalLambdaError("the local Lambda needs Linux 5.3 or newer")
        try:
            await self._start(functions)
        except BaseException:
            await self.stop()
            raise
        _logger.info(
            "local Lambda: %d functions of %s on %s", len(found), self._settings.functions, self.endpoint
        )
        for sentence in unserved:
            _logger.warning("local Lambda: %s", sentence)

    async def stop(self) -> None:
        """Kills every worker, closes every connection, removes every file of its own. Safe to call twice."""
        self._endpoint = None
        for part in (self._events, self._invoke_api, self._fleet):
            if part is not None:
                await part.stop()
        self._events = self._invoke_api = self._fleet = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            await asyncio.to_thread(scratch.remove)

    async def _start(self, functions: Functions) -> None:
        settings = self._settings
        try:
            self._scratch = await asyncio.to_thread(Scratch)
        except OSError as error:
            raise LocalLambdaError(f"local Lambda: no temporary folder: {error}") from error
        self._fleet = Fleet(
            self._scratch.folder, most=settings.concurrency, idle_seconds=settings.idle_seconds
        )
        record, requests, slots = (
            Record(settings.recorded_invocations),
            OpenRequests(),
            Slots(settings.concurrency),
        )
        self._events = Events(
            slots=slots,
            find=functions.find,
            run=self._fleet.run,
            record=record,
            retry_seconds=settings.event_retry_seconds,
        )
        slots.on_free = self._events.pump
        self._invoke_api = InvokeApi(
            settings,
            functions=functions,
            fleet=self._fleet,
            slots=slots,
            events=self._events,
            record=record,
            requests=requests,
        )
        application = web.Application(middlewares=[answer_failures, guard])
        application.add_routes([*self._invoke_api.routes(), *RecordApi(record, requests).routes()])
        self._runner = web.AppRunner(
            application,
            access_log=None,
            logger=quiet,
            auto_decompress=False,
            handler_cancellation=True,
            shutdown_timeout=0.5,
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", settings.port).start()
        except OSError as error:
            why = (
                "is taken" if error.errno == errno.EADDRINUSE else f"cannot be listened on: {error.strerror}"
            )
            raise LocalLambdaError(f"local Lambda: port {settings.port} of 127.0.0.1 {why}") from error
        self._endpoint = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

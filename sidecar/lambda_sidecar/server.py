"""The sidecar as a process: socket, health, signals, and the order in which things start and stop.

Knows every part and what each needs; nothing of a single call."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import time
import typing
from collections.abc import Awaitable, Callable
from pathlib import Path

from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.calls.diagnosis import AwsParts, Diagnosis
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import make_policy
from lambda_sidecar.concurrency.slots import Concurrency
from lambda_sidecar.config.config import Config
from lambda_sidecar.contract.diagnosis import Diagnosis as DiagnosisService
from lambda_sidecar.contract.listener import Listener
from lambda_sidecar.contract.service import LambdaInvoker
from lambda_sidecar.process.closers import Closers, going_on
from lambda_sidecar.process.drain import LOOK_SECONDS, serve_on
from lambda_sidecar.process.memory import settle_memory
from lambda_sidecar.process.own_look import own_look
from lambda_sidecar.process.service_manager import ServiceManager
from lambda_sidecar.process.socket_file import SocketFile
from lambda_sidecar.process.socket_file import StartError as StartError
from lambda_sidecar.reload import Reload
from lambda_sidecar.tracing.start import start_spans
from lambda_sidecar.upstream import Upstream, start_upstream
from lambda_sidecar.version import version

if typing.TYPE_CHECKING:
    from lambda_sidecar.outbox.deliverer import Deliverer
    from lambda_sidecar.outbox.numbers import Numbers

log = logging.getLogger(__name__)

# What closing everything may take beyond drain_seconds, before systemd loses patience.
CLOSE_SECONDS = 10.0
# What a sidecar that has been replaced takes to see it and to give the port of /metrics up; much more.
PORT_SECONDS = 5.0


class Server:
    """startup → main_loop → shutdown. `shutdown` undoes whatever `startup` got done."""

    def __init__(self, config: Config, load: Callable[[], Config], source: Path | None = None) -> None:
        """`load` reads the configuration again, for SIGHUP; `source` is the file that it reads, if any."""
        self._config = config
        self._load = load
        self._source = source
        self._reload: Reload | None = None
        self._reload_wanted = False
        self._stop = asyncio.Event()
        self._socket = SocketFile(config.socket)
        self._resources, self._metrics = Closers(), Closers()
        self._service: LambdaInvoker | None = None
        self._listener: Listener | None = None
        self._deliverer: Deliverer | None = None
        self._manager = ServiceManager()

    async def serve(self) -> None:
        """Runs until SIGTERM or SIGINT. Raises StartError, and ConfigError for what is wrong in the AWS
        configuration."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        try:
            await self.startup()
            await self.main_loop()
        finally:
            await self.shutdown()

    async def startup(self) -> None:
        config = self._config
        self._resources.add("the watchdog's timer", self._manager.close)
        self._resources.add("the socket's file", self._socket.close)
        await self._socket.claim()
        aws = AwsConfiguration()
        policy = make_policy(config, aws)
        region = policy.defaults.region
        upstream = await start_upstream(config, aws, region, self._resources)
        log.info("lambda-sidecar %s, configuration: %s", version(), self._source or "the environment alone")
        log.info("region: %s", region or "none; functions must be named by ARNs that have one")
        rules = (len(config.allow or ()), len(config.role_rules or ()))
        log.info("access: %d allow entries, %d role_rules entries", *rules)
        concurrency = Concurrency(config.max_concurrency, config.max_concurrency_per_function)
        concurrency.throttles.stopped_seconds = config.throttled_seconds
        pipeline = Pipeline(
            upstream.invoker.invoke, upstream.credentials, policy, concurrency, upstream.durable.ask
        )
        self._trace(pipeline)
        self._service = LambdaInvoker(pipeline)
        start_metrics = functools.partial(self._start_metrics, self._service, upstream)
        if not self._socket.is_successor:
            await start_metrics()
        await self._listen(self._service, upstream.aws_parts)
        if self._socket.is_successor:
            await _within(PORT_SECONDS, start_metrics)
        self._start_deliverer(pipeline)
        self._reload = Reload(
            config, self._load, aws=aws, pipeline=pipeline, invoker=upstream.invoker, sts=upstream.sts
        )
        self._manager.ready(f"serving on {config.socket}")
        if self._reload_wanted:
            self._hang_up()
        upstream.introduce(self._resources)
        settle_memory()

    def _trace(self, pipeline: Pipeline) -> None:
        pipeline.spans = spans = start_spans(os.environ)
        if spans is not None:
            self._resources.add("spans", spans.close)

    def _hang_up(self) -> None:
        """SIGHUP; while starting it is put off, while stopping it is too late."""
        self._reload_wanted = self._reload is None
        if self._reload is not None and not self._stop.is_set():
            self._manager.reloading()
            self._config = self._reload()
            self._manager.ready(f"serving on {self._config.socket}; {self._reload.outcome}")

    async def _start_metrics(self, service: LambdaInvoker, upstream: Upstream) -> None:
        settings = self._config.metrics
        if settings is None:
            return
        # Imported where it is wanted: a sidecar without /metrics does without the memory.
        from lambda_sidecar.monitoring.metrics import Sources, make_registry
        from lambda_sidecar.monitoring.metrics_listener import MetricsListener

        sources = Sources(
            service.pipeline,
            lambda: service.streams,
            upstream.invoker,
            upstream.roles,
            self._outbox_numbers,
        )
        listener = MetricsListener(settings, make_registry(sources))
        self._metrics.add("metrics", listener.stop)
        try:
            await listener.start()
        except OSError as error:
            await self._metrics.close()
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise StartError(f"metrics: cannot listen on {settings.listen}: {reason}") from None

    async def _listen(self, service: LambdaInvoker, parts: AwsParts | None) -> None:
        pipeline = service.pipeline
        diagnosis = Diagnosis(
            "the sidecar", lambda: pipeline.policy, has_roles=lambda: self._config.has_roles, parts=parts
        )
        look = own_look(self._config.socket, diagnosis, self._config.outbox)
        listener = Listener(
            service, DiagnosisService(service.sidecar_id, self._source, look), self._outbox_numbers
        )
        self._resources.add("the watch over health", listener.close)
        await listener.start(self._socket.bind)
        self._listener = listener
        self._socket.publish()
        log.info("listening on %s", self._config.socket)

    def _start_deliverer(self, pipeline: Pipeline) -> None:
        if self._config.outbox is None:
            return
        # Imported where it is wanted: it brings MySQL's connector with it.
        from lambda_sidecar.outbox.deliverer import Deliverer

        self._deliverer = Deliverer(self._config.outbox, pipeline, self._config.socket)
        self._deliverer.start()

    def _outbox_numbers(self) -> Numbers | None:
        return None if self._deliverer is None else self._deliverer.numbers()

    async def main_loop(self) -> None:
        await self._stop.wait()

    async def shutdown(self) -> None:
        """Ends what runs, then closes everything. Whatever fails is named in the log and keeps nothing up."""
        if self._listener is not None and self._service is not None:
            await self._end(self._service, self._listener)
        await self._metrics.close()
        await self._resources.close()

    async def _end(self, service: LambdaInvoker, listener: Listener) -> None:
        """Within drain_seconds: serves on as process/drain.py says, while a successor may start; then ends
        idle streams at once and lets running calls finish."""
        left = self._config.drain_seconds
        log.info("stopping; running calls have %g s", left)
        with going_on("systemd"):
            self._manager.stopping(f"stopping; running calls have {left:g} s", left + CLOSE_SECONDS)
        deliveries = None if self._deliverer is None else asyncio.create_task(self._deliverer.stop(left))
        with going_on("health"):  # before the lock: a successor that has it asks
            await listener.enter_shutdown()
        with going_on("the lock"):
            self._socket.release()
        with going_on("serving on"):
            left = await serve_on(service.pipeline.traffic, self._socket.is_taken_over, left)
        if self._socket.is_taken_over():
            log.info("a successor serves on %s", self._config.socket)
            await self._metrics.close()  # it waits for the port
        # First: whoever connects now would meet gRPC's end, which is CANCELLED and not UNAVAILABLE.
        with going_on("the socket"):
            self._socket.remove()
        with going_on("running calls"):
            await service.drain(left)
        if deliveries is not None:
            with going_on("the outbox"):
                await deliveries
        with going_on("gRPC"):
            await listener.stop()
        with going_on("the socket"):  # again: a successor that was starting may have failed
            self._socket.remove()


async def _within(seconds: float, start: Callable[[], Awaitable[None]]) -> None:
    """Tries `start` for so long. It serves already: what does not start is named in the log, and left out."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            return await start()
        except StartError as error:
            if time.monotonic() >= give_up:
                log.error("%s", error)  # noqa: TRY400
                return None
        await asyncio.sleep(LOOK_SECONDS)

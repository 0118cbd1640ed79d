"""The sidecar as a process: socket, health, signals, and the order in which things start and stop.

Knows every part and what each needs; nothing of a single call."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import gc
import logging
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from lambda_sidecar.aws import AwsConfiguration
from lambda_sidecar.concurrency import Concurrency
from lambda_sidecar.config import Config
from lambda_sidecar.credentials import ChainCredentials, CredentialSource, PlaceholderCredentials
from lambda_sidecar.invoker import RESPONSE_MAX, Invoker
from lambda_sidecar.local import LocalLambda
from lambda_sidecar.metrics_settings import MetricsSettings
from lambda_sidecar.monitor import Monitor
from lambda_sidecar.policy import make_policy
from lambda_sidecar.reload import Reload
from lambda_sidecar.role_credentials import RoleCredentials
from lambda_sidecar.service import LambdaInvoker
from lambda_sidecar.service_manager import ServiceManager
from lambda_sidecar.sts import Sts
from lambda_udf.v1 import invoker_pb2, invoker_pb2_grpc, monitor_pb2_grpc

log = logging.getLogger(__name__)

SOCKET_MODE = 0o660
# The largest payload and room for the rest of its message.
MESSAGE_MAX = RESPONSE_MAX + 65_536
# Some payloads of the largest size and their copies.
KEEP_FREED_BYTES = 64 * 1024 * 1024
# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# What closing everything may take beyond drain_seconds, before systemd loses patience.
CLOSE_SECONDS = 10.0
SERVICE_NAME = invoker_pb2.DESCRIPTOR.services_by_name["LambdaInvoker"].full_name


class StartError(Exception):
    """The sidecar cannot start; the text says why and what to do."""


class Server:
    """startup → main_loop → shutdown. `shutdown` undoes whatever `startup` got done."""

    def __init__(self, config: Config, load: Callable[[], Config]) -> None:
        """`load` reads the configuration again, for SIGHUP."""
        self._config = config
        self._load = load
        self._reload: Reload | None = None
        self._reload_wanted = False
        self._stop = asyncio.Event()
        self._resources = contextlib.AsyncExitStack()
        self._service: LambdaInvoker | None = None
        self._grpc: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()
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
        self._resources.enter_context(_only_one_on(config.socket))
        self._resources.callback(self._manager.close)
        aws = AwsConfiguration()
        policy = make_policy(config, aws)
        region = policy.defaults.region
        endpoint_url, credentials, sts = await self._start_credentials(aws, region)
        invoker = Invoker(
            aws,
            connect_timeout=config.connect_timeout_seconds,
            endpoint_url=endpoint_url,
            bare_names=config.bare_names,
        )
        self._resources.push_async_callback(invoker.close)
        if endpoint_url is None:
            await aws.try_out(region, roles=config.has_roles)
        concurrency = Concurrency(config.max_concurrency, config.max_concurrency_per_function)
        self._service = LambdaInvoker(invoker.invoke, credentials, policy, concurrency)
        if config.metrics is not None:
            await self._start_metrics(config.metrics, self._service, invoker, credentials)
        await self._listen(self._service)
        self._reload = Reload(config, self._load, aws=aws, service=self._service, invoker=invoker, sts=sts)
        self._manager.ready(f"serving on {config.socket}")
        if self._reload_wanted:
            self._hang_up()
        _settle_memory()

    def _hang_up(self) -> None:
        """SIGHUP; while starting it is put off, while stopping it is too late."""
        self._reload_wanted = self._reload is None
        if self._reload is not None and not self._stop.is_set():
            self._manager.reloading()
            self._config = self._reload()
            self._manager.ready(f"serving on {self._config.socket}; {self._reload.outcome}")

    async def _start_credentials(
        self, aws: AwsConfiguration, region: str | None
    ) -> tuple[str | None, CredentialSource, Sts | None]:
        """The endpoint that replaces every region's, and where credentials come from."""
        if self._config.local is not None:
            local = LocalLambda(self._config.local)
            self._resources.push_async_callback(local.stop)
            await local.start()
            log.info("local Lambda serves %s at %s", self._config.local.functions, local.endpoint)
            return local.endpoint, PlaceholderCredentials(), None
        base = ChainCredentials(aws.session)
        self._resources.push_async_callback(base.close)
        sts = Sts(aws, base, region)
        self._resources.push_async_callback(sts.close)
        roles = RoleCredentials(base, sts.assume)
        self._resources.push_async_callback(roles.close)
        return None, roles, sts

    async def _start_metrics(
        self, settings: MetricsSettings, service: LambdaInvoker, invoker: Invoker, source: CredentialSource
    ) -> None:
        # Imported where it is wanted: a sidecar without /metrics does without the memory.
        from lambda_sidecar.metrics import Sources, make_registry
        from lambda_sidecar.metrics_listener import MetricsListener

        roles = source if isinstance(source, RoleCredentials) else None
        listener = MetricsListener(settings, make_registry(Sources(service, invoker, roles)))
        self._resources.push_async_callback(listener.stop)
        try:
            await listener.start()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise StartError(f"metrics: cannot listen on {settings.listen}: {reason}") from None

    async def _listen(self, service: LambdaInvoker) -> None:
        server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", MESSAGE_MAX),
                ("grpc.max_send_message_length", MESSAGE_MAX),
                ("grpc.so_reuseport", 0),
            )
        )
        invoker_pb2_grpc.add_LambdaInvokerServicer_to_server(service, server)
        monitor_pb2_grpc.add_MonitorServicer_to_server(Monitor(service), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        _bind(server, self._config.socket)
        self._grpc = server
        await server.start()
        for name in ("", SERVICE_NAME):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("listening on %s", self._config.socket)

    async def main_loop(self) -> None:
        await self._stop.wait()

    async def shutdown(self) -> None:
        """Ends idle streams at once, lets running calls finish for drain_seconds, closes everything."""
        if self._grpc is not None and self._service is not None:
            seconds = self._config.drain_seconds
            log.info("stopping; running calls have %g s", seconds)
            self._manager.stopping(f"stopping; running calls have {seconds:g} s", seconds + CLOSE_SECONDS)
            # First: whoever connects now would meet gRPC's end, which is CANCELLED and not UNAVAILABLE.
            self._config.socket.unlink(missing_ok=True)
            await self._health.enter_graceful_shutdown()
            await self._service.drain(seconds)
            # Not with a grace period: gRPC would wait up to 20 s for each idle client to answer a ping,
            # and mysqld's threads read an idle channel only when they need it again.
            await self._grpc.stop(None)
        await self._resources.aclose()


def _settle_memory() -> None:
    """What is there now stays: the collector need not look at it again, between calls. And what large
    payloads took is kept for the next ones: a third of a 5 MB call went into new pages (bench/README.md)."""
    gc.collect()
    gc.freeze()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024)  # the most that glibc takes
        mallopt(M_TRIM_THRESHOLD, KEEP_FREED_BYTES)


def _bind(server: grpc.aio.Server, path: Path) -> None:
    """gRPC makes the socket's file itself, so its mode is decided by the umask: nobody may connect
    before it is right. A file left by a sidecar that was killed is replaced; the lock is ours."""
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        raise StartError(f"{path} exists and is not a socket: choose another path, or remove it")
    before = os.umask(0o777 & ~SOCKET_MODE)
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise StartError(f"cannot listen on {path}: {error}") from None
    finally:
        os.umask(before)


@contextlib.contextmanager
def _only_one_on(socket: Path) -> Iterator[None]:
    """A second sidecar on the same socket would take its file away from the first."""
    path = socket.with_name(socket.name + ".lock")
    try:
        file = path.open("a")
    except OSError as error:
        raise StartError(
            f"cannot write {path}: {error.strerror}; the socket's folder must be writable"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"another sidecar serves {socket}: stop it first") from None
        yield

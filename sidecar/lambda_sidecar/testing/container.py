"""The kit with Docker: MySQL and the sidecar as two containers that share the sockets' volumes.

Knows the images' folders and variables; kit.py has what a test can ask for. Docker Engine and the test have
to be on one machine: the sidecar reaches the test's process as host.docker.internal."""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import mysql.connector

from lambda_sidecar.testing.kit import sidecar_environment, sidecar_settings
from lambda_sidecar.testing.like_testcontainers import PORT, LikeTestcontainers
from lambda_sidecar.testing.process import ServerError
from lambda_sidecar.testing.sidecar import toml_text
from lambda_sidecar.version import version

try:
    from docker.errors import DockerException, NotFound
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.docker_client import DockerClient
    from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID
except ImportError as missing:
    raise ImportError(
        f"MySqlLambdaContainer needs testcontainers: pip install 'lambda-udf[testing]' ({missing})"
    ) from None

MYSQL_IMAGE = "lambda-udf/mysql:9.7"
_SIDECAR_IMAGE = "lambda-udf/sidecar"
# Dockerfile.mysql and Dockerfile.sidecar
_SOCKET_FOLDER = "/run/lambda-sidecar"
_MYSQL_SOCKET_FOLDER = "/run/mysqld"
_CONFIGURATION = "/etc/lambda-sidecar/sidecar.toml"
_OUTBOX = {
    "mysql_socket": f"{_MYSQL_SOCKET_FOLDER}/mysqld.sock",
    "password_file": "/etc/lambda-sidecar/outbox.password",
}
# What containers call this machine, on every platform (docker run --add-host, "host-gateway").
_HOST = "host.docker.internal"
# A fresh data directory on a busy machine.
_READY_SECONDS = 180.0


class MySqlLambdaContainer(LikeTestcontainers):
    """A context manager that starts two containers; they and their volumes are gone afterwards.

    mysql_image, sidecar_image   built from Dockerfile.mysql and Dockerfile.sidecar (docs/testing.md)
    mysqld_options               more options for mysqld, as on its command line
    settings                     more of the sidecar's configuration, as in its TOML file
    dbname                       a database that is there from the beginning
    dialect                      in get_connection_url(): mysql+DIALECT://
    reaper                       False: without testcontainers' reaper, whose image need not be there then.
                                 None: as TESTCONTAINERS_RYUK_DISABLED says
    """

    def __init__(
        self,
        mysql_image: str = MYSQL_IMAGE,
        sidecar_image: str | None = None,
        *,
        mysqld_options: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
        dbname: str = "test",
        dialect: str | None = None,
        reaper: bool | None = None,
    ) -> None:
        super().__init__(dbname, dialect)
        self._images = (mysql_image, sidecar_image or _sidecar_image())
        self._mysqld_options += mysqld_options
        self._settings = {**sidecar_settings(), **(settings or {})}
        self._password = secrets.token_hex(16)
        self._reaper = reaper
        self._resources = contextlib.ExitStack()
        self._sidecar: Any = None

    def start(self) -> Self:
        """Starts both containers. If that fails, leaves nothing running and raises ServerError."""
        try:
            with contextlib.ExitStack() as resources, _reaper_is(self._reaper):
                self._start(resources)
                self._resources = resources.pop_all()
        except DockerException as error:
            raise ServerError(f"the containers could not be started: {error}{_advice(error)}") from None
        return self

    def _start(self, resources: contextlib.ExitStack) -> None:
        docker = DockerClient().client
        resources.callback(docker.close)
        resources.callback(self._endpoint.stop)
        self._endpoint.start(*_addresses(docker))
        volumes = {}
        for folder in (_SOCKET_FOLDER, _MYSQL_SOCKET_FOLDER):
            # With the session's label, testcontainers' reaper removes it should this process be killed.
            volume = docker.volumes.create(labels={LABEL_SESSION_ID: SESSION_ID})
            resources.callback(volume.remove)
            volumes[volume.name] = folder
        self._sidecar = self._make_sidecar(volumes)
        resources.push(self._sidecar)
        self._sidecar.start()
        self._mysql = self._make_mysql(volumes)
        resources.push(self._mysql)
        self._mysql.start()
        self._wait_until_ready(self._sidecar)

    def _make_sidecar(self, volumes: Mapping[str, str]) -> Any:
        container = DockerContainer(self._images[1])
        for volume, folder in volumes.items():
            container.with_volume_mapping(volume, folder, "rw")
        settings = {**self._settings, "outbox": {**_OUTBOX, **self._settings.get("outbox", {})}}
        container.with_copy_into_container(toml_text(settings).encode(), _CONFIGURATION, 0o644)
        container.with_copy_into_container(self._password.encode(), _OUTBOX["password_file"], 0o644)
        container.with_envs(**sidecar_environment(self._endpoint, _HOST))
        return container.with_kwargs(extra_hosts={_HOST: "host-gateway"})

    def _make_mysql(self, volumes: Mapping[str, str]) -> Any:
        container: Any = DockerContainer(self._images[0])
        for volume, folder in volumes.items():
            container.with_volume_mapping(volume, folder, "rw")
        container.with_env("MYSQL_ROOT_PASSWORD", self._password)
        container.with_env("LAMBDA_OUTBOX_PASSWORD", self._password)
        container.with_env("MYSQL_DATABASE", self.dbname)
        # Nobody but this machine: docker-py takes (address, any port) where testcontainers' types say a port.
        container.ports[f"{PORT}/tcp"] = ("127.0.0.1", None)
        return self._changed(container)

    def _wait_until_ready(self, sidecar: Any) -> None:
        """Waits for a connection over TCP: the server that runs the image's init scripts has none, so that
        all is there then. Raises ServerError."""
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            for container in (sidecar, self._mysql):
                if container.get_wrapped_container().status == "exited":
                    raise ServerError(f"{container.image} ended at its start:\n{_log(container)}")
                container.reload()
            try:
                self.connect(connection_timeout=5).close()
            except mysql.connector.Error:
                if time.monotonic() > deadline:
                    raise ServerError(
                        f"{self._mysql.image} is not ready in time:\n{_log(self._mysql)}"
                    ) from None
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """Safe to call twice."""
        self._close_connection()
        self._resources.close()
        self._mysql = self._sidecar = None

    @contextlib.contextmanager
    def _stopped_sidecar(self) -> Iterator[None]:
        self._sidecar.get_wrapped_container().kill()
        try:
            yield
        finally:
            self._sidecar.get_wrapped_container().start()

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def socket(self) -> None:
        return None

    @property
    def password(self) -> str:
        return self._password


@contextlib.contextmanager
def _reaper_is(wanted: bool | None) -> Iterator[None]:
    """testcontainers asks its one configuration for all containers, whenever it starts one."""
    disabled = testcontainers_config.ryuk_disabled
    testcontainers_config.ryuk_disabled = disabled if wanted is None else not wanted
    try:
        yield
    finally:
        testcontainers_config.ryuk_disabled = disabled


def _advice(error: DockerException) -> str:
    """It is an image that people who have the other images do not expect to need."""
    reaper = testcontainers_config.ryuk_image.rpartition("/")[2].partition(":")[0]
    if reaper not in str(error):
        return ""
    return (
        "; that is testcontainers' reaper: MySqlLambdaContainer(reaper=False), "
        "or TESTCONTAINERS_RYUK_DISABLED=true, does without it"
    )


def _sidecar_image() -> str:
    """The image of this release's series: `make images` of any commit of 0.1 makes 0.1."""
    series, _, _ = version().rpartition(".")
    return f"{_SIDECAR_IMAGE}:{series}"


def _addresses(docker: Any) -> list[str]:
    """The addresses on which containers reach this machine, to be tried in turn: the bridge's, and all, for
    Docker Desktop, where the bridge is a virtual machine's. Signatures keep strangers out in either case."""
    try:
        networks = docker.networks.get("bridge").attrs["IPAM"]["Config"] or []
    except NotFound:
        networks = []
    # Older engines do not name the gateway; it is the subnet's first address then.
    gateways = [net.get("Gateway") or str(ipaddress.ip_network(net["Subnet"])[1]) for net in networks]
    return [*gateways[:1], "0.0.0.0"]  # noqa: S104


def _log(container: Any, lines: int = 25) -> str:
    text = b"".join(container.get_logs()).decode(errors="replace")
    return "\n".join(text.rstrip().splitlines()[-lines:])

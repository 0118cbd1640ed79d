"""Containers of our images: started by testcontainers, and what they leave is removed again.

Knows Docker and how the two containers fit together; asserts nothing of what is in the images."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import mysql.connector
from docker.models.containers import Container
from mysql.connector.abstracts import MySQLConnectionAbstract
from release_number import SERIES
from testcontainers.core.container import DockerContainer
from tests.support.checkout import FUNCTIONS, ROOT
from tests.support.stack import execute
from tests.support.waiting import wait_until

MYSQL_IMAGE = "lambda-udf/mysql:9.7"
SIDECAR_IMAGE = f"lambda-udf/sidecar:{SERIES}"
DEVELOPMENT_IMAGE = "lambda-udf/development:9.7"
MYSQL_BASE = "mysql:9.7"
SOCKETS = "/run/lambda-sidecar"
MYSQLD = "/run/mysqld"
SECRET = "/run/secrets/lambda-outbox"
DATA = "/var/lib/mysql"
INIT = "/docker-entrypoint-initdb.d"
CONFIG = "/etc/lambda-sidecar/sidecar.toml"
PASSWORD = "not-a-secret"
# On everything that tests make, so that what is left of a run can be found.
LABELS = {"lambda-udf.test": uuid.uuid4().hex}
# A first start initialises, runs the init scripts in a temporary server and starts again; CI is slow.
START_SECONDS = 120.0
_LOCAL_PORT = 9001
_ASK_RECORD = (
    "import urllib.request as u;"
    f"print(u.urlopen(u.Request('http://127.0.0.1:{_LOCAL_PORT}/_local/invocations?function=%s',"
    "headers={'Authorization': 'AWS4-HMAC-SHA256 test'})).read().decode())"
)


def why_no_engine() -> str:
    """Why containers cannot be run here; empty if they can."""
    try:
        done = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except FileNotFoundError:
        return "docker is not installed"
    return "" if done.returncode == 0 else "no Docker Engine answers"


def build_images() -> None:
    """`make images`: a matter of a second if they are there."""
    done = subprocess.run(
        [ROOT / "packaging/containers/build.sh"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def volume() -> Iterator[str]:
    """The name of a new volume."""
    with engine() as client:
        made = client.volumes.create(labels=LABELS)
        try:
            yield made.name
        finally:
            made.remove(force=True)


def leftovers(label: str) -> list[str]:
    """The names of containers, volumes and networks that have it."""
    filters = {"label": label}
    with engine() as client:
        found = [
            *client.containers.list(all=True, filters=filters),
            *client.volumes.list(filters=filters),
            *client.networks.list(filters=filters),
        ]
    return sorted(str(thing.name) for thing in found)


def container_of(started: DockerContainer) -> Container:
    """What Docker's own library makes of it, as it is now."""
    container = started.get_wrapped_container()
    container.reload()
    return container


def run_in(started: DockerContainer, *command: str, user: str = "") -> str:
    """A command in a container; its output. Fails if the command does."""
    done = container_of(started).exec_run(list(command), user=user)
    text: str = done.output.decode()
    assert done.exit_code == 0, text
    return text.strip()


def logs(started: DockerContainer) -> str:
    text: str = container_of(started).logs().decode()
    return text


def sidecar_container(sockets: str, directory: Path, *, mysqld: str | None = None) -> DockerContainer:
    """The sidecar with the functions of examples/, not started; `directory` gets its configuration. `mysqld` is the
    volume of mysqld's socket; None: the sidecar has no outbox to deliver."""
    config = directory / "sidecar.toml"
    shipped = (ROOT / "packaging/containers/local.toml").read_text()
    config.write_text(f'log_level = "debug"\n{shipped}port = {_LOCAL_PORT}\n')
    config.chmod(0o644)
    container = (
        DockerContainer(SIDECAR_IMAGE)
        .with_volume_mapping(sockets, SOCKETS, "rw")
        .with_volume_mapping(config, CONFIG)
        .with_volume_mapping(FUNCTIONS, "/functions")
        .with_kwargs(labels=LABELS, init=True)
    )
    if mysqld is None:
        return container
    secret = directory / "outbox.password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o644)
    return container.with_volume_mapping(mysqld, MYSQLD, "rw").with_volume_mapping(secret, SECRET)


def mysql_container(
    sockets: str,
    *,
    data: str | None = None,
    mysqld: str | None = None,
    image: str = MYSQL_IMAGE,
    **variables: str,
) -> DockerContainer:
    """MySQL, not started. `data` is a volume; None: one that goes with the container. `mysqld` is a volume for
    its socket."""
    container = (
        DockerContainer(image)
        .with_volume_mapping(sockets, SOCKETS, "rw")
        .with_exposed_ports(3306)
        .with_envs(**variables)
        .with_kwargs(labels=LABELS)
    )
    for name, folder in ((data, DATA), (mysqld, MYSQLD)):
        if name is not None:
            container.with_volume_mapping(name, folder, "rw")
    return container


def with_init_files(container: DockerContainer, directory: Path, files: Mapping[str, bytes]) -> None:
    """Mounts each file where MySQL's image looks for init scripts."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = directory / name
        path.write_bytes(content)
        path.chmod(0o755 if content.startswith(b"#!") else 0o644)
        container.with_volume_mapping(path, f"{INIT}/{name}")


def wait_for_mysql(container: DockerContainer) -> None:
    """Until it takes connections over TCP, which it does only when the init scripts are through."""

    def ready() -> bool:
        assert container_of(container).status == "running", logs(container)
        return _greets(port_of(container))

    wait_until(ready, seconds=START_SECONDS, what="MySQL in its container")


def port_of(container: DockerContainer) -> int:
    """The port on this host."""
    (published, *_) = container_of(container).ports["3306/tcp"]
    return int(published["HostPort"])


def _greets(port: int) -> bool:
    """MySQL speaks first; Docker's proxy connects in any case."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as peer:
        return bool(peer.recv(1))
    return False


def connect(container: DockerContainer, **options: Any) -> MySQLConnectionAbstract:
    """A client on this host: root, if `options` say nothing else."""
    defaults = {"user": "root", "password": PASSWORD, "charset": "utf8mb4", "autocommit": True}
    connection = mysql.connector.connect(host="127.0.0.1", port=port_of(container), **{**defaults, **options})
    assert isinstance(connection, MySQLConnectionAbstract)
    return connection


def query(container: DockerContainer, sql: str, **options: Any) -> list[Any]:
    """One statement in a session of its own; its rows."""
    with contextlib.closing(connect(container, **options)) as connection:
        return execute(connection, sql)


def calls(sidecar: DockerContainer, function: str) -> list[dict[str, Any]]:
    """What the local Lambda in the sidecar's container recorded of a function."""
    recorded: list[dict[str, Any]] = json.loads(run_in(sidecar, "python", "-c", _ASK_RECORD % function))
    return recorded


@dataclass
class Pair:
    """Two running containers that share the volumes of both sockets."""

    sockets: str
    mysqld: str
    data: str
    sidecar: DockerContainer
    mysql: DockerContainer

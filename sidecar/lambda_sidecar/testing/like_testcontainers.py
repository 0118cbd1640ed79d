"""What people know from testcontainers' MySqlContainer, for a kit whose MySQL is one of its containers.

Knows testcontainers' names and MySQL's container; nothing of the sidecar."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from lambda_sidecar.testing.kit import MySqlLambdaKit
from lambda_sidecar.testing.process import ServerError

PORT = 3306
_Path = str | PathLike[str]


class LikeTestcontainers(MySqlLambdaKit):
    """The `with_…` methods change MySQL's container, which is not started yet, and return the kit."""

    def __init__(self, dbname: str, dialect: str | None) -> None:
        super().__init__()
        self.dbname = dbname
        self._dialect = "mysql" if dialect is None else f"mysql+{dialect}"
        self._changes: list[Callable[[Any], Any]] = []
        self._mysqld_options: list[str] = []
        self._mysql: Any = None

    def get_connection_url(self) -> str:
        """mysql+DIALECT://root:PASSWORD@HOST:PORT/DBNAME, as SQLAlchemy takes it."""
        password = quote(self.password, safe="")
        return f"{self._dialect}://{self.user}:{password}@{self.host}:{self.port}/{self.dbname}"

    @property
    def port(self) -> int:
        """MySQL's TCP port on this machine."""
        return self.get_exposed_port(PORT)

    @property
    def username(self) -> str:
        """The same as `user`."""
        return self.user

    def get_container_host_ip(self) -> str:
        """The same as `host`."""
        return self.host

    def get_exposed_port(self, port: int) -> int:
        """The port on this machine of one of MySQL's container."""
        return int(self._started().get_exposed_port(port))

    def get_wrapped_container(self) -> Any:
        """Docker's own object of MySQL's container."""
        return self._started().get_wrapped_container()

    def get_logs(self) -> tuple[bytes, bytes]:
        """Standard output and standard error of MySQL's container."""
        output, errors = self._started().get_logs()
        return output, errors

    def exec(self, command: str | list[str]) -> Any:
        """Runs a command in MySQL's container: its exit_code and output."""
        return self._started().exec(command)

    def with_env(self, key: str, value: str) -> Self:
        """A variable of the official image, MYSQL_USER for example."""
        return self._change(lambda container: container.with_env(key, value))

    def with_envs(self, **variables: str) -> Self:
        """Several of them."""
        return self._change(lambda container: container.with_envs(**variables))

    def with_command(self, command: str | list[str]) -> Self:
        """More options for mysqld, such as `--sql-mode=ANSI`; a text is split as a shell does it."""
        self._mysqld_options += shlex.split(command) if isinstance(command, str) else command
        return self

    def with_name(self, name: str) -> Self:
        """The container's name."""
        return self._change(lambda container: container.with_name(name))

    def with_bind_ports(self, container: int, host: int) -> Self:
        """A fixed port on this machine's loopback in place of one that is free."""
        return self._change(lambda mysql: mysql.ports.update({f"{container}/tcp": ("127.0.0.1", host)}))

    def with_volume_mapping(self, host: _Path, container: str, mode: str = "ro") -> Self:
        """Mounts a file or a folder of this machine."""
        return self._change(lambda mysql: mysql.with_volume_mapping(str(host), container, mode))

    def with_network(self, network: Any) -> Self:
        """A network of testcontainers, in which other containers reach MySQL."""
        return self._change(lambda container: container.with_network(network))

    def with_network_aliases(self, *aliases: str) -> Self:
        """MySQL's names in that network."""
        return self._change(lambda container: container.with_network_aliases(*aliases))

    def with_init_files(self, files: Mapping[str, str | bytes | Path]) -> Self:
        """Init scripts by their names, .sql or .sh: each a text, or a file's path. They run in the order of
        their names, after the library's own 00-lambda-udf.sql, and may call functions."""
        for name, content in files.items():
            data = content.read_bytes() if isinstance(content, Path) else content
            self._copy(
                data.encode() if isinstance(data, str) else data, f"/docker-entrypoint-initdb.d/{name}"
            )
        return self

    def _copy(self, data: bytes, target: str) -> None:
        self._change(lambda container: container.with_copy_into_container(data, target, 0o644))

    def _change(self, change: Callable[[Any], Any]) -> Self:
        self._changes.append(change)
        return self

    def _changed(self, container: Any) -> Any:
        """Applies what was asked for, in that order."""
        for change in self._changes:
            change(container)
        return container.with_command(self._mysqld_options) if self._mysqld_options else container

    def _started(self) -> Any:
        if self._mysql is None:
            raise ServerError(f"{type(self).__name__} is not started: use it in a with statement")
        return self._mysql

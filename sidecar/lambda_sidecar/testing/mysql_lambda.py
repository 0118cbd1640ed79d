"""The kit without Docker: a private mysqld and a sidecar as processes of this machine.

Knows how they are started and joined; kit.py has what a test can ask for."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from lambda_sidecar.install import library_file
from lambda_sidecar.install.connection import execute
from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.testing.installed_mysql import mysql_home
from lambda_sidecar.testing.kit import MySqlLambdaKit, sidecar_environment, sidecar_settings
from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.process import ServerError
from lambda_sidecar.testing.stack import Stack

_START_ATTEMPTS = 3


class MySqlLambda(MySqlLambdaKit):
    """A context manager. All that it starts lives in one temporary folder, and is gone afterwards.

    mysqld_options   more options for mysqld, as on its command line
    settings         more of the sidecar's configuration, as in its TOML file: `allow`, `max_concurrency` …
    """

    def __init__(
        self, *, mysqld_options: Sequence[str] = (), settings: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self._options = tuple(mysqld_options)
        self._settings = {**sidecar_settings(), **(settings or {})}
        self._resources = contextlib.ExitStack()
        self._running: Stack | None = None

    def start(self) -> Self:
        """Starts both, or leaves nothing running and raises ServerError (NoMySqlError without a MySQL)."""
        with contextlib.ExitStack() as resources:
            # Short, for the sake of Unix sockets.
            folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="lambda-udf-")))
            home = mysql_home(folder / "mysql")
            try:
                library = library_file.find(None)
            except InstallError as error:
                raise ServerError(str(error)) from None
            resources.callback(self._endpoint.stop)
            self._endpoint.start("127.0.0.1")
            self._running = self._start_stack(folder, home, library)
            resources.callback(self._running.stop)
            self._open_socket(self._running)
            self._resources = resources.pop_all()
        return self

    def stop(self) -> None:
        """Safe to call twice."""
        self._close_connection()
        self._resources.close()
        self._running = None

    def _start_stack(self, folder: Path, home: Path, library: Path) -> Stack:
        for attempt in range(1, _START_ATTEMPTS + 1):
            stack = Stack(
                folder / f"{attempt}",
                home=home,
                library=library,
                aws=sidecar_environment(self._endpoint, "127.0.0.1"),
                settings=self._settings,
                options=self._options,
                port=free_port(),
                admin_host="%",
            )
            try:
                stack.start()
            except ServerError as error:
                # Between our look and mysqld's bind, somebody else may take a free port.
                if attempt == _START_ATTEMPTS or "port" not in str(error):
                    raise
            else:
                return stack
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _open_socket(self, stack: Stack) -> None:
        """root over the Unix socket gets the password too, so that one is right everywhere."""
        with contextlib.closing(stack.mysqld.connect()) as connection:
            execute(connection, f"ALTER USER root@localhost IDENTIFIED BY '{stack.password}'")
        stack.mysqld.password = stack.password

    @contextlib.contextmanager
    def _stopped_sidecar(self) -> Iterator[None]:
        self._stack.sidecar.kill()
        try:
            yield
        finally:
            self._stack.sidecar.start()

    @property
    def _stack(self) -> Stack:
        if self._running is None:
            raise ServerError("MySqlLambda is not started: use it in a with statement")
        return self._running

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def port(self) -> int:
        port = self._stack.port
        if port is None:
            raise AssertionError("unreachable: it was started with one")
        return port

    @property
    def socket(self) -> str:
        return str(self._stack.mysqld.socket)

    @property
    def password(self) -> str:
        return self._stack.password

"""A MySQL with the library and a sidecar, joined and private to one folder.

Knows the two servers' classes and how they are joined; must not know how calls travel between them."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import mysql.connector

from lambda_sidecar.install.connection import execute
from lambda_sidecar.install.installation import install_statements
from lambda_sidecar.outbox.schema import DELIVERY
from lambda_sidecar.testing.aws_environment import (
    ACCOUNT_ID,
    NO_AWS_FILES,
    REGION,
    endpoint_environment,
    names_alone,
    without_ours,
)
from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.process import ServerError
from lambda_sidecar.testing.sidecar import SidecarProcess

# [outbox]'s default for `user`.
_OUTBOX_ACCOUNT = "lambda_outbox@localhost"


class Stack:
    """mysqld and sidecar in one private folder. One of `functions`, `endpoint` and `aws` says where calls go.

    functions   folder with the local Lambda's functions
    endpoint    URL of a Lambda API that gets the calls instead, with the environment's AWS credentials
    aws         variables with the sidecar's AWS settings instead; it inherits none then, and no proxies
    settings    more of the sidecar's configuration; [outbox] is on without them
    options     more of mysqld's options
    port        TCP port of mysqld on 127.0.0.1, with a password in my.cnf; None: Unix socket only
    admin_host  host of the root account that TCP reaches
    local_port  TCP port of the local Lambda; None: the sidecar chooses one
    detached    outlives this process
    """

    def __init__(
        self,
        directory: Path,
        *,
        home: Path,
        library: Path,
        functions: Path | None = None,
        endpoint: str | None = None,
        aws: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        options: Sequence[str] = (),
        port: int | None = None,
        admin_host: str = "127.0.0.1",
        local_port: int | None = None,
        detached: bool = False,
    ) -> None:
        self.directory = directory.absolute()
        self.library = library
        self.port = port
        self.admin_host = admin_host
        self.my_cnf = self.directory / "my.cnf"
        config: dict[str, Any] = {
            "socket": str(self.directory / "sidecar.sock"),
            **(names_alone() if endpoint is not None else {"region": REGION, "account_id": ACCOUNT_ID}),
            **(settings or {}),
        }
        # On, with whatever `settings` say of it.
        config["outbox"] = {"mysql_socket": str(self.directory / "mysql.sock"), **config.get("outbox", {})}
        # AWS's settings and secrets do not belong in mysqld, nor in a sidecar that is all local.
        without_aws: dict[str, str | None] = {name: None for name in os.environ if name.startswith("AWS_")}
        environment: Mapping[str, str | None] = {**without_aws, **NO_AWS_FILES}
        if aws is not None:
            environment = {**without_aws, **without_ours(), **NO_AWS_FILES, **aws}
        elif endpoint is not None:
            environment = endpoint_environment(endpoint)
        elif functions is not None:
            config["local"] = {"functions": str(functions.absolute())}
            if local_port is not None:
                config["local"]["port"] = local_port
        self.sidecar = SidecarProcess(self.directory, config, environment=environment, detached=detached)
        self.mysqld = Mysqld(
            home,
            self.directory,
            library=library,
            port=port,
            options=options,
            environment={**without_aws, "LAMBDA_UDF_SOCKET": str(self.sidecar.socket)},
            detached=detached,
        )

    def start(self) -> list[str]:
        """Start those that do not run, and return a line for each. On failure leave neither running."""
        new = not self.directory.exists()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        try:
            return self._start()
        except BaseException:
            self.stop()
            if new:
                shutil.rmtree(self.directory)
            raise

    def _start(self) -> list[str]:
        missing = [
            server for server in (self.mysqld, self.sidecar) if not (server.attach() and server.answers())
        ]
        for server in missing:
            server.stop(10)  # alive, but deaf
        if self.port is not None:
            if self.mysqld in missing:
                _refuse_taken(self.port)
            self._write_my_cnf(self.port)
        for server in missing:
            server.launch()
        for server in missing:
            server.wait_until_ready()
        # Each time: an earlier start may have been cut off before this.
        self._install()
        self._make_outbox_account()
        self._open_tcp()
        return [f"{server.name} started (process {server.pid})" for server in missing]

    def _install(self) -> None:
        with contextlib.closing(self.mysqld.connect()) as connection:
            for statement in install_statements(connection):
                try:
                    execute(connection, statement)
                except mysql.connector.Error as error:
                    raise ServerError(f"install.sql failed: {error}") from None

    def _make_outbox_account(self) -> None:
        """For the sidecar alone: without a password, it is reached by the socket in our private folder."""
        with contextlib.closing(self.mysqld.connect()) as connection:
            execute(connection, f"CREATE USER IF NOT EXISTS {_OUTBOX_ACCOUNT}")
            for right in DELIVERY:
                execute(connection, f"GRANT {right} TO {_OUTBOX_ACCOUNT}")

    @property
    def password(self) -> str:
        """root's password over TCP."""
        return self.my_cnf.read_text().rpartition("password=")[2].strip()

    def _write_my_cnf(self, port: int) -> None:
        if self.my_cnf.exists():
            return
        lines = [
            "[client]",
            "host=127.0.0.1",
            f"port={port}",
            "user=root",
            f"password={secrets.token_hex(16)}",
        ]
        with open(os.open(self.my_cnf, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
            file.write("\n".join(lines) + "\n")

    def _open_tcp(self) -> None:
        """Makes the account for TCP. No name is resolved: root@localhost is the Unix socket's alone."""
        if self.port is None:
            return
        with contextlib.closing(self.mysqld.connect()) as connection:
            administrator = f"root@'{self.admin_host}'"
            execute(connection, f"CREATE USER IF NOT EXISTS {administrator}")
            execute(connection, f"ALTER USER {administrator} IDENTIFIED BY '{self.password}'")
            execute(connection, f"GRANT ALL ON *.* TO {administrator} WITH GRANT OPTION")

    def stop(self) -> None:
        """Stop both; mysqld first, so that no statement meets a missing sidecar."""
        self.mysqld.stop()
        self.sidecar.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as failure:
            raise ServerError(
                f"port {port} of 127.0.0.1 cannot be had ({failure.strerror}): "
                "end the program that holds it (`ss -ltnp` names it) and try again"
            ) from None

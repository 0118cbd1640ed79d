"""A private mysqld in one folder: data, socket, log and plugin_dir with the library in it.

Knows MySQL's options and readiness; must not know the sidecar or what the library's functions do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.testing import datadir
from lambda_sidecar.testing.process import ServerProcess, socket_path
from lambda_sidecar.testing.server import Server


class Mysqld(Server):
    """One server; `home` is a folder whose bin/ holds mysqld and its clients.

    directory    holds everything of this server; private (0700)
    library      copied to plugin_dir as lambda_udf.so at each start; None for no library
    port         TCP on 127.0.0.1; None: Unix socket only
    options      mysqld options, after ours, so that they win
    option_file  text of the option file that is read first (and with it what SET PERSIST left); None: none,
                 not even that
    environment  changes ours for mysqld (None removes); LAMBDA_UDF_PRELOAD loads sanitizers
    detached     outlives this process (and `attach` finds it again); otherwise it is killed with it
    """

    def __init__(
        self,
        home: Path,
        directory: Path,
        *,
        library: Path | None = None,
        port: int | None = None,
        options: Sequence[str] = (),
        environment: Mapping[str, str | None] | None = None,
        performance_schema: bool = False,
        option_file: str | None = None,
        detached: bool = False,
    ) -> None:
        directory = directory.absolute()
        super().__init__("mysqld", directory, directory / "mysqld.log", identity(directory))
        self.home = home
        self.library = library
        self.port = port
        self.options = tuple(options)
        self.environment = dict(environment or {})
        self.performance_schema = performance_schema
        self.option_file = option_file
        self.detached = detached
        self.password = ""  # root's over the Unix socket, if someone sets one
        self.socket = socket_path(self.directory / "mysql.sock")
        self.datadir = self.directory / "data"
        self.plugin_dir = self.directory / "plugin"
        self.files = self.directory / "files"

    def _spawn(self) -> ServerProcess:
        for folder in (self.directory, self.plugin_dir, self.files):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.library is not None:
            # By rename: another server may have the old file mapped.
            copy = self.plugin_dir / "lambda_udf.so.new"
            shutil.copyfile(self.library, copy)
            copy.chmod(0o755)
            copy.rename(self.plugin_dir / "lambda_udf.so")
        # MySQL's own components stay available (9.x loads one by itself at its first start).
        for component in self.home.glob("root/usr/lib/mysql/plugin/*.so"):
            link = self.plugin_dir / component.name
            if not link.is_symlink():
                link.symlink_to(component)
        # Left by a mysqld that was killed. A new one would believe the process number in them.
        for stale in ("mysql.sock", "mysql.sock.lock", "mysqld.pid"):
            (self.directory / stale).unlink(missing_ok=True)
        if not self.datadir.exists():
            datadir.create(self.home, self.datadir)
        if self.option_file is not None:
            self._option_file_path.write_text(self.option_file, encoding="utf-8")
        return ServerProcess.spawn(
            [str(self.home / "bin" / "mysqld"), *self.arguments()],
            log=self.log,
            environment=self.environment,
            dies_with_us=None if self.detached else signal.SIGKILL,
        )

    @property
    def _option_file_path(self) -> Path:
        return self.directory / "mysqld.cnf"

    def arguments(self) -> list[str]:
        """mysqld's command line; no option file of the machine is read."""
        options = "--no-defaults"
        if self.option_file is not None:
            options = f"--defaults-file={self._option_file_path}"
        network = ["--skip-networking"]
        if self.port is not None:
            network = ["--bind-address=127.0.0.1", f"--port={self.port}"]
        return [
            options,
            *self.identity,
            f"--socket={self.socket}",
            f"--pid-file={self.directory / 'mysqld.pid'}",
            f"--log-error={self.log}",
            f"--plugin-dir={self.plugin_dir}",
            f"--secure-file-priv={self.files}",
            *network,
            *datadir.as_root(),
            "--skip-name-resolve",
            "--loose-mysqlx=OFF",
            "--disable-log-bin",
            f"--performance-schema={'ON' if self.performance_schema else 'OFF'}",
            *datadir.STORAGE_OPTIONS,
            *self.options,
        ]

    def answers(self) -> bool:
        if not self.socket.exists():
            return False
        try:
            self.connect(connection_timeout=5).close()
        except mysql.connector.Error:
            return False
        return True

    def connect(self, **options: Any) -> MySQLConnectionAbstract:
        """A connection over the Unix socket as root, autocommit on; `options` are mysql.connector's."""
        defaults = {
            "unix_socket": str(self.socket),
            "user": "root",
            "password": self.password,
            "charset": "utf8mb4",
            "autocommit": True,
        }
        connection = mysql.connector.connect(**{**defaults, **options})
        if not isinstance(connection, MySQLConnectionAbstract):  # a pool's wrapper, if someone asks for one
            raise TypeError(f"connect() gave a {type(connection).__name__}")
        return connection

    def client(
        self, *arguments: str, input: str = "", program: str = "mysql", seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run the mysql CLI (or mysqldump, mysqladmin, mysqlslap, mysqlbinlog) as root over the Unix socket.

        Text is UTF-8; other bytes pass both ways as surrogateescape. The caller looks at returncode."""
        return subprocess.run(
            [
                str(self.home / "bin" / program),
                "--no-defaults",
                f"--socket={self.socket}",
                "--user=root",
                *arguments,
            ],
            input=input,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=seconds,
            check=False,
            env={**os.environ, "MYSQL_HISTFILE": os.devnull},
        )


def identity(directory: Path) -> tuple[str]:
    """The argument by which the server of a directory is known among all processes."""
    return (f"--datadir={directory.absolute() / 'data'}",)

"""A lambda-sidecar process in one folder: its configuration file, socket and log.

Knows the command line and the socket; must not know what the sidecar does with a call."""

from __future__ import annotations

import json
import signal
import socket
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lambda_sidecar.testing.process import ServerProcess, socket_path
from lambda_sidecar.testing.server import Server


class SidecarProcess(Server):
    """One sidecar.

    directory    gets sidecar.toml and sidecar.log; and sidecar.sock, if the configuration names no socket
    config       TOML text, or the same as a dictionary
    environment  changes ours for the sidecar (None removes a variable)
    detached     outlives this process (and `attach` finds it again); otherwise it gets SIGTERM with it
    python       the interpreter whose lambda_sidecar it is
    """

    def __init__(
        self,
        directory: Path,
        config: str | Mapping[str, Any],
        *,
        environment: Mapping[str, str | None] | None = None,
        detached: bool = False,
        python: Path = Path(sys.executable),
    ) -> None:
        directory = directory.absolute()
        super().__init__("lambda-sidecar", directory, directory / "sidecar.log", identity(directory))
        settings = tomllib.loads(config) if isinstance(config, str) else dict(config)
        self.socket = socket_path(Path(settings.get("socket", self.directory / "sidecar.sock")))
        self.config = {"socket": str(self.socket), **settings}
        self.environment = dict(environment or {})
        self.detached = detached
        self.python = python
        self.config_file = self.directory / "sidecar.toml"

    def _spawn(self) -> ServerProcess:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.config_file.write_text(toml_text(self.config), encoding="utf-8")
        return ServerProcess.spawn(
            [str(self.python), "-m", "lambda_sidecar.cli", *self.identity],
            log=self.log,
            environment=self.environment,
            dies_with_us=None if self.detached else signal.SIGTERM,
        )

    def answers(self) -> bool:
        """Whether the socket accepts a connection now."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket))
            except OSError:
                return False
        return True


def identity(directory: Path) -> tuple[str, str, str]:
    """The arguments by which the sidecar of a directory is known among all processes."""
    return ("serve", "--config", str(directory.absolute() / "sidecar.toml"))


def toml_text(table: Mapping[str, Any], prefix: str = "") -> str:
    """TOML of strings, numbers, booleans, lists of them, tables and lists of tables."""
    lines: list[str] = []
    tables: list[str] = []
    for key, value in table.items():
        name = prefix + json.dumps(key)
        if isinstance(value, Mapping):
            tables.append(f"\n[{name}]\n{toml_text(value, name + '.')}")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            tables += [f"\n[[{name}]]\n{toml_text(item, name + '.')}" for item in value]
        else:
            # JSON's scalars and lists are TOML's, but for a raw DEL; Path and others are refused.
            lines.append(
                f"{json.dumps(key)} = {json.dumps(value, ensure_ascii=False)}\n".replace("\x7f", "\\u007F")
            )
    return "".join(lines + tables)

"""An AWS on this machine: moto's server, for functions that call SES, SNS and their like.

Knows how it is started and asked; the local Lambda, which runs the functions, is not its business."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sys
import tomllib
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import boto3

from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.process import ServerProcess
from lambda_sidecar.testing.server import Server
from lambda_sidecar.testing.sidecar import toml_text

# Any will do: moto looks at none.
KEYS = {"AWS_ACCESS_KEY_ID": "placeholder", "AWS_SECRET_ACCESS_KEY": "placeholder"}


class AwsStandIn(Server):
    """moto's server; its log is in `directory`, its data are in its memory."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__("moto", directory, directory / "moto.log", ("-p", str(self.port)))

    def _spawn(self) -> ServerProcess:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ServerProcess.spawn(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", *self.identity],
            log=self.log,
            environment={},
            dies_with_us=signal.SIGTERM,
        )

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def client(self, service: str) -> Any:
        """A boto3 client in us-west-2, the region of Aurora's examples; close it."""
        return boto3.client(
            service,
            region_name="us-west-2",
            endpoint_url=self.url,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def mails(self) -> list[dict[str, Any]]:
        """The mails that SES has sent, by moto's own listing: source, destinations, subject, body."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self.url}/moto-api/data.json", timeout=10) as answer:
            mails: list[dict[str, Any]] = json.load(answer).get("ses", {}).get("Message", [])
        return mails


def copy_functions(source: Path, folder: Path, names: Iterable[str], *, endpoint_url: str) -> Path:
    """`folder` with these functions of `source`, which call `endpoint_url` for every service of AWS: workers
    of the local Lambda get AWS_* variables from function.toml alone."""
    for name in names:
        shutil.copytree(source / name, folder / name)
        settings = folder / name / "function.toml"
        table = tomllib.loads(settings.read_text()) if settings.exists() else {}
        table["environment"] = {**table.get("environment", {}), "AWS_ENDPOINT_URL": endpoint_url, **KEYS}
        settings.write_text(toml_text(table))
    return folder

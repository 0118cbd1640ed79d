"""The real parts that are measured: mysqld with the library, sidecar, nginx as Lambda, the hop's stub.

Knows how they are put together and what loads them; measures nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.cases import store
from bench.load import Load
from bench.upstream import Upstream
from examples.checkout import CHECKOUT, mysql_home

from lambda_sidecar.outbox.schema import DELIVERY
from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.process import ServerError, ServerProcess
from lambda_sidecar.testing.sidecar import SidecarProcess

BUILD = CHECKOUT / "build"
REGION = "us-east-1"
SESSIONS_MAX = 32
"""Of the contestants that are measured in turn; bigger crowds get a program of their own."""
CROWD_MAX = 1000


class Stub(SidecarProcess):
    """hop_stub.py, started as a sidecar is."""

    def _spawn(self) -> ServerProcess:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.config_file.write_text(f'socket = "{self.socket}"\nregion = "{REGION}"\n', encoding="utf-8")
        return ServerProcess.spawn(
            [sys.executable, "-m", "bench.hop_stub", *self.identity],
            log=self.log,
            environment={"PYTHONPATH": str(CHECKOUT)},
            dies_with_us=signal.SIGTERM,
        )


# MySQL's defaults, which the private servers of tests are below.
_OUTBOX_OPTIONS = ("--innodb-redo-log-capacity=100M", "--innodb-buffer-pool-size=128M")
_OUTBOX_ACCOUNT = "lambda_outbox@localhost"


class Rig:
    """Everything that runs during a measurement. Loads are started when they are first asked for."""

    def __init__(self, directory: Path, *, outbox: bool = False) -> None:
        """With `outbox` the sidecar delivers it; everything else is measured without."""
        self.directory = directory
        self._has_outbox = outbox
        self.upstream = Upstream(directory / "nginx")
        mysqld_socket = directory / "mysql/mysql.sock"
        self.sidecar = SidecarProcess(
            directory / "sidecar",
            _sidecar_settings() | ({"outbox": {"mysql_socket": str(mysqld_socket)}} if outbox else {}),
            environment=aws_variables(directory, self.upstream.url),
        )
        self.mysqld = Mysqld(
            mysql_home(),
            directory / "mysql",
            library=BUILD / "lambda_udf.so",
            performance_schema=True,  # as MySQL comes
            options=(f"--max-connections={CROWD_MAX + 100}", *(_OUTBOX_OPTIONS if outbox else ())),
            environment={
                **{name: None for name in os.environ if name.startswith("AWS_")},
                "LAMBDA_UDF_SOCKET": str(self.sidecar.socket),
            },
        )
        self._stub = Stub(directory / "stub", {"region": REGION})
        self._loads: dict[str, Load] = {}

    def start(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.upstream.start()
        self.sidecar.launch()
        self.mysqld.start()
        self.sidecar.wait_until_ready()
        install = (CHECKOUT / "udf" / "sql" / "install.sql").read_text(encoding="utf-8")
        scripts = [("install.sql", install), ("the payloads' table", store())]
        if self._has_outbox:
            grants = "".join(f"GRANT {right} TO {_OUTBOX_ACCOUNT};" for right in DELIVERY)
            scripts.append(("the delivery account", f"CREATE USER {_OUTBOX_ACCOUNT}; {grants}"))
        for name, script in scripts:
            done = self.mysqld.client(input=script)
            if done.returncode:
                raise ServerError(f"{name} failed: {done.stderr.strip()}")

    def stop(self) -> None:
        with contextlib.ExitStack() as stack:
            for server in (self.upstream, self.sidecar, self._stub, self.mysqld):
                stack.callback(server.stop)
            for load in self._loads.values():
                stack.callback(load.close)
            self._loads = {}

    def load(self, kind: str) -> Load:
        """The program that loads `sql`, `hop`, `boto3` or `aiobotocore`, with SESSIONS_MAX sessions."""
        if kind not in self._loads:
            if kind == "hop":
                self._stub.start()
            self._loads[kind] = self.new_load(kind, SESSIONS_MAX)
        return self._loads[kind]

    def new_load(self, kind: str, sessions: int) -> Load:
        """Another one, with as many sessions as wanted; close it."""
        if kind in ("sql", "hop"):
            where = self.mysqld.socket if kind == "sql" else self._stub.socket
            return Load(kind, [BUILD / "bench" / kind, where, str(sessions)])
        command = [sys.executable, "-m", "bench.caller", kind, self.upstream.url, str(sessions)]
        aws = {name: text for name, text in aws_variables(self.directory, self.upstream.url).items() if text}
        environment = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
        return Load(kind, command, environment={**environment, **aws, "PYTHONPATH": str(CHECKOUT)})

    def pids(self, kind: str) -> dict[str, int]:
        """The processes that work for a load of that kind, by the name they have in the results."""
        load = self.load(kind)
        if kind == "sql":
            return {
                "sidecar": self.sidecar.pid,
                "mysqld": self.mysqld.pid,
                "client": load.pid,
                "nginx": self.upstream.pid,
            }
        if kind == "hop":
            return {"sidecar": self._stub.pid, "client": load.pid}
        return {"client": load.pid, "nginx": self.upstream.pid}


def _sidecar_settings() -> dict[str, Any]:
    return {"region": REGION, "account_id": "123456789012"}


def aws_variables(directory: Path, url: str) -> dict[str, str | None]:
    """The AWS environment of everything that calls: this endpoint, keys that are none, no files."""
    return {
        **{name: None for name in os.environ if name.startswith("AWS_")},
        "AWS_ENDPOINT_URL_LAMBDA": url,
        "AWS_ACCESS_KEY_ID": "placeholder",
        "AWS_SECRET_ACCESS_KEY": "placeholder",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "HOME": str(directory),
    }


@contextlib.contextmanager
def running(*, outbox: bool = False) -> Iterator[Rig]:
    """A rig in a folder of its own; whatever happens, nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="lambda-udf-") as folder:
        rig = Rig(Path(folder) / "rig", outbox=outbox)
        try:
            rig.start()
            yield rig
        finally:
            rig.stop()

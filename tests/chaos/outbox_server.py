"""One server with an outbox and the sidecar that delivers it, both of which may be killed and started again.

Knows how the parts fit; asserts nothing but that the outbox empties."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.account import ACCOUNT_ID, REGION
from tests.support.checkout import ROOT
from tests.support.stack import Library, execute
from tests.support.waiting import wait_until

from lambda_sidecar.outbox.schema import DELIVERY
from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.sidecar import SidecarProcess

# The deliverer's account may do what delivery needs, and no more.
ACCOUNT = "lambda_outbox@localhost"
DELIVERER = ";".join(
    [f"CREATE USER IF NOT EXISTS {ACCOUNT}", *(f"GRANT {right} TO {ACCOUNT}" for right in DELIVERY)]
)
_numbers = itertools.count(1)


class OutboxServer:
    """mysqld with the schema, and a sidecar whose every process signs with another access key."""

    def __init__(
        self,
        mysql_home: Path,
        directory: Path,
        endpoint_url: str,
        *,
        options: Sequence[str] = (),
        port: int | None = None,
        **outbox: Any,
    ) -> None:
        settings = {"mysql_socket": str(directory / "mysql/mysql.sock"), "concurrency": 32, **outbox}
        self.sidecar = SidecarProcess(
            directory / "sidecar",
            {"region": REGION, "account_id": ACCOUNT_ID, "log_level": "info", "outbox": settings},
            environment={"AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL_LAMBDA": endpoint_url},
        )
        self.mysqld = Mysqld(
            mysql_home,
            directory / "mysql",
            library=Library.PLAIN.path,
            performance_schema=True,
            port=port,
            options=(
                "--max-allowed-packet=64M",
                "--innodb-print-all-deadlocks=ON",
                "--log-error-verbosity=3",
                *options,
            ),
            environment={"LAMBDA_UDF_SOCKET": str(self.sidecar.socket)},
        )

    def start_mysqld(self) -> None:
        """With the schema. What is installed is not in the binary log."""
        self.mysqld.start()
        done = self.mysqld.client(
            input=(ROOT / "udf/sql/install.sql").read_text() + f"SET SESSION sql_log_bin = 0;{DELIVERER};"
        )
        assert done.returncode == 0, done.stderr

    def start_sidecar(self) -> str:
        """The access key by which the endpoint knows this process."""
        key = f"SIDECAR{next(_numbers)}"
        self.sidecar.environment["AWS_ACCESS_KEY_ID"] = key
        self.sidecar.start()
        return key

    def __enter__(self) -> OutboxServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sidecar.stop()
        self.mysqld.stop()

    def connect(self, **options: Any) -> MySQLConnectionAbstract:
        return self.mysqld.connect(**options)

    def query(self, sql: str) -> list[Any]:
        """Runs one statement in a session of its own; its rows."""
        with contextlib.closing(self.connect()) as connection:
            return execute(connection, sql)

    def query_unlogged(self, sql: str) -> None:
        """The same without its place in the binary log: of this server alone."""
        with contextlib.closing(self.connect()) as connection:
            execute(connection, "SET SESSION sql_log_bin = 0")
            execute(connection, sql)

    def left(self) -> int:
        """Events that wait for their delivery."""
        ((rows, waiting),) = self.query(
            "SELECT (SELECT COUNT(*) FROM lambda_udf.outbox), (SELECT COUNT(*) FROM lambda_udf.outbox_waiting)"
        )
        return int(rows) + int(waiting)

    def wait_until_empty(self, seconds: float) -> None:
        """Until nothing waits, and nothing has died."""
        wait_until(lambda: self.left() == 0, seconds=seconds, what=f"an empty outbox, {self.left()} left")
        assert self.query("SELECT id, function_name, attempts, error FROM lambda_udf.outbox_dead") == []


@contextlib.contextmanager
def outbox_server(
    mysql_home: Path, directory: Path, endpoint_url: str, **outbox: Any
) -> Iterator[OutboxServer]:
    """Both run."""
    with OutboxServer(mysql_home, directory, endpoint_url, **outbox) as server:
        server.start_mysqld()
        server.start_sidecar()
        yield server

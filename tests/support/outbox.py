"""The outbox for tests: its tables on a private mysqld, a sidecar that delivers them, and a scripted Lambda.

Knows how the parts fit, and what rows are; asserts nothing."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.account import ACCOUNT_ID, REGION
from tests.support.checkout import ROOT
from tests.support.scripted_lambda import Arrival, ScriptedLambda, scripted_lambda
from tests.support.stack import Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

from lambda_sidecar.outbox.schema import DELIVERY
from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.sidecar import SidecarProcess

ACCOUNT_NAME = "lambda_outbox"
TABLES = ("outbox", "outbox_waiting", "outbox_dead", "outbox_results", "outbox_deduplication")
# The rights of the account that delivers: those that it needs and no others.
GRANTS = tuple(f"GRANT {right} TO '{ACCOUNT_NAME}'@'localhost'" for right in DELIVERY)


@dataclass(frozen=True)
class Outbox:
    """The running parts. `function`s are named as SQL names them, without their ARN."""

    stack: Stack
    endpoint: ScriptedLambda

    @property
    def mysqld(self) -> Mysqld:
        return self.stack.mysqld

    @property
    def sidecar(self) -> SidecarProcess:
        return self.stack.sidecar

    def connect(self, **options: Any) -> MySQLConnectionAbstract:
        return self.stack.connect(**options)

    def query(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        return self.stack.query(sql, parameters)

    def value(self, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
        return self.stack.value(sql, parameters)

    def send(self, function: str, payload: str = "{}", **options: Any) -> int:
        """Writes one event, in a transaction of its own, with a hint; its id."""
        with contextlib.closing(self.connect()) as connection:
            number = send(connection, function, payload, **options)
            execute(connection, "DO lambda_outbox_hint()")
        return number

    def count(self, table: str = "outbox") -> int:
        return int(self.value(f"SELECT COUNT(*) FROM lambda_udf.{table}"))

    def left(self) -> int:
        """Events that are neither accepted nor dead."""
        return self.count("outbox") + self.count("outbox_waiting")

    def wait_until_delivered(self, *, seconds: float = 20) -> None:
        """Until no event is left in the outbox, but for dead ones."""
        wait_until(lambda: self.left() == 0, seconds=seconds, what="the outbox is empty")

    def dead(self) -> list[tuple[int, str, int]]:
        """(id, error, attempts) of those that were given up."""
        return [
            (number, _text(error), attempts)
            for number, error, attempts in self.query(
                "SELECT id, error, attempts FROM lambda_udf.outbox_dead ORDER BY id"
            )
        ]

    def result(self, number: int) -> dict[str, Any] | None:
        """The function's answer to an event with keep_result, if it is there."""
        columns = "status_code, payload, function_error, executed_version, request_id, caller, function_name"
        rows = self.query(f"SELECT {columns} FROM lambda_udf.outbox_results WHERE outbox_id = %s", (number,))
        if not rows:
            return None
        return dict(zip(columns.split(", "), map(_text, rows[0]), strict=True))

    def hint(self) -> None:
        """There is something to look for, as lambda_udf.lambda_async says it."""
        self.query("DO lambda_outbox_hint()")

    def is_left(self, number: int) -> bool:
        """Whether the event is neither accepted nor dead."""
        tables = "SELECT id FROM lambda_udf.outbox UNION ALL SELECT id FROM lambda_udf.outbox_waiting"
        return bool(self.value(f"SELECT COUNT(*) FROM ({tables}) AS t WHERE id = %s", (number,)))

    def wait_for(self, *numbers: int, seconds: float = 20) -> None:
        """Until these events are accepted or dead."""
        wait_until(
            lambda: not any(map(self.is_left, numbers)), seconds=seconds, what=f"events {numbers} are over"
        )

    def wait_for_arrivals(self, function: str, count: int, *, seconds: float = 20) -> list[Arrival]:
        """Until so many have arrived there."""
        wait_until(
            lambda: len(self.endpoint.of(function)) >= count,
            seconds=seconds,
            what=f"{count} arrivals at {function}",
        )
        return self.endpoint.of(function)

    def clear(self) -> None:
        """No event is left; none of those before may arrive any more."""
        for table in TABLES:
            self.query(f"DELETE FROM lambda_udf.{table}")


def send(connection: MySQLConnectionAbstract, function: str, payload: str = "{}", **options: Any) -> int:
    """Writes one event in the connection's transaction; its id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO lambda_udf.outbox (function_name, payload, options) VALUES (%s, %s, %s)",
            (function, payload, json.dumps(options) if options else None),
        )
        return int(cursor.lastrowid or 0)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes | bytearray) else value


def outbox_settings(mysqld: Mysqld, **settings: Any) -> dict[str, Any]:
    """The table [outbox] for a sidecar that delivers from that server."""
    return {"mysql_socket": str(mysqld.socket), "user": ACCOUNT_NAME, **settings}


def another_sidecar(outbox: Outbox, directory: Path, **settings: Any) -> SidecarProcess:
    """One more sidecar that would deliver the same outbox, with the same Lambda; `settings` are top-level keys."""
    config = {
        "region": REGION,
        "account_id": ACCOUNT_ID,
        "log_level": "debug",
        "outbox": outbox_settings(outbox.mysqld),
        **settings,
    }
    return SidecarProcess(directory, config, environment=outbox.sidecar.environment)


@contextlib.contextmanager
def started_outbox(mysql_home: Path, directory: Path, **sidecar_settings: Any) -> Iterator[Outbox]:
    """The parts, on the library as it ships. `sidecar_settings` are top-level keys; `outbox` adds to its table."""
    own = sidecar_settings.pop("outbox", {})
    options = sidecar_settings.pop("options", ())
    socket = Mysqld(mysql_home, directory / "mysql").socket
    settings = {"mysql_socket": str(socket), "user": ACCOUNT_NAME, **own}
    with (
        scripted_lambda() as endpoint,
        start_stack(
            mysql_home,
            directory,
            Library.PLAIN,
            endpoint_url=endpoint.url,
            options=options,
            outbox=settings,
            **sidecar_settings,
        ) as stack,
    ):
        outbox = Outbox(stack, endpoint)
        install(stack)
        wait_until(lambda: "outbox: delivers" in stack.sidecar.log_text(), what="the sidecar delivers")
        yield outbox


def install(stack: Stack) -> None:
    """The schema, and the account that delivers. install.sql makes the library's functions itself."""
    script = (ROOT / "udf/sql/install.sql").read_bytes()
    client = [str(stack.mysqld.home / "bin" / "mysql"), f"--socket={stack.mysqld.socket}", "--user=root"]
    subprocess.run(client, input=script, check=True, capture_output=True)
    with contextlib.closing(stack.connect(database=None)) as connection:
        execute(connection, f"CREATE USER IF NOT EXISTS {ACCOUNT_NAME}@localhost")
        for statement in GRANTS:
            execute(connection, statement)

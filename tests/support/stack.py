"""The whole stack for tests: a private mysqld with the library, a sidecar, the local Lambda and its record.

Knows how the parts fit; asserts nothing."""

from __future__ import annotations

import contextlib
import enum
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.account import ACCOUNT_ID, REGION
from tests.support.checkout import FUNCTIONS, ROOT

from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess

# As install.sql has them, but for the hint, which belongs to the outbox.
CREATE_FUNCTIONS = tuple(
    re.findall(
        r"^CREATE (?:AGGREGATE )?FUNCTION IF NOT EXISTS \w+ +RETURNS STRING SONAME 'lambda_udf.so'",
        (ROOT / "udf/sql/install.sql").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)
# What no log may ever hold: tests put it into payloads.
CANARY = "canary-d41d8cd98f00b204"
SANITIZER_REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "SUMMARY:")
# As mysql-facts.md found them to work in this mysqld; leaks are looked for by the host program.
_SANITIZER_OPTIONS = "verify_asan_link_order=0:handle_segv=0:detect_leaks=0"


class Library(enum.Enum):
    """The two builds of the library."""

    PLAIN = "plain"
    SANITIZED = "sanitized"

    @property
    def path(self) -> Path:
        return ROOT / "build" / ("lambda_udf.so" if self is Library.PLAIN else "sanitized/lambda_udf.so")

    def environment(self) -> dict[str, str]:
        """What mysqld needs in its environment to load it."""
        if self is Library.PLAIN:
            return {}
        runtimes = (_runtime("libasan.so"), _runtime("libubsan.so"))
        return {"LAMBDA_UDF_PRELOAD": ":".join(runtimes), "ASAN_OPTIONS": _SANITIZER_OPTIONS}


class Build(Protocol):
    """A build of the library: one of the two, or one made for a few tests."""

    @property
    def path(self) -> Path: ...

    def environment(self) -> dict[str, str]: ...


def _runtime(name: str) -> str:
    found = subprocess.run(["cc", f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    return str(Path(found.stdout.strip()).resolve())


class Record:
    """What the local Lambda recorded, over its own HTTP interface."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"

    def _ask(self, method: str, path: str) -> Any:
        request = urllib.request.Request(  # noqa: S310  a fixed scheme and host
            self.endpoint + path, method=method, headers={"Authorization": "AWS4-HMAC-SHA256 test"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            body = answer.read()
        return json.loads(body) if body else None

    def calls(self, function: str) -> list[dict[str, Any]]:
        """Each attempt of each invocation of a function, in order of arrival."""
        calls: list[dict[str, Any]] = self._ask("GET", f"/_local/invocations?function={function}")
        return calls

    def payloads(self, function: str) -> list[Any]:
        return [json.loads(call["payload"]) for call in self.calls(function)]

    def count(self) -> int:
        """How many invocations there were of all functions."""
        return len(self._ask("GET", "/_local/invocations"))

    def requests(self) -> dict[str, int]:
        """`open`: Invoke requests open now; `most_open`: the most at once since the last clear()."""
        requests: dict[str, int] = self._ask("GET", "/_local/requests")
        return requests

    def clear(self) -> None:
        self._ask("DELETE", "/_local/invocations")


@dataclass(frozen=True)
class Stack:
    """The running parts."""

    mysqld: Mysqld
    sidecar: SidecarProcess
    record: Record

    def reset(self) -> None:
        self.record.clear()
        self.create_database()

    def create_database(self) -> None:
        """Anew."""
        with contextlib.closing(self.connect(database=None)) as connection:
            execute(connection, "DROP DATABASE IF EXISTS test")
            execute(connection, "CREATE DATABASE test")

    def connect(self, **options: Any) -> MySQLConnectionAbstract:
        return self.mysqld.connect(**{"database": "test", **options})

    def query(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """Runs one statement in a session of its own; its rows."""
        with contextlib.closing(self.connect()) as connection:
            return execute(connection, sql, parameters)

    def value(self, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
        """The one value of a statement that gives one row with one column."""
        ((value,),) = self.query(sql, parameters)
        return value.decode() if isinstance(value, bytes | bytearray) else value


def execute(connection: MySQLConnectionAbstract, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
    """Runs one statement; its rows, or an empty list."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def local_config(port: int, functions: Path = FUNCTIONS, **top_level: Any) -> dict[str, Any]:
    """A sidecar's configuration with the local Lambda on `port`."""
    return {
        "region": REGION,
        "account_id": ACCOUNT_ID,
        "log_level": "debug",
        **top_level,
        "local": {"functions": str(functions), "port": port, "event_retry_seconds": [0.1, 0.2]},
    }


def endpoint_sidecar(directory: Path, url: str, **settings: Any) -> SidecarProcess:
    """Not started yet; in front of a Lambda at `url`. `settings` are top-level keys of its configuration."""
    config = {"region": REGION, "account_id": ACCOUNT_ID, "log_level": "debug", **settings}
    environment = {
        "AWS_ACCESS_KEY_ID": "AKIDTEST",
        "AWS_SECRET_ACCESS_KEY": "canary-test-secret",
        "AWS_ENDPOINT_URL_LAMBDA": url,
    }
    return SidecarProcess(directory, config, environment=environment)


@contextlib.contextmanager
def start_stack(
    mysql_home: Path,
    directory: Path,
    library: Build,
    *,
    environment: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    port: int | None = None,
    option_file: str | None = None,
    endpoint_url: str | None = None,
    **sidecar_settings: Any,
) -> Iterator[Stack]:
    """`environment`, `options`, `port` (TCP) and `option_file` are mysqld's; `sidecar_settings` are top-level keys of
    the sidecar's configuration. `endpoint_url` is a Lambda in the local one's place; there is no record then."""
    local_port = free_port()
    if endpoint_url is None:
        sidecar = SidecarProcess(directory / "sidecar", local_config(local_port, **sidecar_settings))
    else:
        sidecar = endpoint_sidecar(directory / "sidecar", endpoint_url, **sidecar_settings)
    mysqld = Mysqld(
        mysql_home,
        directory / "mysql",
        library=library.path,
        performance_schema=True,
        port=port,
        option_file=option_file,
        options=("--event-scheduler=ON", "--max-connections=400", "--max-allowed-packet=64M", *options),
        environment={
            "LAMBDA_UDF_SOCKET": str(sidecar.socket),
            **library.environment(),
            **(environment or {}),
        },
    )
    with sidecar, mysqld:
        with contextlib.closing(mysqld.connect()) as connection:
            for statement in CREATE_FUNCTIONS:
                execute(connection, statement)
        stack = Stack(mysqld, sidecar, Record(local_port))
        stack.create_database()
        yield stack

"""A server without the library, a sidecar beside it, and lambda-sidecar install and uninstall run against it.

Knows what MySQL keeps of an installation."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.stack import Library, Record, Stack, local_config

from lambda_sidecar.cli import main
from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess

TABLES_OF_THE_OUTBOX = (
    "SELECT table_name, create_time FROM information_schema.tables WHERE table_schema = 'lambda_udf'"
)
# Everything that an installation could leave behind.
_KEPT = (
    "SELECT * FROM mysql.func",
    "SELECT component_urn FROM mysql.component",
    "SELECT * FROM mysql.user",
    "SELECT * FROM mysql.role_edges",
    "SELECT * FROM mysql.default_roles",
    "SELECT * FROM mysql.global_grants",
    "SELECT user, host, db, routine_name, routine_type, grantor, proc_priv FROM mysql.procs_priv",
    "SELECT host, db, user, table_name, table_priv, column_priv FROM mysql.tables_priv",
    "SELECT host, db, user, table_name, column_name, column_priv FROM mysql.columns_priv",
    "SELECT * FROM mysql.db",
    "SELECT routine_schema, routine_name, routine_definition, created FROM information_schema.routines",
    TABLES_OF_THE_OUTBOX,
    "SELECT schema_name FROM information_schema.schemata",
    "SELECT * FROM information_schema.check_constraints",
    "SELECT * FROM performance_schema.persisted_variables",
    "SHOW GLOBAL VARIABLES LIKE 'lambda%'",
)


@dataclass(frozen=True)
class Outcome:
    """What the command said and returned."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Bare(Stack):
    """A stack whose mysqld knows nothing of lambda-udf until someone installs it."""

    library: Library

    def snapshot(self) -> dict[str, Any]:
        """What mysqld keeps, and what is in plugin_dir."""
        kept = {sql: sorted(map(repr, self.query(sql))) for sql in _KEPT}
        return {**kept, "plugin_dir": sorted(path.name for path in self.mysqld.plugin_dir.iterdir())}

    @property
    def place(self) -> Path:
        return self.mysqld.plugin_dir / "lambda_udf.so"

    def install(self, *arguments: str | Path) -> Outcome:
        """The library under test, with the sidecar's socket, unless the arguments say something else."""
        return run("install", self.mysqld, "--library", self.library.path, *arguments)

    def uninstall(self, *arguments: str) -> Outcome:
        return run("uninstall", self.mysqld, *arguments)

    def other_build(self) -> Path:
        """The same library with other bytes."""
        other = self.mysqld.directory / "other-build.so"
        other.write_bytes(self.library.path.read_bytes() + b"another build")
        return other


def run(command: str, mysqld: Mysqld, *arguments: str | Path) -> Outcome:
    return run_plain(command, "--socket", str(mysqld.socket), *arguments)


def run_plain(command: str, *arguments: str | Path) -> Outcome:
    """lambda-sidecar's own main, with nothing said about the server."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([command, *map(str, arguments)])
        except SystemExit as exit:
            status = int(exit.code or 0)
    return Outcome(status, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def start_bare(
    mysql_home: Path, directory: Path, library: Library, options: Sequence[str] = ()
) -> Iterator[Bare]:
    port = free_port()
    sidecar = SidecarProcess(directory / "sidecar", local_config(port))
    mysqld = Mysqld(
        mysql_home,
        directory / "mysql",
        performance_schema=True,
        option_file="[mysqld]\n",
        options=("--max-allowed-packet=64M", *options),
        environment={"LAMBDA_UDF_SOCKET": str(sidecar.socket), **library.environment()},
    )
    with sidecar, mysqld:
        bare = Bare(mysqld, sidecar, Record(port), library)
        bare.reset()
        yield bare


@contextlib.contextmanager
def installed(bare: Bare) -> Iterator[None]:
    """Installed within it; whatever happened, afterwards all is as before."""
    bare.reset()
    before = bare.snapshot()
    assert bare.install().status == 0
    yield
    done = bare.uninstall()
    assert (done.status, done.err) == (0, "")
    assert bare.snapshot() == before


def mapped(bare: Bare) -> set[str]:
    """The libraries of ours that mysqld has in memory, by path."""
    lines = Path(f"/proc/{bare.mysqld.pid}/maps").read_text().splitlines()
    return {line.split(maxsplit=5)[5] for line in lines if "lambda_udf.so" in line}


def settled(bare: Bare) -> dict[str, object]:
    """A snapshot with the bytes of the library."""
    return {**bare.snapshot(), "bytes": bare.place.read_bytes(), "mapped": mapped(bare)}

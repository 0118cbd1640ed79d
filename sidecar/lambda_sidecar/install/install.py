"""lambda-sidecar install: the library into plugin_dir, its functions, component, role, procedure, outbox.

Decides which steps a server needs; the SQL is that of udf/sql/install.sql."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.install import library_file, outbox, preflight, sql_script
from lambda_sidecar.install.connection import connect, execute
from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.install.options import Account, quoted
from lambda_sidecar.install.replacement import Replacement, dead_rows
from lambda_sidecar.install.server_state import (
    account_exists,
    answers,
    default_roles,
    look,
    variables,
)
from lambda_sidecar.install.steps import Say, Steps

_ROLE = Account("AWS_LAMBDA_ACCESS", "%")
_REPAIRS_MAX = 5
_SETTLE_SECONDS = 0.5
_NO_BINLOG = "SET SESSION sql_log_bin = 0"


Afterwards = Callable[..., None]
"""Is called at the end with the connection, `say`, and is_local=; raises InstallError."""


def install(options: argparse.Namespace, say: Say, afterwards: Afterwards) -> None:
    """Prints each step. Raises InstallError; if no step was printed before, nothing was changed."""
    library = None if options.no_copy else library_file.find(options.library)
    with contextlib.closing(connect(options)) as connection:
        try:
            _Install(connection, options, library, say, afterwards).run()
        except mysql.connector.Error as error:
            raise InstallError(f"MySQL error {error.errno}: {error.msg}") from None


class _Install:
    def __init__(
        self,
        connection: MySQLConnectionAbstract,
        options: argparse.Namespace,
        library: Path | None,
        say: Say,
        afterwards: Afterwards,
    ) -> None:
        self.connection = connection
        self.options = options
        self.library = library
        self.afterwards = afterwards
        self.script = sql_script.read("install.sql")
        self.names = sql_script.functions(self.script)
        self.state = look(connection, self.names)
        self.steps = Steps(connection, say, dry_run=options.dry_run)

    def run(self) -> None:
        read_only = preflight.read_only(self.connection, self.state, "install")
        if read_only:
            for line in read_only:
                self.steps.say(line)
            self.steps.dry_run = True
        else:
            self._check_before()
        self._install()
        if read_only:
            raise InstallError("the server is read-only; nothing was changed")
        if not self.steps.dry_run:
            self._repair()
            self._verify()

    def _check_before(self) -> None:
        preflight.foreign_functions(self.state)
        for account in self.options.grant:
            if not account_exists(self.connection, account):
                raise InstallError(f"there is no account {account} on this server; CREATE USER comes first")
        outbox.check(self.connection, self.options)
        if self._copies:
            how = f"install -m 0755 {self.library} {self.state.place}"
            preflight.plugin_dir(self.state, f"run there: {how}; then this again, with --no-copy")

    @property
    def _copies(self) -> bool:
        return self.library is not None and not library_file.same(self.library, self.state.place)

    def _install(self) -> None:
        state, steps, library = self.state, self.steps, self.library
        stale = state.loaded and (self._copies or library_file.is_loaded_from_replaced_file(state.pid_file))
        steps.sql("keep everything out of the binary log", _NO_BINLOG)
        if rows := dead_rows(state):
            steps.sql("forget what the server names but could not load", *rows)
        if stale:
            Replacement(steps, state, library if self._copies else None).run(self._run_script)
        else:
            if library and self._copies:
                steps.act(
                    f"copy {library} to {state.place}",
                    lambda: library_file.copy(library, state.place),
                )
            elif library:
                steps.say(f"{state.place} is this library already")
            self._run_script()
        outbox.settle_procedure(steps, self.script, through_outbox=self.options.procedure_through_outbox)
        self._grant()
        if socket := self.options.socket_of_sidecar:
            steps.sql(
                f"persist the socket {socket}", f"SET PERSIST lambda_udf.socket = {quoted(str(socket))}"
            )

    def _run_script(self) -> None:
        self.steps.sql("run install.sql", *sql_script.statements(self.script))

    def _grant(self) -> None:
        if account := self.options.outbox_account:
            outbox.grant_delivery(self.steps, account)
        for account in self.options.grant:
            self.steps.sql(f"grant {_ROLE.user} to {account}", f"GRANT {_ROLE} TO {account}")
            if self.options.default_role:
                # SET DEFAULT ROLE replaces the whole list.
                roles = [role for role in default_roles(self.connection, account) if role != _ROLE]
                listed = ", ".join(str(role) for role in [*roles, _ROLE])
                self.steps.sql(
                    f"make it a default role of {account}", f"SET DEFAULT ROLE {listed} TO {account}"
                )

    def _repair(self) -> None:
        """Makes functions again that have vanished. A statement that was in a function while that was dropped
        takes the new one of its name along when it ends (replacement.py), and the row stays: so this goes on
        looking for a while after a replacement."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        for _ in range(_REPAIRS_MAX):
            while not (rows := dead_rows(look(self.connection, self.names))):
                if not self.state.loaded or time.monotonic() > deadline:
                    return
                time.sleep(0.02)
            self.steps.sql("forget what vanished with a statement from before", *rows)
            self._run_script()

    def _verify(self) -> None:
        silent = [name for name in self.names if not answers(self.connection, name)]
        if silent:
            raise InstallError(f"{', '.join(silent)} did not answer; see the server's error log")
        values = variables(self.connection)
        if not values:
            raise InstallError("the component has no system variables; see the server's error log")
        if library_file.is_loaded_from_replaced_file(self.state.pid_file):
            raise InstallError(
                "the new library is in place and the functions answer, but from the old one: a statement was "
                "in a function while it was dropped, and then MySQL keeps its library until mysqld restarts"
            )
        self.steps.say(f"verify: {', '.join(self.names)} answer; the socket is {values['lambda_udf.socket']}")
        if not self.options.without_sidecar:
            self.afterwards(self.connection, self.steps.say, is_local=self.state.is_local)
        if function := self.options.verify:
            try:
                execute(self.connection, f"SELECT lambda_sync({quoted(function)}, '{{}}')")
            except mysql.connector.Error as error:
                raise InstallError(f"installed, but calling {function} failed: {error.msg}") from None
            self.steps.say(f"verify: {function} was invoked and answered")

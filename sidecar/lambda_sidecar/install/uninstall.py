"""lambda-sidecar uninstall: removes what install has brought, and the grants and persisted settings since.

Decides which steps a server needs; the SQL is that of udf/sql/uninstall.sql."""

from __future__ import annotations

import argparse
import contextlib

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.install import library_file, outbox, preflight, sql_script
from lambda_sidecar.install.connection import connect
from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.install.idle import wait_until_idle
from lambda_sidecar.install.replacement import dead_rows
from lambda_sidecar.install.server_state import ServerState, has_anything, look
from lambda_sidecar.install.steps import Say, Steps


def uninstall(options: argparse.Namespace, say: Say) -> None:
    """Prints each step. Raises InstallError; if no step was printed before, nothing was changed."""
    with contextlib.closing(connect(options)) as connection:
        try:
            _uninstall(connection, options, Steps(connection, say, dry_run=options.dry_run))
        except mysql.connector.Error as error:
            raise InstallError(f"MySQL error {error.errno}: {error.msg}") from None


def _uninstall(connection: MySQLConnectionAbstract, options: argparse.Namespace, steps: Steps) -> None:
    state = look(connection, [])
    if not has_anything(connection) and (options.no_remove or not state.place.exists()):
        steps.say("nothing left: this server has nothing of lambda-udf")
        return
    read_only = preflight.read_only(connection, state, "uninstall")
    if read_only:
        for line in read_only:
            steps.say(line)
        steps.dry_run = True
    elif not options.no_remove and (not state.is_local or state.place.exists()):
        preflight.plugin_dir(
            state, f"run this with --no-remove, then remove {state.place} on the server's machine"
        )
    if not options.drop_outbox and not steps.dry_run:
        outbox.refuse_unless_empty(connection)
    if state.loaded and not steps.dry_run:
        wait_until_idle(connection)
    _drop(steps, state, drop_outbox=options.drop_outbox)
    if not options.no_remove and state.place.exists():
        steps.act(f"remove {state.place}", lambda: library_file.remove(state.place))
    if read_only:
        raise InstallError("the server is read-only; nothing was changed")


def _drop(steps: Steps, state: ServerState, *, drop_outbox: bool) -> None:
    script = sql_script.read("uninstall.sql")
    steps.sql("keep everything out of the binary log", "SET SESSION sql_log_bin = 0")
    if rows := dead_rows(state):
        steps.sql("forget what the server names but could not load", *rows)
    if drop_outbox:
        outbox.empty(steps)
    steps.sql("run uninstall.sql", *sql_script.statements(script))
    # Functions of a library that is newer than this command.
    known = {name for name in state.answering if f"DROP FUNCTION IF EXISTS {name};" in script}
    if others := sorted(state.answering - known):
        steps.sql(f"drop {', '.join(others)}", *(f"DROP FUNCTION `{name}`" for name in others))

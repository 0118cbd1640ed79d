"""Replaces a library that mysqld has loaded; if the new one does not work, the old one comes back.

Keeps grants, role, account, procedure and variables: only the functions and the component are made anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mysql.connector

from lambda_sidecar.install import library_file
from lambda_sidecar.install.connection import execute
from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.install.idle import becomes_idle, in_use
from lambda_sidecar.install.installation import INSTALL_COMPONENT
from lambda_sidecar.install.options import quoted
from lambda_sidecar.install.server_state import COMPONENT, ServerState, look, variables
from lambda_sidecar.install.steps import Steps

_UNINSTALL = f"UNINSTALL COMPONENT {quoted(COMPONENT)}"
_COMPONENT_UNLOAD_REFUSED = 3538  # mysqld_error.h: ER_COMPONENTS_UNLOAD_CANT_DEINITIALIZE


def dead_rows(state: ServerState) -> list[str]:
    """The statements that delete rows of a library that failed to load: DROP FUNCTION and UNINSTALL COMPONENT
    do not find it, and CREATE FUNCTION fails because the row is there (1026)."""
    dead = sorted(state.functions.keys() - state.answering)
    statements = [f"DELETE FROM mysql.func WHERE name = {quoted(name)}" for name in dead]  # noqa: S608
    if state.component and not state.values:
        statements.append(f"DELETE FROM mysql.component WHERE component_urn = {quoted(COMPONENT)}")  # noqa: S608
    return statements


def _uninstall_component(steps: Steps, state: ServerState) -> None:
    """Raises InstallError, with everything as before, if statements are in our functions and stay there.

    A function that is dropped while a statement is in it keeps the old library loaded, and its successor
    vanishes when that statement ends (a server defect, tried on 9.7.4)."""
    if steps.dry_run:
        steps.sql("uninstall the component", _UNINSTALL)
        return
    idle = becomes_idle(steps.connection)
    if not state.values:
        if not idle:
            raise in_use(steps.connection)
        return
    # The component itself lets no call begin any more, waits a little for those that run, and else refuses to
    # go (3538). Its answer counts: with many short calls there may be no moment without one.
    try:
        execute(steps.connection, _UNINSTALL)
    except mysql.connector.Error as error:
        if error.errno == _COMPONENT_UNLOAD_REFUSED:
            raise in_use(steps.connection) from None
        raise
    if not becomes_idle(steps.connection):
        refusal = in_use(steps.connection)
        execute(steps.connection, INSTALL_COMPONENT)
        restore_values(Steps(steps.connection, lambda _: None, dry_run=False), state.values)
        raise refusal
    steps.say("uninstall the component: done")


def _drop_functions(steps: Steps, state: ServerState) -> None:
    if state.answering:
        names = sorted(state.answering)
        steps.sql(f"drop {', '.join(names)}", *(f"DROP FUNCTION `{name}`" for name in names))


def restore_values(steps: Steps, before: dict[str, str]) -> None:
    """Sets variables again that were SET GLOBAL and not persisted: UNINSTALL COMPONENT forgets them."""
    after = variables(steps.connection)
    lost = {name: value for name, value in before.items() if name in after and after[name] != value}
    if lost:
        statements = [
            f"SET GLOBAL {name} = {value if value.isdigit() else quoted(value)}"
            for name, value in lost.items()
        ]
        steps.sql("set again what was SET GLOBAL", *statements)


class Replacement:
    """`library` is the file to copy; None if it is in plugin_dir already, and only the loaded one is old."""

    def __init__(self, steps: Steps, state: ServerState, library: Path | None) -> None:
        self.steps = steps
        self.state = state
        self.library = library

    def run(self, create: Callable[[], None]) -> None:
        """`create` makes functions and component. Raises InstallError if it fails, with the old ones back."""
        self.steps.say(
            "the server has another build loaded, and MySQL loads a new one only when nothing holds the old: "
            "grants and settings stay, calls fail for a moment"
        )
        _uninstall_component(self.steps, self.state)
        if self.steps.dry_run:
            self._replace(create)
            return
        old = library_file.keep(self.state.place) if self.library else None
        try:
            self._replace(create)
        except InstallError as error:
            raise InstallError(f"{error}; {self._take_back(old)}") from None
        finally:
            if old:
                old.unlink(missing_ok=True)

    def _replace(self, create: Callable[[], None]) -> None:
        _drop_functions(self.steps, self.state)
        if library := self.library:
            place = self.state.place
            self.steps.act(f"copy {library} to {place}", lambda: library_file.copy(library, place))
        create()
        restore_values(self.steps, self.state.values)

    def _take_back(self, old: Path | None) -> str:
        """Puts back the missing parts of the old installation, and returns a clause that says how it went."""
        before, now = self.state, look(self.steps.connection, [])
        if old is None:
            return "correct that and run this again"
        quiet = Steps(self.steps.connection, lambda _: None, dry_run=False)
        try:
            if not library_file.is_same_file(old, before.place):
                if now.values:
                    quiet.sql("uninstall", _UNINSTALL)
                _drop_functions(quiet, now)
                old.replace(before.place)
                now = look(self.steps.connection, [])
            for name, declaration in before.functions.items():
                if name not in now.functions:
                    library = quoted(library_file.NAME)
                    quiet.sql("create again", f"CREATE {declaration} SONAME {library}")
            if before.component and not now.component:
                quiet.sql("install again", INSTALL_COMPONENT)
            restore_values(quiet, before.values)
        except InstallError as error:
            return f"the old library could not be put back: {error}"
        return "the old library serves again"

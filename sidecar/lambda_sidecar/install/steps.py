"""Does one step after the other and prints a line for each; a dry run prints and does nothing.

Knows how to word a statement's failure; must not know what the steps are for."""

from __future__ import annotations

from collections.abc import Callable

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.install.connection import execute
from lambda_sidecar.install.errors import InstallError

Say = Callable[[str], None]


class Steps:
    """The steps of one command. `say` prints a line."""

    def __init__(self, connection: MySQLConnectionAbstract, say: Say, *, dry_run: bool) -> None:
        self.connection = connection
        self.say = say
        self.dry_run = dry_run

    def sql(self, what: str, *statements: str) -> None:
        """Runs the statements. Raises InstallError for the first that fails."""
        if self.dry_run:
            self.say(what)
            for statement in statements:
                self.say("    " + statement.replace("\n", "\n    ") + ";")
            return
        for statement in statements:
            try:
                execute(self.connection, statement)
            except mysql.connector.Error as error:
                first = statement.splitlines()[0]
                raise InstallError(
                    f"{what}: `{first}` failed with error {error.errno}: {error.msg}"
                ) from None
        self.say(f"{what}: done")

    def act(self, what: str, action: Callable[[], None]) -> None:
        """Does something outside the server. Raises whatever `action` does."""
        if self.dry_run:
            self.say(what)
            return
        action()
        self.say(f"{what}: done")

"""One step after the other, each told in one line; a dry run only tells.

Knows how a failed statement reads; must not know what the steps are for."""

from __future__ import annotations

from collections.abc import Callable

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.install.connection import execute
from lambda_sidecar.install.errors import InstallError

Say = Callable[[str], None]


class Steps:
    def __init__(self, connection: MySQLConnectionAbstract, say: Say, *, dry_run: bool) -> None:
        self.connection = connection
        self.say = say
        self.dry_run = dry_run

    def sql(self, what: str, *statements: str) -> None:
        """Runs the statements; the first that fails ends it with InstallError."""
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
        """Does something outside the server."""
        if self.dry_run:
            self.say(what)
            return
        action()
        self.say(f"{what}: done")

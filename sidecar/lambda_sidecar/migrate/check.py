"""lambda-sidecar migrate-check: from a server or a dump to the report.

Joins the parts and knows nothing of SQL; its options are those of install/options.py."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable

import mysql.connector

from lambda_sidecar.install.connection import connect_to_read
from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.migrate.dump import read_dump
from lambda_sidecar.migrate.findings import blocks
from lambda_sidecar.migrate.inventory import Inventory
from lambda_sidecar.migrate.report import as_json, as_text
from lambda_sidecar.migrate.server import read_server


def migrate_check(options: argparse.Namespace, say: Callable[[str], None]) -> bool:
    """Prints the report; returns whether nothing has to be done. Raises InstallError where the server or the
    dump cannot be read."""
    found = blocks(_dump(options) if options.dump is not None else _server(options))
    if options.json:
        say(as_json(found))
    else:
        for line in as_text(found):
            say(line)
    return not any(block.findings for block in found)


def _server(options: argparse.Namespace) -> Inventory:
    with contextlib.closing(connect_to_read(options)) as connection:
        try:
            return read_server(connection)
        except mysql.connector.Error as error:
            raise InstallError(f"MySQL error {error.errno}: {error.msg}") from None


def _dump(options: argparse.Namespace) -> Inventory:
    try:
        with options.dump.open(encoding="utf-8", errors="replace") as file:
            return read_dump(file)
    except OSError as error:
        raise InstallError(f"{options.dump}: {error.strerror}") from None

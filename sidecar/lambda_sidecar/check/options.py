"""The options of `lambda-sidecar check`.

Parses; looks at nothing, and imports none of what does."""

from __future__ import annotations

import argparse
from pathlib import Path

from lambda_sidecar.access.account import Account, parse_account
from lambda_sidecar.install.options import add_server


def add_check(parser: argparse.ArgumentParser) -> None:
    """Those of the sidecar, of the call, and of the MySQL server."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file, as serve reads it")
    parser.add_argument(
        "--socket",
        dest="sidecar_socket",
        type=Path,
        metavar="PATH",
        help="the sidecar's socket, whatever FILE says",
    )
    parser.add_argument("--function", metavar="NAME", help="the function, as SQL would name it")
    parser.add_argument(
        "--as",
        dest="account",
        type=_account,
        metavar="USER@HOST",
        default=Account("root", "localhost"),
        help="the MySQL account that would call, as CURRENT_USER() gives it (default root@localhost)",
    )
    parser.add_argument(
        "--mysql", action="store_true", help="end with a round trip from mysqld to the sidecar and back"
    )
    add_server(parser, socket="mysql-socket")


def _account(text: str) -> Account:
    try:
        return parse_account(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None

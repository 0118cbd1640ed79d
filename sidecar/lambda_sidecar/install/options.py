"""The arguments of lambda-sidecar install, uninstall and migrate-check.

Knows argparse alone: `lambda-sidecar serve` imports this and must not pay for mysql.connector."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from lambda_sidecar.install.option_names import FLAGS, TEXTS


@dataclass(frozen=True)
class Account:
    """A MySQL account."""

    user: str
    host: str

    def __str__(self) -> str:
        return f"{quoted(self.user)}@{quoted(self.host)}"


def quoted(text: str) -> str:
    """A string literal of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


_PART = r"'(?:[^']|'')*'|`[^`]*`|[^'`@\s]+"
_ACCOUNT = re.compile(rf"({_PART})(?:@({_PART}))?")


def account(text: str) -> Account:
    """Reads 'app'@'%', app@localhost or app (from any host), as in SQL. Raises ArgumentTypeError."""
    match = _ACCOUNT.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is not an account; write 'user'@'host'")
    user, host = (_plain(part) for part in (match[1], match[2] or "%"))
    return Account(user, host.lower())


def _plain(part: str) -> str:
    if part[0] in "'`":
        return part[1:-1].replace("''", "'")
    return part


def socket_path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise argparse.ArgumentTypeError(f"{text} is not an absolute path")
    return path


def add_install(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    parser.add_argument(
        "--library", type=Path, metavar="FILE", help="lambda_udf.so to install (default: this package's)"
    )
    parser.add_argument(
        "--no-copy", action="store_true", help="the library is in plugin_dir already: only the SQL"
    )
    parser.add_argument(
        "--grant",
        type=account,
        action="append",
        default=[],
        metavar="ACCOUNT",
        help="grant AWS_LAMBDA_ACCESS to this account ('app'@'%%'); can be repeated",
    )
    parser.add_argument(
        "--default-role", action="store_true", help="make it a default role of these accounts as well"
    )
    parser.add_argument(
        "--socket-of-sidecar", type=socket_path, metavar="PATH", help="SET PERSIST lambda_udf.socket"
    )
    parser.add_argument(
        "--outbox-account",
        type=account,
        metavar="ACCOUNT",
        help="give this account what the sidecar needs to deliver the outbox, and nothing else",
    )
    parser.add_argument(
        "--procedure-through-outbox",
        action="store_true",
        help="CALL mysql.lambda_async writes into the outbox; without this it invokes at once",
    )
    parser.add_argument(
        "--without-sidecar",
        action="store_true",
        help="the sidecar does not run yet: end without the round trip from mysqld to it",
    )
    parser.add_argument("--verify", metavar="FUNCTION", help="invoke this Lambda function with {} at the end")


def add_uninstall(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    parser.add_argument(
        "--no-remove", action="store_true", help="leave the library in plugin_dir: only the SQL"
    )
    parser.add_argument(
        "--drop-outbox", action="store_true", help="lose the events, results and errors that the outbox holds"
    )


def add_migrate_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dump", type=Path, metavar="FILE", help="read this dump instead of a server")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_server(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="print every step and its SQL, change nothing")
    add_server(parser)


def add_server(parser: argparse.ArgumentParser, *, socket: str = "socket") -> None:
    """The options of option_names.py, with `_` for `-` in their names; `socket` is how the command line calls
    mysqld's own."""
    server = parser.add_argument_group("the server, as for the mysql client")
    files = server.add_mutually_exclusive_group()
    files.add_argument(
        "--defaults-file", type=Path, metavar="FILE", help="the only option file; its [client] is read"
    )
    files.add_argument(
        "--defaults-extra-file", type=Path, metavar="FILE", help="an option file besides the usual ones"
    )
    files.add_argument("--no-defaults", action="store_true", help="read no option file")
    for name, meaning in TEXTS.items():
        kind = int if name in ("port", "connect-timeout") else str
        flag = socket if name == "socket" else name
        dest = name.replace("-", "_")
        server.add_argument(f"--{flag}", dest=dest, type=kind, metavar="VALUE", help=meaning)
    for name, meaning in FLAGS.items():
        server.add_argument(f"--{name}", action="store_true", help=meaning)
    server.add_argument(
        "--password",
        action="store_true",
        help="ask for the password; otherwise the option file's or MYSQL_PWD",
    )


def names_server(options: argparse.Namespace) -> bool:
    """Whether any option of add_server was given."""
    names = (*TEXTS, *FLAGS, "defaults-file", "defaults-extra-file", "no-defaults", "password")
    return any(getattr(options, name.replace("-", "_")) not in (None, False) for name in names)

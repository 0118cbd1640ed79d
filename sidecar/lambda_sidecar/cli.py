"""The command lambda-sidecar.

Parses arguments and turns failures into one line and an exit status; does nothing itself."""

from __future__ import annotations

import argparse
import asyncio
import functools
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lambda_sidecar.check import options as check_options
from lambda_sidecar.config.config import ConfigError, load_config
from lambda_sidecar.install import options as install_options
from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.log.format import configure_logging
from lambda_sidecar.log.journal import is_journal, mark
from lambda_sidecar.process.standard_output import flush, say

# gRPC reads the variable once, when it is imported. Its newer listener hands every event from thread to
# thread, which costs a call 50 µs (bench/README.md). What the environment says wins.
GRPC_EXPERIMENTS = "-event_engine_listener"
# Of `top`: one snapshot costs the sidecar a millisecond at most.
INTERVAL_MIN, INTERVAL_MAX = 0.1, 3600.0
EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2  # as argparse's own


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    try:
        options = _parser().parse_args(arguments)
        status: int = options.run(options)
    finally:
        flush()
    return status


def _failed(why: object, status: int = EXIT_FAILED) -> int:
    begin = mark(logging.ERROR) if is_journal(2) else ""
    print(f"{begin}lambda-sidecar: {why}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lambda-sidecar", description="Invokes AWS Lambda for MySQL's lambda_sync and lambda_async."
    )
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve calls on the Unix socket until SIGTERM")
    serve.add_argument("--config", type=Path, metavar="FILE", help="TOML file (docs/configuration.md)")
    serve.set_defaults(run=_serve)
    check = commands.add_parser(
        "check", help="ask the running sidecar step by step what a call would meet; invokes nothing"
    )
    check_options.add_check(check)
    check.set_defaults(run=_check)
    health = commands.add_parser(
        "health", help="exit status 0 if the sidecar on this socket says that it can serve calls"
    )
    health.add_argument("--config", type=Path, metavar="FILE", help="TOML file, as serve reads it")
    health.add_argument(
        "--socket", type=Path, metavar="PATH", help="the sidecar's socket, whatever FILE says"
    )
    health.set_defaults(run=_health)
    top = commands.add_parser("top", help="show what runs now and what was slow, in the terminal")
    top.add_argument("--config", type=Path, metavar="FILE", help="TOML file that names the socket")
    top.add_argument("--socket", type=Path, metavar="PATH", help="the sidecar's socket, whatever FILE says")
    top.add_argument("--once", action="store_true", help="print once, for scripts")
    top.add_argument(
        "--interval", type=_interval, default=2.0, metavar="SECONDS", help="draw again after so long (2)"
    )
    top.set_defaults(run=_top)
    install = commands.add_parser(
        "install", help="put the library and its SQL onto a MySQL server, or renew them"
    )
    install_options.add_install(install)
    install.set_defaults(run=_install)
    uninstall = commands.add_parser("uninstall", help="take both off a MySQL server again")
    install_options.add_uninstall(uninstall)
    uninstall.set_defaults(run=_uninstall)
    migrate = commands.add_parser(
        "migrate-check", help="say what of a database that comes from Aurora needs a grant or an edit"
    )
    install_options.add_migrate_check(migrate)
    migrate.set_defaults(run=_migrate_check)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for: the look-up would cost every start its time."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from lambda_sidecar.version import version

        say(f"{parser.prog} {version()}")
        parser.exit()


def _interval(text: str) -> float:
    seconds = float(text)  # argparse names a ValueError's argument
    if not INTERVAL_MIN <= seconds <= INTERVAL_MAX:
        raise argparse.ArgumentTypeError(f"{INTERVAL_MIN} to {INTERVAL_MAX} seconds are expected")
    return seconds


# The parts are imported where they are used: each command does without the memory of the others.
def _check(options: argparse.Namespace) -> int:
    if install_options.names_server(options) and not options.mysql:
        return _failed("options of the MySQL server are for check --mysql", EXIT_USAGE)
    from lambda_sidecar.check.command import check

    try:
        configure_logging("error")  # the report says what is wrong
        good = check(options, say)
    except ConfigError as error:
        say(f"FAIL  configuration: {error}")
        return EXIT_USAGE
    return EXIT_OK if good else EXIT_FAILED


def _health(options: argparse.Namespace) -> int:
    from lambda_sidecar.process.socket_check import problem

    try:
        socket = options.socket or load_config(options.config).socket
    except ConfigError as error:
        return _failed(error, EXIT_USAGE)
    if (found := problem(socket)) is None:
        return EXIT_OK
    return _failed(f"{socket}: {found}")


def _serve(options: argparse.Namespace) -> int:
    try:
        config = load_config(options.config)
    except ConfigError as error:
        return _failed(error, EXIT_USAGE)
    configure_logging(config.log_level, config.log_format)
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)
    import uvloop

    from lambda_sidecar.local import LocalLambdaError
    from lambda_sidecar.server import Server, StartError

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(Server(config, lambda: load_config(options.config), options.config).serve())
    except ConfigError as error:  # a rule that only the AWS configuration makes wrong
        return _failed(error, EXIT_USAGE)
    except (StartError, LocalLambdaError) as error:
        return _failed(error)
    return EXIT_OK


def _top(options: argparse.Namespace) -> int:
    try:
        socket = options.socket or load_config(options.config).socket
    except ConfigError as error:
        return _failed(error, EXIT_USAGE)
    from lambda_sidecar.monitoring.top import TopError, once, watch

    try:
        if options.once:
            say(once(socket))
        else:
            watch(socket, options.interval)
    except TopError as error:
        return _failed(error)
    return EXIT_OK


def _install(options: argparse.Namespace) -> int:
    if options.default_role and not options.grant:
        return _failed("--default-role is for the accounts of --grant, and there are none", EXIT_USAGE)
    from lambda_sidecar.check.server import after_install
    from lambda_sidecar.install.install import install

    return _administer(functools.partial(install, afterwards=after_install), options)


def _uninstall(options: argparse.Namespace) -> int:
    from lambda_sidecar.install.uninstall import uninstall

    return _administer(uninstall, options)


def _migrate_check(options: argparse.Namespace) -> int:
    from lambda_sidecar.migrate.check import migrate_check

    try:
        good = migrate_check(options, say)
    except InstallError as error:
        return _failed(error, EXIT_USAGE)
    return EXIT_OK if good else EXIT_FAILED


def _administer(
    work: Callable[[argparse.Namespace, Callable[[str], None]], None], options: argparse.Namespace
) -> int:
    try:
        work(options, say)
    except InstallError as error:
        return _failed(error)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())

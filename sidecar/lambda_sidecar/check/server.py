"""mysqld's part of a check: a round trip from a session to the sidecar and back, as every call takes it.

Knows the SQL side's words for what is wrong, and what to do about each; nothing of AWS."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path

from lambda_sidecar.access.account import Account
from lambda_sidecar.check.report import Report, Say
from lambda_sidecar.check.sidecar import Sidecar, ask_sidecar
from lambda_sidecar.config.config import ConfigError, load_config
from lambda_sidecar.install.connection import Connection, connect_to_read
from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.install.options import quoted
from lambda_sidecar.install.round_trip import RoundTripFailed, round_trip
from lambda_sidecar.install.server_state import variables
from lambda_sidecar.process.socket_check import described, problem

STEP = "round trip"
_NOBODY = Account("", "")
_INSTALL = "run lambda-sidecar install"
_START = (
    "start the sidecar (systemctl start lambda-sidecar); if it listens elsewhere, "
    "lambda-sidecar install --socket-of-sidecar PATH"
)


def check_server(options: argparse.Namespace, report: Report, sidecar: Sidecar | None) -> None:
    """`sidecar` is the one that has answered, which mysqld should reach."""
    try:
        connection = connect_to_read(options)
    except InstallError as error:
        report.fail("mysql", str(error))
        return
    with contextlib.closing(connection):
        _look_at_server(connection, report, sidecar)


def after_install(connection: Connection, say: Say, *, is_local: bool) -> None:
    """The end of an installation: the round trip, and what the sidecar says of its credentials. `is_local`:
    the server is on this machine. Raises InstallError if calls would fail."""
    report = Report(say)
    if _look_at_server(connection, report, None, is_local=is_local):
        socket = Path(variables(connection)["lambda_udf.socket"])
        if is_local and os.access(socket, os.W_OK):
            ask_sidecar(socket, problem(socket), "", _NOBODY, report)
        else:
            text = f"not asked: this account cannot open {socket} here; lambda-sidecar check asks"
            report.skip("credentials", text)
    if report.failed:
        raise InstallError(
            "everything is installed, but calls would fail: the lines that begin with FAIL say why, and what "
            "to do; lambda-sidecar check --mysql looks again"
        )


def _look_at_server(
    connection: Connection, report: Report, sidecar: Sidecar | None, *, is_local: bool = True
) -> str:
    """The id of the sidecar that answered mysqld; empty if none did."""
    values = variables(connection)
    if not values:
        report.fail(STEP, "lambda-udf's component is not installed on this server", _INSTALL)
        return ""
    mode, socket = values["lambda_udf.mode"].lower(), values["lambda_udf.socket"]
    if mode != "invoke":
        effect = "left out and NULL" if mode == "skip" else "refused"
        back = "SET PERSIST lambda_udf.mode = 'invoke'"
        report.warn("mode", f"lambda_udf.mode is {quoted(mode)}: every call is {effect}", back)
    try:
        answer = round_trip(connection)
    except RoundTripFailed as failure:
        # Without calls, as on a replica, no sidecar need be there; and another account is it that calls.
        is_wrong = mode == "invoke" and not failure.is_no_privilege
        say = report.fail if is_wrong else report.warn
        served = sidecar.socket if sidecar is not None else _usual() if is_local else None
        say(STEP, f"{failure}", _after(failure, socket, served))
        return ""
    if sidecar is not None and answer.sidecar_id != sidecar.sidecar_id:
        report.fail(
            STEP,
            f"mysqld reaches another sidecar, over {socket}, than the one on {sidecar.socket}",
            f"SET PERSIST lambda_udf.socket = {quoted(str(sidecar.socket.absolute()))}",
        )
    else:
        report.ok(STEP, f"mysqld reaches the sidecar over {socket}; it has version {answer.version}")
    return answer.sidecar_id


def _usual() -> Path | None:
    """The socket at which a sidecar is looked for, if one answers there."""
    try:
        socket = load_config(None).socket
    except ConfigError:
        return None
    return socket if problem(socket) is None else None


def _after(failure: RoundTripFailed, socket: str, served: Path | None) -> str:
    """What to do about it. `served`: where a sidecar does answer."""
    if failure.is_old_library:
        return _INSTALL
    if failure.is_old_sidecar:
        return "restart the sidecar, so that the installed release runs (systemctl restart lambda-sidecar)"
    if failure.is_no_privilege:
        return "to have it made, connect as an account with SUPER or AWS_LAMBDA_ACCESS"
    if failure.is_forbidden:
        return (
            f"let mysqld's account open it{_rights(socket)}: its group must be the socket's (Group= in the "
            "sidecar's unit), and AppArmor or SELinux must allow it (docs/install.md)"
        )
    if not failure.is_nobody_there:
        return "see the sidecar's log"
    if served is None:
        return _START
    if served.absolute() != Path(socket):
        return f"SET PERSIST lambda_udf.socket = {quoted(str(served.absolute()))}"
    return "mysqld sees other files than this command: mount the socket's folder there (docs/containers.md)"


def _rights(socket: str) -> str:
    try:
        return f" ({described(Path(socket))})"
    except OSError:
        return ""

"""The commands behind `make up`, `make sql` and `make down`: a MySQL to try lambda-udf with, in .run/.

Knows the command line, the folder and the texts for people; lambda_sidecar.testing.stack does the work."""

from __future__ import annotations

import argparse
import fcntl
import filecmp
import os
import shutil
import signal
import sys
import tomllib
from pathlib import Path

from examples.checkout import CHECKOUT, FUNCTIONS, LIBRARY, mysql_home
from examples.served import Served

from lambda_sidecar.testing import mysqld, sidecar
from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.process import ServerError, ServerProcess
from lambda_sidecar.testing.stack import Stack

PORT = 33306
# The local Lambda serves what a web page cannot send, and does not look at the signature.
LOOKS_SIGNED = "AWS4-HMAC-SHA256 x"


def main() -> int:
    """0, or 1 with one message on stderr; `sql` ends with the status of the mysql command."""
    parser = argparse.ArgumentParser(prog="python -m examples.playground", description=__doc__)
    parser.add_argument("--run", type=Path, default=CHECKOUT / ".run", help="folder of the servers")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start MySQL and the sidecar, or what is missing of them")
    up.add_argument("--library", type=Path, default=LIBRARY)
    up.add_argument("--functions", type=Path, default=FUNCTIONS)
    up.add_argument("--endpoint", default="", help="URL of a Lambda API instead of local functions")
    up.add_argument("--function-name-format", default="", help="how that API gets names: arn, or name")
    up.add_argument("--port", type=int, default=PORT, help="TCP port of mysqld on 127.0.0.1")
    sql = commands.add_parser("sql", help="run SQL as root; without any, read it from standard input")
    sql.add_argument("statements", nargs="?", default=os.environ.get("LAMBDA_UDF_SQL", ""))
    commands.add_parser("down", help="stop both and remove the folder")
    given = parser.parse_args()
    # An `up` that is cut off stops what it has started.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    directory: Path = given.run.absolute()
    try:
        if given.command == "sql":
            return run_sql(directory, given.statements)
        # One `up` or `down` at a time; a lock on the folder above leaves no file behind.
        lock = os.open(directory.parent, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return start(directory, given) if given.command == "up" else stop(directory)
    except (ServerError, OSError) as failure:
        sys.stderr.write(f"{given.command}: {failure}\n")
        return 1


def start(directory: Path, given: argparse.Namespace) -> int:
    """Bring both servers up and say how to reach them."""
    for path, name in ((given.library, "library"), (given.functions, "folder of functions")):
        if not path.exists():
            raise ServerError(f"there is no {name} {path}")
    home = mysql_home()
    stack = Stack(
        directory,
        home=home,
        library=given.library,
        functions=given.functions,
        endpoint=given.endpoint or None,
        settings={"function_name_format": given.function_name_format} if given.function_name_format else None,
        options=("--performance-schema=ON",),  # without it lambda_udf_calls stays empty
        port=given.port,
        local_port=local_port(directory),
        detached=True,
    )
    done = stack.start()
    served = Served.by(stack.sidecar)
    say(*done or ["It runs already."])
    for difference in differences(stack, served, given.endpoint or None):
        say(f"Note: {difference}; `make down`, then `make up`, to change that.")
    say(
        "",
        "Connect as root:",
        f"  {home}/bin/mysql --no-defaults --socket={stack.mysqld.socket} --user=root",
        f"  {home}/bin/mysql --defaults-file={stack.my_cnf}        (TCP; password inside)",
        f'  make sql Q="{served.sample()}"',
        "",
        *served.lines(),
        "",
    )
    if served.local_port is not None:
        say(
            "What functions print, and events that fail: the sidecar's log",
            f"Invocations so far: curl -sH 'Authorization: {LOOKS_SIGNED}' \\",
            f"  http://127.0.0.1:{served.local_port}/_local/invocations",
        )
    say(
        f"Logs: {stack.mysqld.log}",
        f"      {stack.sidecar.log}",
        "Stop and remove all of it: make down",
    )
    return 0


def local_port(directory: Path) -> int | None:
    """The local Lambda's port: that of the sidecar which runs, if one does, and else any that is free."""
    running = ServerProcess.find(sidecar.identity(directory))
    if running is None:
        return free_port()
    settings = tomllib.loads((directory / "sidecar.toml").read_text(encoding="utf-8"))
    port: int | None = settings.get("local", {}).get("port")
    return port


def differences(stack: Stack, served: Served, endpoint: str | None) -> list[str]:
    """One clause for each thing that was asked for now and does not hold for the servers that run."""
    found = []
    if not filecmp.cmp(stack.library, stack.mysqld.plugin_dir / "lambda_udf.so", shallow=False):
        found.append("mysqld runs an older build of the library")
    settings = stack.sidecar.config_file.read_text(encoding="utf-8")
    if settings != sidecar.toml_text(stack.sidecar.config) or served.endpoint != endpoint:
        found.append("the sidecar runs with another FUNCTIONS, LAMBDA_ENDPOINT or FUNCTION_NAME_FORMAT")
    return found


def run_sql(directory: Path, statements: str) -> int:
    """Become the mysql command, as root over the Unix socket."""
    mysql_socket = directory / "mysql.sock"
    if not mysql_socket.exists():
        raise ServerError(f"no MySQL runs in {directory}: run `make up` first")
    program = str(mysql_home() / "bin" / "mysql")
    command = [program, "--no-defaults", f"--socket={mysql_socket}", "--user=root", "--table"]
    command += ["--default-character-set=utf8mb4", "--comments"]
    if statements:
        command.append(f"--execute={statements}")
    os.execv(program, command)  # noqa: S606 - no shell is wanted


def stop(directory: Path) -> int:
    """Stop what runs and remove the folder; fine when there is nothing."""
    stopped = stop_all(directory)
    if directory.exists():
        if not ((directory / "sidecar.toml").exists() or (directory / "data").exists()):
            raise ServerError(f"{directory} does not look like made by `up`: remove it yourself")
        shutil.rmtree(directory)
    say("Stopped." if stopped else "Nothing was running.")
    return 0


def stop_all(directory: Path) -> int:
    """Stop every mysqld and sidecar of a folder, however they were left there; how many there were."""
    stopped = 0
    for identity in (mysqld.identity(directory), sidecar.identity(directory)):
        while process := ServerProcess.find(identity):
            process.stop(30)
            stopped += 1
    return stopped


def say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())

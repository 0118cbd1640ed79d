"""README and docs/: every SQL statement and every command in them runs, on a real stack.

Each test's name is the sentence that it proves. A block that cannot run says why in a comment above it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import release_number
from examples.aws_stand_in import copy_functions
from examples.playground import stop_all
from tests.support.checkout import FUNCTIONS, ROOT
from tests.support.documents import DOCUMENTS, runnable
from tests.support.markdown import Block
from tests.support.stack import Library, Stack, start_stack

from lambda_sidecar.testing.ports import free_port

# What the documents take for granted.
PRELUDE = """
DROP DATABASE IF EXISTS test;
DROP DATABASE IF EXISTS shop;
DROP USER IF EXISTS 'app'@'%', 'app'@'10.0.0.1', lambda_outbox@localhost;
CREATE DATABASE test;
CREATE DATABASE shop;
CREATE TABLE shop.orders (id INT PRIMARY KEY);
INSERT INTO shop.orders VALUES (1), (2);
CREATE TRIGGER shop.new_order AFTER INSERT ON shop.orders FOR EACH ROW
  SELECT lambda_async('Echo', JSON_OBJECT('order', NEW.id)) INTO @result;
CREATE USER 'app'@'%', 'app'@'10.0.0.1';
"""
FILES = {"grants.sql": "GRANT INVOKE LAMBDA, LOAD FROM S3 ON *.* TO 'app'@'10.0.0.1';\n"}


@dataclass(frozen=True)
class Machine:
    """A stack, and a folder that looks like the checkout and has commands that reach that stack."""

    stack: Stack
    folder: Path
    commands: Path

    def sql(self, text: str) -> str:
        """What the mysql client prints, as tables."""
        done = self.stack.mysqld.client("--table", "test", input=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def script(self, name: str) -> None:
        done = self.stack.mysqld.client(input=(ROOT / "udf/sql" / name).read_text())
        assert done.returncode == 0, done.stderr

    def reset(self) -> None:
        """The library freshly installed, with every variable at its default and nothing in the outbox."""
        done = self.stack.mysqld.client(input="DROP DATABASE IF EXISTS lambda_udf;\n")
        assert done.returncode == 0, done.stderr
        self.script("uninstall.sql")
        done = self.stack.mysqld.client(input=PRELUDE)
        assert done.returncode == 0, done.stderr
        # As lambda-sidecar install does it: the script's procedure would leave the component without its table.
        done = self.stack.mysqld.client(input="INSTALL COMPONENT 'file://lambda_udf';\n")
        assert done.returncode == 0, done.stderr
        self.script("install.sql")
        for name, text in FILES.items():
            (self.folder / name).write_text(text)

    def run(self, block: Block, shown: str) -> None:
        """`shown`: the answer that the document gives; empty where it gives none."""
        if block.language == "sql":
            if "INSTALL COMPONENT" in block.text:  # shown as the first thing on a new server
                self.script("uninstall.sql")
            printed = self.sql(block.text)
            assert shown in ("", printed)
        else:
            self.shell(block.text)

    def shell(self, text: str) -> None:
        path = f"{self.commands}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        # `make up` and its like on a folder and a port of our own; nothing of an outer make.
        environment = {
            **os.environ,
            "PATH": path,
            "MAKEFLAGS": f"STACK={self.commands / 'stack'}",
            "MAKELEVEL": "",
            release_number.VARIABLE: release_number.release(),  # the folder has no .git
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def machine(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    directory = tmp_path_factory.mktemp("documentation")
    # Functions that call AWS meet nobody: nothing listens on the discard port.
    names = [function.name for function in FUNCTIONS.iterdir()]
    functions = copy_functions(FUNCTIONS, directory / "functions", names, endpoint_url="http://127.0.0.1:9")
    folder, commands = directory / "checkout", directory / "commands"
    folder.mkdir()
    commands.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in (".git", ".run"):
            (folder / entry.name).symlink_to(entry)
    # The account of [outbox]'s default is the documents' own to create.
    outbox = {"mysql_socket": str(directory / "mysql/mysql.sock"), "user": "root"}
    with start_stack(mysql_home, directory, Library.PLAIN, functions=functions, outbox=outbox) as stack:
        for name in ("mysql", "mysqldump", "mysqladmin"):
            client = f'"{mysql_home}/bin/{name}" --no-defaults --socket="{stack.mysqld.socket}"'
            _write_command(commands / name, f'exec {client} "$@"')
        # These look for the server where packages put its socket; here it is told.
        sidecar_command = f'"{Path(sys.executable).parent}/lambda-sidecar"'
        _write_command(
            commands / "lambda-sidecar",
            f'case "$1" in install|uninstall|migrate-check) set -- "$@" --socket="{stack.mysqld.socket}";; esac\n'
            f'exec {sidecar_command} "$@"',
        )
        run = directory / ".run"
        _write_command(
            commands / "stack",
            'command=$1; shift; if [ "$command" = up ]; then set -- --port '
            f'{free_port()} "$@"; fi\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m examples.playground --run "{run}" "$command" "$@"',
        )
        try:
            yield Machine(stack, folder, commands)
        finally:
            stop_all(run)


def _write_command(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    "document", [path for path in DOCUMENTS if runnable(path)], ids=lambda path: path.name
)
def test_every_statement_and_command_of_a_document_runs(machine: Machine, document: Path) -> None:
    machine.reset()
    for block, shown in runnable(document):
        if block.not_run:
            continue
        try:
            machine.run(block, shown)
        except AssertionError as failure:
            raise AssertionError(f"{block}: {failure}\n{block.text}") from None

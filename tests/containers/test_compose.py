"""The compose file and the containers' documentation: their commands run as they are written.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.checkout import ROOT
from tests.support.containers import leftovers
from tests.support.markdown import Block, blocks

from lambda_sidecar.testing.ports import free_port

PROJECT_LABEL = "com.docker.compose.project"
# How a block says that it is run here.
HERE = "tests/containers runs it"
DOCUMENT = ROOT / "docs/containers.md"


@dataclass(frozen=True)
class Shell:
    """Runs commands in the checkout as a reader would; compose's project and port are the test's own."""

    project: str
    commands: Path

    def run(self, text: str) -> str:
        environment = {
            **os.environ,
            "PATH": f"{self.commands}:{os.environ['PATH']}",
            "COMPOSE_PROJECT_NAME": self.project,
            "MYSQL_PORT": (self.commands / "port").read_text(),
            "MAKEFLAGS": "",
            "MAKELEVEL": "",
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _has_plugin() -> bool:
    done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def shell(images: None, mysql_home: Path, tmp_path: Path) -> Iterator[Shell]:
    docker = shutil.which("docker")
    compose = f"{docker} compose" if _has_plugin() else shutil.which("docker-compose")
    if compose is None:
        pytest.skip("neither `docker compose` nor docker-compose is installed")
    port = free_port()
    (tmp_path / "port").write_text(str(port))
    for name, script in {
        # Where there is only docker-compose 1.29, it stands for `docker compose`.
        "docker": f'if [ "$1" = compose ]; then shift; exec {compose} "$@"; fi\nexec {docker} "$@"',
        "mysql": f'exec {mysql_home}/bin/mysql --no-defaults --port={port} "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    shell = Shell(f"lambda-udf-test-{uuid.uuid4().hex}", tmp_path)
    try:
        yield shell
    finally:
        shell.run("docker compose down --volumes --remove-orphans --timeout 60")


def documented(document: Path) -> list[Block]:
    return [block for block in blocks(document) if block.not_run.endswith(HERE)]


def test_the_commands_for_development_answer_in_the_container_and_on_the_host_and_leave_nothing(
    shell: Shell,
) -> None:
    compose, *_ = documented(DOCUMENT)
    assert shell.run(compose.text).count('"message": "pong"') == 2
    assert leftovers(f"{PROJECT_LABEL}={shell.project}") == []


def test_the_commands_for_one_container_answer_and_leave_nothing(shell: Shell) -> None:
    _, one, *_ = documented(DOCUMENT)
    assert shell.run(one.text).count('"message": "pong"') == 1
    assert shell.run("docker ps --all --quiet --filter name=^lambda-udf-development$") == ""


def test_the_commands_of_the_document_bring_a_mysql_that_asks_aws(shell: Shell) -> None:
    _, _, start, install, remove = documented(DOCUMENT)
    call = "docker exec lambda-udf-mysql mysql --user=root --password=secret --execute \"SELECT lambda_sync('f', '1')\" 2>&1"
    try:
        shell.run(start.text)
        shell.run(install.text)
        assert "Missing Credentials" in shell.run(f"! {call}")
    finally:
        shell.run(remove.text)
    left = "docker ps --all --format '{{.Names}}' --filter name=lambda-udf-; docker volume ls --quiet --filter name=lambda-udf-"
    names = ("lambda-udf-mysql", "lambda-udf-sidecar", "lambda-udf-socket", "lambda-udf-data")
    assert not set(shell.run(left).split()) & set(names)


def test_a_restart_of_everything_keeps_the_data_and_the_functions(shell: Shell) -> None:
    client = "docker compose run --rm client --batch --skip-column-names --execute"
    shell.run(f'{client} \'CREATE TABLE test.kept AS SELECT lambda_sync("Echo", "1") AS answer\'')
    shell.run("docker compose down")
    assert shell.run(f'{client} \'SELECT answer, lambda_sync("Echo", "2") FROM test.kept\'') == "1\t2\n"

"""lambda-udf/development: MySQL, the sidecar and /functions in one container, as the documents use it.

Each test's name is the sentence that it proves. `images` (conftest.py) builds the images, or leaves these out."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from testcontainers.community.mysql import MySqlContainer
from testcontainers.core.container import DockerContainer
from tests.support.checkout import ROOT
from tests.support.containers import (
    DEVELOPMENT_IMAGE,
    LABELS,
    connect,
    container_of,
    logs,
    port_of,
    query,
    run_in,
    wait_for_mysql,
)
from tests.support.markdown import blocks
from tests.support.mysql2_client import VERSION as MYSQL2
from tests.support.npm import NoPackage, installed, node
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("images")


SIDECAR = "lambda-sidecar"  # the account


def development(**variables: str) -> DockerContainer:
    """Not started; root's password is the image's own."""
    return (
        DockerContainer(DEVELOPMENT_IMAGE)
        .with_exposed_ports(3306)
        .with_envs(**variables)
        .with_kwargs(labels=LABELS)
    )


def healthy(container: DockerContainer) -> bool:
    state: str = container_of(container).attrs["State"]["Health"]["Status"]
    assert state != "unhealthy", logs(container)
    return state == "healthy"


@pytest.fixture(scope="module")
def started() -> Iterator[DockerContainer]:
    with development() as container:
        wait_until(lambda: healthy(container), seconds=120, what="the health of the development container")
        yield container


def ask(container: DockerContainer, sql: str) -> Any:
    ((value,),) = query(container, sql, password="lambda-udf")
    return value


def copy(container: DockerContainer, folder: Path) -> None:
    """As the documents do it."""
    name = container_of(container).name
    subprocess.run(["docker", "cp", f"{folder}/.", f"{name}:/functions"], check=True, capture_output=True)


def test_functions_that_are_copied_in_answer_in_python_and_in_nodejs(started: DockerContainer) -> None:
    copy(started, ROOT / "examples/nodejs")
    copy(started, ROOT / "examples/functions")
    assert json.loads(ask(started, "SELECT lambda_sync('Echo', '[1]')")) == [1]
    answer = ask(started, "SELECT lambda_sync('Greet', JSON_OBJECT('name', 'Ada'))")
    assert json.loads(answer)["greeting"] == "Hello, Ada"


def test_the_documents_test_in_nodejs_passes_as_written(started: DockerContainer, tmp_path: Path) -> None:
    try:
        node_modules = installed("mysql2", MYSQL2) / "node_modules"
    except NoPackage as reason:
        pytest.skip(f"the example with mysql2 is left out: {reason}")
    (code,) = (block.text for block in blocks(ROOT / "docs/containers.md") if block.language == "js")
    (tmp_path / "node_modules").symlink_to(node_modules)
    (tmp_path / "orders.test.js").write_text(code)
    # The function of the example, and its name in SQL.
    run_in(started, "mkdir", "/functions/Discount")
    subprocess.run(
        [
            "docker",
            "cp",
            ROOT / "examples/sam/discount/app.py",
            f"{container_of(started).name}:/functions/Discount/app.py",
        ],
        check=True,
        capture_output=True,
    )
    settings = 'handler = "app.lambda_handler"\nenvironment = {REGULARS = "Ada"}'
    run_in(started, "bash", "-c", f"echo '{settings}' >/functions/Discount/function.toml")
    done = subprocess.run(
        [node(), "--test", tmp_path],
        cwd=tmp_path,
        env={**os.environ, "MYSQL_PORT": str(port_of(started))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "pass 1" in done.stdout


def test_an_event_of_the_outbox_is_delivered(started: DockerContainer) -> None:
    copy(started, ROOT / "examples/functions")
    with (
        contextlib.closing(connect(started, password="lambda-udf")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("INSERT INTO lambda_udf.outbox (function_name, payload) VALUES ('Echo', '1')")
    wait_until(
        lambda: ask(started, "SELECT COUNT(*) FROM lambda_udf.outbox") == 0, seconds=30, what="the delivery"
    )


def sidecar_of(container: DockerContainer) -> str:
    """Its process in the container. The image has no pgrep."""
    look = "for p in /proc/[1-9]*; do grep -qsz '^serve$' $p/cmdline && echo ${p#/proc/}; done; true"
    return run_in(container, "bash", "-c", look)


def test_the_sidecar_runs_as_an_account_of_its_own_and_does_not_get_roots_password(
    started: DockerContainer,
) -> None:
    process = sidecar_of(started)
    environment = run_in(started, "bash", "-c", f"tr '\\0' '\\n' </proc/{process}/environ", user=SIDECAR)
    assert "LAMBDA_OUTBOX_PASSWORD_FILE=" in environment
    assert "MYSQL" not in environment
    assert run_in(started, "stat", "--format", "%U:%G", f"/proc/{process}") == f"{SIDECAR}:mysql"


def test_a_stop_ends_both_and_the_end_of_one_ends_the_container(started: DockerContainer) -> None:
    container_of(started).stop(timeout=60)
    assert container_of(started).attrs["State"]["ExitCode"] in (0, 143)
    assert "Shutdown complete" in logs(started)
    container_of(started).start()
    wait_for_mysql(started)
    run_in(started, "bash", "-c", f"kill -KILL {sidecar_of(started)}")
    assert container_of(started).wait(timeout=60)["StatusCode"] == 137


def test_the_workflow_of_the_document_runs_as_written_on_what_testcontainers_takes_for_mysql(
    mysql_home: Path, tmp_path: Path
) -> None:
    """Service and steps, as GitHub does them; the checkout and the job's own tests are this test's."""
    text = next(block.text for block in blocks(ROOT / "docs/ci.md") if block.language == "yaml")
    job = yaml.safe_load(text)
    service = job["services"]["mysql"]
    container = MySqlContainer(service["image"], username="root", password="secret", dbname="shop")
    with container.with_kwargs(labels=LABELS):
        assert (service["image"], service["env"]) == (DEVELOPMENT_IMAGE, container.env)
        assert service["ports"] == ["3306:3306"]
        url = urlsplit(container.get_connection_url())
        (tmp_path / "functions").symlink_to(ROOT / "examples/functions")
        (tmp_path / "schema.sql").write_text(
            "CREATE TABLE answers AS SELECT lambda_sync('Echo', '[3]') AS answer;"
        )
        (tmp_path / "mysql").write_text(
            f'#!/bin/sh\nexec {mysql_home}/bin/mysql --no-defaults --port={url.port} "$@"\n'
        )
        (tmp_path / "mysql").chmod(0o755)
        checkout, *steps, own = job["steps"]
        assert checkout == {"uses": "actions/checkout@v4"}
        assert own == {"run": "npm ci && npm test"}
        for step in steps:
            command = step["run"].replace("${{ job.services.mysql.id }}", container.get_container_id())
            subprocess.run(
                ["bash", "-euo", "pipefail", "-c", f"PATH={tmp_path}:$PATH; {command}"],
                cwd=tmp_path,
                check=True,
            )
        assert query(container, "SELECT answer FROM shop.answers", password="secret") == [("[3]",)]

"""What pyproject.toml says of other distributions: all that is imported, and lower bounds that hold.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.support import wheel
from tests.support.checkout import ROOT
from tests.support.invoker_client import open_stream
from tests.support.scrape import listener, scrape
from tests.support.stack import execute, local_config

from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
RUN_TIME = [Requirement(text) for text in PROJECT["dependencies"]]
# Distributions of ours, and modules that a build generates.
OWN = {"lambda_sidecar", "lambda_udf", "lambda_udf_build", "release_number", "manual", "vendored"}
OWN |= {"tests", "bench", "examples"}


def declared(*extras: str) -> set[str]:
    texts = [text for extra in extras for text in EXTRAS[extra]]
    return {canonicalize_name(requirement.name) for requirement in (*RUN_TIME, *map(Requirement, texts))}


def imported(folder: str) -> dict[str, Path]:
    """The top-level modules that a folder's files import, each with one file that does."""
    found: dict[str, Path] = {}
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
                if node.module == "google":  # a namespace of many distributions
                    names = [f"google.{alias.name}" for alias in node.names]
            found |= {name.split(".")[0] if not name.startswith("google.") else name: file for name in names}
    return found


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("sidecar/lambda_sidecar", ("local", "testing", "tracing")),
        ("tests", ("local", "testing", "tracing", "dev", "build", "packages")),
        ("bench", ("local", "dev", "bench")),
        ("packaging/wheel", ("build",)),
        ("packaging/packages", ("build", "packages")),
    ],
)
def test_every_distribution_that_is_imported_is_declared(folder: str, extras: tuple[str, ...]) -> None:
    distributions = importlib.metadata.packages_distributions()
    missing = {}
    for module, file in imported(folder).items():
        if module in sys.stdlib_module_names or module in OWN or (file.parent / f"{module}.py").exists():
            continue
        names = {"protobuf"} if module.startswith("google.protobuf") else set(distributions.get(module, ()))
        if not {canonicalize_name(name) for name in names} & declared(*extras):
            missing[module] = str(file.relative_to(ROOT))
    assert not missing


def test_constraints_have_a_version_of_everything_that_an_extra_names() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines if not line.startswith("#")}
    assert declared(*EXTRAS) - pinned == {"setuptools"}, "pip freeze leaves that out"
    renewed = [found[1].split(",") for line in lines if (found := re.search(r"pip install.*\[(.+)\]", line))]
    assert [set(names) for names in renewed] == [set(EXTRAS)]


def lowest(requirement: Requirement) -> str:
    (bound,) = [part.version for part in requirement.specifier if part.operator == ">="]
    return bound


def test_every_dependency_of_an_installation_has_a_lower_bound_and_no_other() -> None:
    extras = [text for extra in ("local", "testing", "tracing") for text in EXTRAS[extra]]
    for requirement in (*RUN_TIME, *map(Requirement, extras)):
        assert [part.operator for part in requirement.specifier] == [">="], requirement


def test_the_bounds_of_grpcio_and_protobuf_are_those_that_the_generated_code_checks() -> None:
    bounds = {requirement.name: lowest(requirement) for requirement in RUN_TIME}
    for service in (ROOT / "sidecar/lambda_udf/v1").glob("*_pb2_grpc.py"):
        asked = re.search(r"GRPC_GENERATED_VERSION = '(.+)'", service.read_text())
        assert asked is not None
        assert bounds["grpcio"] == bounds["grpcio-health-checking"] == asked[1]
    for messages in (ROOT / "sidecar/lambda_udf/v1").glob("*_pb2.py"):
        asked = re.search(r"Protobuf Python Version: (\S+)", messages.read_text())
        assert asked is not None
        assert bounds["protobuf"] == asked[1]


@pytest.fixture
def lowest_python(tmp_path: Path) -> Path:
    """An environment with the wheel and the lowest version of everything that it allows."""
    requirements = (*RUN_TIME, *map(Requirement, EXTRAS["local"]))
    constraints = tmp_path / "lowest.txt"
    lines = [f"{requirement.name}=={lowest(requirement)}\n" for requirement in requirements]
    constraints.write_text("".join(sorted(lines)))
    return wheel.environment("local", constraints) / "python"


@pytest.fixture
def server(mysql_home: Path, tmp_path: Path, port: int) -> Iterator[Mysqld]:
    options = ("--skip-networking=OFF", "--bind-address=127.0.0.1", f"--port={port}")
    with Mysqld(mysql_home, tmp_path / "mysql", option_file="[mysqld]\n", options=options) as mysqld:
        with contextlib.closing(mysqld.connect()) as connection:
            execute(connection, "CREATE USER boss@'%' IDENTIFIED BY 'Sesame-42'")
            execute(connection, "GRANT ALL ON *.* TO boss@'%' WITH GRANT OPTION")
        yield mysqld


@pytest.fixture
def port() -> int:
    return free_port()


def test_the_lowest_versions_that_are_allowed_serve_measure_and_install(
    lowest_python: Path, server: Mysqld, port: int, tmp_path: Path
) -> None:
    metrics, option_file = free_port(), tmp_path / "client.cnf"
    config = {**local_config(free_port()), "metrics": listener(metrics)}
    lines = ["host=127.0.0.1", f"port={port}", "user=boss", "password=Sesame-42", "ssl-mode=VERIFY_CA"]
    lines.append(f"ssl-ca={server.datadir / 'ca.pem'}")
    option_file.write_text("\n".join(["[client]", *lines, ""]))
    command = lowest_python.with_name("lambda-sidecar")
    with SidecarProcess(tmp_path / "sidecar", config, python=lowest_python) as sidecar:
        with open_stream(sidecar.socket) as stream:
            assert stream.ask("Echo", b'{"a": 1}').result.payload == b'{"a": 1}'
        assert scrape(metrics).value("calls_total", function="Echo", outcome="success") == 1
        for arguments in (
            f"health --config {sidecar.config_file}",
            f"top --once --socket {sidecar.socket}",
            f"install --defaults-file {option_file} --socket-of-sidecar {sidecar.socket}",
            f"uninstall --defaults-file {option_file}",
            f"install --socket {server.socket} --socket-of-sidecar {sidecar.socket}",
        ):
            done = wheel.run([command, *arguments.split()], cwd=tmp_path)
            assert done.returncode == 0, done.stdout
        with contextlib.closing(server.connect()) as connection:
            assert execute(connection, "SELECT lambda_sync('Echo', '[1]')") == [("[1]",)]

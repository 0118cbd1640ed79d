"""Fixtures for every test: a clean environment, and real servers that are stopped again.

Knows nothing of a single feature; tests/support/ holds the parts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.checkout import ROOT
from tests.support.failure_report import pytest_runtest_makereport  # noqa: F401  a hook
from tests.support.moto_server import moto_server
from tests.support.old_servers import OldServer
from tests.support.stack import CANARY, SANITIZER_REPORTS, Build, Library, Stack, start_stack

from lambda_sidecar.testing.aws_environment import NO_AWS_FILES


def _leftover() -> list[str]:
    return [name for name in os.environ if name.startswith(("AWS_", "OTEL_")) and name not in NO_AWS_FILES]


def pytest_configure() -> None:
    """Before anything starts a process: no AWS_* or OTEL_* variable and no file of this account may reach one, nor may it
    ask the metadata service of an EC2 instance."""
    for name in _leftover():
        del os.environ[name]
    os.environ.update(NO_AWS_FILES)


@pytest.fixture(autouse=True)
def _no_aws_of_this_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever another test left: each begins as pytest_configure has it, and may set its own."""
    for name in _leftover():
        monkeypatch.delenv(name)
    for name, value in NO_AWS_FILES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def mysql_home() -> Path:
    """The folder whose bin/ holds mysqld and its clients."""
    given = os.environ.get("LAMBDA_UDF_MYSQL")
    if given:
        return Path(given)
    provided = subprocess.run(
        [ROOT / "packaging/mysql/provide.sh"], check=True, capture_output=True, text=True
    )
    return Path(provided.stdout.strip())


@pytest.fixture(scope="session", params=list(Library), ids=lambda library: library.value)
def library(request: pytest.FixtureRequest) -> Library:
    """Every test that reaches mysqld runs twice: with the library as it ships, and under sanitizers."""
    chosen = request.param
    assert isinstance(chosen, Library)
    return chosen


@pytest.fixture(scope="session")
def shared_stack(
    library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    with start_stack(mysql_home, tmp_path_factory.mktemp(library.value), library) as stack:
        yield stack
        log = stack.mysqld.log_text()
        assert CANARY not in log
        assert CANARY not in stack.sidecar.log_text()
    reports = [line for line in log.splitlines() if any(mark in line for mark in SANITIZER_REPORTS)]
    assert not reports, "\n".join(reports)


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """mysqld with the library, the sidecar and the local Lambda; the record of invocations is empty and
    schema `test` is new."""
    shared_stack.reset()
    return shared_stack


@pytest.fixture(scope="session")
def library_of_8_4() -> Build:
    """The library as it is on MySQL 8.4."""
    path = OldServer.MYSQL_8_4.path
    made = subprocess.run(
        ["make", "-s", "-C", ROOT / "udf", f"BUILD={ROOT / 'build'}", f"PYTHON={sys.executable}", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return OldServer.MYSQL_8_4


@pytest.fixture(scope="module", params=["plain", "sanitized", "as on 8.4"])
def every_stack(
    request: pytest.FixtureRequest, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack for a module whose tests also run as on MySQL 8.4."""
    old = request.param == "as on 8.4"
    library: Build = request.getfixturevalue("library_of_8_4") if old else Library(request.param)
    with start_stack(mysql_home, tmp_path_factory.mktemp("every"), library) as stack:
        yield stack
        log = stack.mysqld.log_text()
    reports = [line for line in log.splitlines() if any(mark in line for mark in SANITIZER_REPORTS)]
    assert not reports, "\n".join(reports)


@pytest.fixture(scope="session")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """moto's server, an AWS written by others."""
    with moto_server(tmp_path_factory.mktemp("moto")) as url:
        yield url

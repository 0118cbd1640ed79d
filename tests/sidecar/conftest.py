"""Fixtures for the tests of the sidecar as a process: one of each kind, with nothing set that a test did not ask for.

Knows nothing of a single feature; tests that need other settings start theirs themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.aws_sidecar import AwsSidecar, aws_sidecar
from tests.support.stack import Record, local_config

from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess


@pytest.fixture
def port() -> int:
    """A TCP port that is free; the local Lambda's where `sidecar` is used."""
    return free_port()


@pytest.fixture
def sidecar(tmp_path: Path, port: int) -> Iterator[SidecarProcess]:
    """With the local Lambda and the examples' functions."""
    with SidecarProcess(tmp_path, local_config(port)) as sidecar:
        yield sidecar


@pytest.fixture
def record(port: int) -> Record:
    """What `sidecar`'s local Lambda recorded."""
    return Record(port)


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[AwsSidecar]:
    """Before scripted endpoints that answer well."""
    with aws_sidecar(tmp_path) as aws:
        yield aws

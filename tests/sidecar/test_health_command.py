"""`lambda-sidecar health`: its exit status, and what it says when there is nobody.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.stack import local_config

from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess


def health(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lambda_sidecar.cli", "health", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_status_is_0_while_the_sidecar_serves_and_1_afterwards(tmp_path: Path) -> None:
    with SidecarProcess(tmp_path, local_config(free_port())) as sidecar:
        serving = health("--config", sidecar.config_file)
        assert (serving.returncode, serving.stdout, serving.stderr) == (0, "", "")
    gone = health("--config", sidecar.config_file)
    assert gone.returncode == 1
    assert gone.stderr == (
        f"lambda-sidecar: {sidecar.socket}: is not there, or in a folder that this account may not enter; "
        "is the sidecar running?\n"
    )


def test_the_socket_can_be_named_instead_of_a_configuration(tmp_path: Path) -> None:
    with SidecarProcess(tmp_path, local_config(free_port())) as sidecar:
        serving = health("--socket", sidecar.socket)
    assert (serving.returncode, serving.stdout, serving.stderr) == (0, "", "")
    assert health("--socket", sidecar.socket).returncode == 1


def test_a_wrong_configuration_is_named_with_status_2(tmp_path: Path) -> None:
    config = tmp_path / "sidecar.toml"
    config.write_text("colour = 'red'\n")
    done = health("--config", config)
    assert done.returncode == 2
    assert done.stderr.startswith(f"lambda-sidecar: {config}: unknown key 'colour'")


@pytest.mark.parametrize(
    "arguments",
    [
        ("health", "--socket", "nowhere"),
        ("top", "--once", "--socket", "nowhere"),
        ("check", "--config", "nowhere"),
        ("install", "--host", "127.0.0.1", "--port", "1", "--user", "nobody"),
        ("migrate-check", "--host", "127.0.0.1", "--port", "1", "--user", "nobody"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_imports_nothing_that_only_serving_needs(arguments: tuple[str, ...]) -> None:
    """An orchestrator runs `health` every few seconds: without them it takes half the time."""
    code = (
        "import sys; from lambda_sidecar.cli import main; main(sys.argv[1:]);"
        "print({'aiohttp', 'aiobotocore', 'uvloop', 'lambda_sidecar.local'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines()[-1] == "set()", done

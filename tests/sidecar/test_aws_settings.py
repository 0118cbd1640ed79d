"""Wrong AWS settings are said when a command starts: one line, exit status 2.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.checkout import ROOT

from lambda_sidecar.testing.sidecar import toml_text

WRONG = [
    ({"AWS_PROFILE": "nobody"}, {}, r"ProfileNotFound: The config profile \(nobody\) could not be found"),
    ({"AWS_CONFIG_FILE": "{broken}"}, {}, r"ConfigParseError: Unable to parse config file: .*/broken"),
    ({"AWS_SHARED_CREDENTIALS_FILE": "{broken}"}, {}, r"ConfigParseError: Unable to parse config file: .*/broken"),
    ({"AWS_CA_BUNDLE": "/nowhere/ca.pem"}, {}, r"CA bundle /nowhere/ca\.pem: No such file or directory"),
    ({"AWS_CA_BUNDLE": "{broken}"}, {}, r"CA bundle .*/broken: .*certificate.*"),
    ({"AWS_ENDPOINT_URL_LAMBDA": "localhost:4566"}, {}, r"no Lambda endpoint for region 'us-east-1': Invalid endpoint: localhost:4566"),
    ({"AWS_ENDPOINT_URL": "localhost:4566"}, {}, r"no Lambda endpoint for region 'us-east-1': Invalid endpoint: localhost:4566"),
    ({"AWS_ENDPOINT_URL_STS": "localhost:4566"}, {"aws_default_lambda_role": "arn:aws:iam::123456789012:role/r"}, r"Invalid endpoint: localhost:4566"),
    ({"AWS_RETRY_MODE": "often"}, {}, r"(no Lambda endpoint for region 'us-east-1'|InvalidRetryModeError): .*often.*"),
    ({"AWS_MAX_ATTEMPTS": "many"}, {}, r".*many.*"),
    ({"AWS_METADATA_SERVICE_TIMEOUT": "soon"}, {}, r".*soon.*"),
    ({"AWS_DEFAULTS_MODE": "fast"}, {}, r".*fast.*"),
    ({"AWS_REGION": "us east 1"}, {}, r"region: not a region's name: 'us east 1'"),
    ({"AWS_DEFAULT_REGION": "EU"}, {}, r"region: not a region's name: 'EU'"),
]  # fmt: skip


def run(
    command: str, directory: Path, environment: dict[str, str], settings: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    (directory / "broken").write_text("[default\nno = section\n")
    config = directory / "sidecar.toml"
    config.write_text(toml_text({"socket": str(directory / "s"), **settings}))
    ours = {name: value.format(broken=directory / "broken") for name, value in environment.items()}
    return subprocess.run(
        [sys.executable, "-m", "lambda_sidecar.cli", command, "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "HOME": str(directory), **ours},
    )


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize(("environment", "settings", "words"), WRONG, ids=lambda value: "-".join(value) if isinstance(value, dict) else "")  # fmt: skip
def test_a_wrong_setting_of_aws_is_one_line_and_status_2(
    tmp_path: Path, command: str, environment: dict[str, str], settings: dict[str, str], words: str
) -> None:
    done = run(command, tmp_path, environment, settings)
    said = done.stderr if command == "serve" else done.stdout
    before = "lambda-sidecar: " if command == "serve" else "FAIL  configuration: "
    lines = said.splitlines()
    assert len(lines) == 1, said
    assert re.fullmatch(re.escape(f"{before}AWS configuration: ") + words, lines[0]), lines[0]
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr


def test_a_profile_without_a_fault_is_taken(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[profile one]\nregion = eu-west-1\nretry_mode = standard\n")
    environment = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_PROFILE": "one"}
    done = run("check", tmp_path, environment, {})
    assert done.stdout.splitlines()[0] == f"ok    configuration: {tmp_path / 'sidecar.toml'}"
    assert done.returncode == 1  # no sidecar runs there


def test_systemd_does_not_start_again_what_ends_with_status_2() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "packaging/systemd/lambda-sidecar.service")
    assert (unit["Service"]["Restart"], unit["Service"]["RestartPreventExitStatus"]) == ("always", "2")

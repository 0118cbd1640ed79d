"""What a developer's shell and ~/.aws say of AWS reaches neither pytest's tests nor the processes that they start.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.checkout import ROOT
from tests.support.poisoned_home import poisoned_home


def test_pytest_itself_may_be_started_with_a_poisoned_home_and_variables(tmp_path: Path) -> None:
    home = poisoned_home(tmp_path)
    poison = {
        "HOME": str(home),
        "AWS_CONFIG_FILE": str(home / ".aws/config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / ".aws/credentials"),
        "AWS_EC2_METADATA_DISABLED": "false",
        "AWS_PROFILE": "poison",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/pure/test_aws_files.py"],
        cwd=ROOT,
        env={**os.environ, **poison},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_a_process_that_a_test_starts_hears_nothing_of_a_poisoned_home(tmp_path: Path) -> None:
    script = "from lambda_sidecar.aws.configuration import AwsConfiguration; print(AwsConfiguration().region)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "HOME": str(poisoned_home(tmp_path))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None\n"

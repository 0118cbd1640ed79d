"""No file of the account that runs the tests reaches one, and no variable: they pass or fail alike everywhere.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.poisoned_home import POISONED_KEY, POISONED_REGION, poisoned_home

from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.credentials import ChainCredentials
from lambda_sidecar.errors import InvokeFailure
from lambda_sidecar.testing.aws_environment import NO_AWS_FILES


def test_a_test_has_the_variables_that_point_at_nothing_and_no_others_of_aws() -> None:
    assert {name: os.environ[name] for name in os.environ if name.startswith("AWS_")} == NO_AWS_FILES


async def test_a_poisoned_home_folder_gives_neither_region_nor_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(poisoned_home(tmp_path)))
    aws = AwsConfiguration()
    assert aws.region is None
    with pytest.raises(InvokeFailure, match="Missing Credentials"):
        await ChainCredentials(aws.session).get()


async def test_it_is_the_variables_that_keep_it_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(poisoned_home(tmp_path)))
    for name in NO_AWS_FILES:
        monkeypatch.delenv(name)
    aws = AwsConfiguration()
    assert aws.region == POISONED_REGION
    assert (await ChainCredentials(aws.session).get()).access_key == POISONED_KEY

"""A reload in this process: whatever fails, the old configuration stays whole.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import pytest
from botocore.exceptions import ProfileNotFound

import lambda_sidecar.reload
from lambda_sidecar.access.settings import AllowRule
from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.credentials import ChainCredentials, PlaceholderCredentials
from lambda_sidecar.aws.lambda_api import Invoker
from lambda_sidecar.aws.sts import Sts
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import make_policy
from lambda_sidecar.concurrency.slots import Concurrency
from lambda_sidecar.config.config import Config
from lambda_sidecar.reload import Reload

REFUSED = "configuration not reloaded, the old one stays: "


def loaded(sidecar_config: Config, load: Callable[[], Config]) -> tuple[Reload, Pipeline, Sts]:
    """A Reload of real parts in this process, with nothing that listens."""
    aws = AwsConfiguration()
    credentials = ChainCredentials(aws.session)
    sts = Sts(aws, credentials, sidecar_config.region)
    invoker = Invoker(aws, connect_timeout=sidecar_config.connect_timeout_seconds)
    policy = make_policy(sidecar_config, aws)
    concurrency = Concurrency(sidecar_config.max_concurrency, None)
    pipeline = Pipeline(invoker.invoke, PlaceholderCredentials(), policy, concurrency)
    return Reload(sidecar_config, load, aws=aws, pipeline=pipeline, invoker=invoker, sts=sts), pipeline, sts


# The SDK warns of a call that it offers no other way for; the sidecar itself shows no such warnings.
@pytest.mark.filterwarnings("ignore:Fetching the endpoint_resolver")
def test_a_part_that_fails_in_the_middle_of_a_reload_leaves_the_old_configuration_whole(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> None:
        old = Config(region="us-east-1", account_id="123456789012", allow=(AllowRule(account="app@*"),))
        new = dataclasses.replace(old, region="eu-west-1", allow=(), max_concurrency=1)
        reload, pipeline, sts = loaded(old, lambda: new)
        policy = pipeline.policy
        monkeypatch.setattr(lambda_sidecar.reload, "set_logging", _refuses_once())
        assert reload() == old
        assert (pipeline.policy, sts.region, pipeline.concurrency.maximum) == (policy, "us-east-1", 1000)
        assert reload.outcome == REFUSED + "internal failure: OSError"
        assert reload() == new
        assert (sts.region, pipeline.concurrency.maximum) == ("eu-west-1", 1)

    asyncio.run(fails())
    assert "canary" not in caplog.text


@pytest.mark.filterwarnings("ignore:Fetching the endpoint_resolver")
def test_a_file_that_does_not_mention_the_rules_that_were_in_force_is_refused_and_they_stay() -> None:
    async def is_refused() -> None:
        old = Config(region="us-east-1", account_id="123456789012", allow=(AllowRule(account="app@*"),))
        new = dataclasses.replace(old, allow=None)
        reload, pipeline, _ = loaded(old, lambda: new)
        policy = pipeline.policy
        assert reload() == old
        assert pipeline.policy is policy
        assert reload.outcome.startswith(f"{REFUSED}the file has no [[allow]], and 1 were in force")

    asyncio.run(is_refused())


def _refuses_once() -> Callable[[str, str], None]:
    failures = iter([OSError("canary")])

    def set_logging(_level: str, _log_format: str) -> None:
        for failure in failures:
            raise failure

    return set_logging


# The SDK warns of a call that it offers no other way for; the sidecar itself shows no such warnings.
@pytest.mark.filterwarnings("ignore:Fetching the endpoint_resolver")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ProfileNotFound(profile="blue"), "The config profile (blue) could not be found"),
        (RecursionError("canary"), "internal failure: RecursionError"),
    ],
)
def test_whatever_reading_the_configuration_raises_the_old_one_stays_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture, error: Exception, reason: str
) -> None:
    def load() -> Config:
        raise error

    async def fails() -> None:
        old = Config(region="us-east-1")
        reload, pipeline, _ = loaded(old, load)
        policy = pipeline.policy
        assert (reload(), pipeline.policy) == (old, policy)
        assert reload.outcome == REFUSED + reason

    asyncio.run(fails())
    assert caplog.records[-1].levelname == "ERROR"
    assert "canary" not in caplog.text

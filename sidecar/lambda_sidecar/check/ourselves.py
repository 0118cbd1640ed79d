"""What a call would meet as far as the command itself can say, where no sidecar answers.

Uses the parts that the sidecar uses; asks no sidecar."""

from __future__ import annotations

from lambda_sidecar.access.account import Account
from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.credentials import ChainCredentials
from lambda_sidecar.aws.lambda_api import Invoker
from lambda_sidecar.aws.sts import Sts
from lambda_sidecar.calls.diagnosis import AwsParts, Diagnosis
from lambda_sidecar.calls.policy import Policy, make_policy
from lambda_sidecar.check.report import Report
from lambda_sidecar.config.config import Config


async def try_settings(config: Config) -> None:
    """Raises ConfigError for a configuration with which no sidecar would start."""
    aws = AwsConfiguration()
    policy = make_policy(config, aws)
    if config.local is None:
        await aws.try_out(policy.defaults.region, roles=config.has_roles)


async def look_ourselves(config: Config, function: str, account: Account, report: Report) -> None:
    """Adds to the report that the sidecar was not asked, and what this process finds. Raises ConfigError."""
    aws = AwsConfiguration()
    policy = make_policy(config, aws)
    report.warn(
        "sidecar",
        "it was not asked: what follows holds for this command, with its own account and environment",
    )
    if config.local is not None:
        await _look(config, policy, None, function, account, report)
    else:
        await _look_at_aws(config, aws, policy, function, account, report)
    if config.outbox is not None:
        # Imported where it is wanted: it brings MySQL's connector with it.
        from lambda_sidecar.outbox.account_check import look_at_outbox

        await look_at_outbox(config.outbox, report)


async def _look_at_aws(
    config: Config, aws: AwsConfiguration, policy: Policy, function: str, account: Account, report: Report
) -> None:
    base = ChainCredentials(aws.session)
    sts = Sts(aws, base, policy.defaults.region)
    invoker = Invoker(aws, connect_timeout=config.connect_timeout_seconds, bare_names=config.bare_names)
    try:
        await _look(config, policy, AwsParts(aws, sts, invoker), function, account, report)
    finally:
        await invoker.close()
        await sts.close()
        await base.close()


async def _look(
    config: Config, policy: Policy, parts: AwsParts | None, function: str, account: Account, report: Report
) -> None:
    diagnosis = Diagnosis("this command", lambda: policy, has_roles=lambda: config.has_roles, parts=parts)
    await diagnosis.run(function, account, report)

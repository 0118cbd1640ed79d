"""`lambda-sidecar check`: what a call would meet, step by step, each with its outcome.

Uses the parts that the sidecar uses; changes nothing, and invokes nothing (a DryRun does not)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.function_name import FunctionName
from lambda_sidecar.access.rules import Role
from lambda_sidecar.aws.configuration import ANY_REGION, AwsConfiguration
from lambda_sidecar.aws.credentials import ChainCredentials
from lambda_sidecar.aws.lambda_api import Invocation, Invoker
from lambda_sidecar.aws.sts import Sts
from lambda_sidecar.calls.policy import Policy, make_policy
from lambda_sidecar.config.config import Config
from lambda_sidecar.errors import InvokeFailure
from lambda_sidecar.process.socket_check import look_at_socket


@dataclass
class Report:
    """Prints one line per step; `failed` says whether any of them is wrong."""

    failed: bool = field(default=False, init=False)

    def ok(self, step: str, text: str) -> None:
        print(f"ok    {step}: {text}")

    def warn(self, step: str, text: str) -> None:
        print(f"WARN  {step}: {text}")

    def skip(self, step: str, text: str) -> None:
        print(f"-     {step}: {text}")

    def fail(self, step: str, text: str) -> None:
        self.failed = True
        print(f"FAIL  {step}: {text}")


async def check(config: Config, path: Path | None, function: str | None, account: Account) -> bool:
    """Prints the steps; whether all is well. Raises ConfigError."""
    report = Report()
    aws = AwsConfiguration()
    policy = make_policy(config, aws)
    if config.local is None:
        await aws.try_out(policy.defaults.region, roles=config.has_roles)
    report.ok("configuration", str(path) if path is not None else "defaults and the environment")
    look_at_socket(config.socket, report)
    if config.outbox is not None:
        # Imported where it is wanted: it brings MySQL's connector with it.
        from lambda_sidecar.outbox.account_check import look_at_outbox

        await look_at_outbox(config.outbox, report)
    if config.local is not None:
        report.skip("credentials", "none are needed: [local] answers every call on this machine")
        if function is not None:
            _decide(policy, function, account, report)
        return not report.failed
    async with _parts(config, aws, policy) as (base, sts, invoker):
        await _look_at_credentials(sts, policy, report)
        if function is None:
            report.skip("role", "not looked at: name a function with --function")
        else:
            await _dry_run(policy, function, account, base=base, sts=sts, invoker=invoker, report=report)
    return not report.failed


@contextlib.asynccontextmanager
async def _parts(
    config: Config, aws: AwsConfiguration, policy: Policy
) -> AsyncIterator[tuple[ChainCredentials, Sts, Invoker]]:
    base = ChainCredentials(aws.session)
    sts = Sts(aws, base, policy.defaults.region)
    invoker = Invoker(aws, connect_timeout=config.connect_timeout_seconds, bare_names=config.bare_names)
    try:
        yield base, sts, invoker
    finally:
        await invoker.close()
        await sts.close()
        await base.close()


async def _look_at_credentials(sts: Sts, policy: Policy, report: Report) -> None:
    try:
        # In some region even where no function names one: the answer is the same everywhere.
        caller = await sts.caller(policy.defaults.region or ANY_REGION)
    except InvokeFailure as failure:
        report.fail("credentials", failure.text)
    else:
        report.ok("credentials", f"the sidecar is {caller}")


def _decide(
    policy: Policy, text: str, account: Account, report: Report
) -> tuple[FunctionName, Role | None] | None:
    try:
        function = policy.function_name(text, "", "")
        decision = policy.access.decide(account, function)
    except InvokeFailure as failure:
        report.fail("role", failure.text)
        return None
    permitted, reason = decision.reasons
    report.ok("allow", f"account {account} may invoke {function}: {permitted}")
    report.ok("role", f"{decision.role.arn if decision.role is not None else 'none'}: {reason}")
    return function, decision.role


async def _dry_run(
    policy: Policy,
    text: str,
    account: Account,
    *,
    base: ChainCredentials,
    sts: Sts,
    invoker: Invoker,
    report: Report,
) -> None:
    decided = _decide(policy, text, account, report)
    if decided is None:
        return
    function, role = decided
    step = "dry run" if role is None else "assume role"
    try:
        if role is None:
            credentials: ReadOnlyCredentials = await base.get()
        else:
            session = await sts.assume(role, account, function.region)
            credentials = session.credentials
            report.ok(step, f"the call is signed by {session.arn}")
        step = "dry run"
        result = await invoker.invoke(Invocation(function, b"{}", "DryRun"), credentials)
    except InvokeFailure as failure:
        report.fail(step, failure.text)
    else:
        report.ok(step, f"Lambda would invoke {function} (status {result.status_code})")

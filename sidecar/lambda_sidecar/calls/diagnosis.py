"""What a call would meet, step by step: region, credentials, rules, role, and Lambda's DryRun.

Uses the parts that calls use, and counts as none; changes nothing, and invokes nothing. Knows neither who
asks nor how the findings travel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.function_name import FunctionName
from lambda_sidecar.access.rules import Role
from lambda_sidecar.aws.configuration import ANY_REGION, AwsConfiguration
from lambda_sidecar.aws.lambda_api import Invocation, Invoker
from lambda_sidecar.aws.sts import Sts
from lambda_sidecar.calls.finding import Findings
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.errors import ApiError, EndpointUnreachable, InvokeFailure, RoleNotAssumed

# All questions to AWS; each bounds itself by less.
AWS_SECONDS = 40.0

_GIVE_CREDENTIALS = (
    "give the service credentials (an instance profile, or /etc/credstore/lambda-sidecar.aws: "
    "docs/systemd.md) and restart it"
)
_OPEN_THE_WAY = "look at DNS, routes, security groups and the proxy between this machine and that endpoint"
_CORRECT_RULES = (
    "correct [[allow]] or the roles in the sidecar's configuration (docs/access.md) and reload it"
)
_AFTER_DRY_RUN = {
    "ResourceNotFoundException": "look at the name, region and account: there is no such function",
    "AccessDeniedException": "let the identity above invoke it: lambda:InvokeFunction (docs/access.md)",
}


@dataclass(frozen=True)
class AwsParts:
    """What calls are signed with and sent by."""

    aws: AwsConfiguration
    sts: Sts
    invoker: Invoker


class Diagnosis:
    """`who` is whose credentials these are, in the words of the findings."""

    def __init__(
        self,
        who: str,
        policy: Callable[[], Policy],
        *,
        has_roles: Callable[[], bool],
        parts: AwsParts | None,
    ) -> None:
        """`policy` and `has_roles` are asked anew each time. Without `parts` a Lambda on this machine
        answers."""
        self._who = who
        self._policy = policy
        self._has_roles = has_roles
        self._parts = parts

    async def run(self, function: str, account: Account, findings: Findings) -> None:
        """`function` as SQL would name it; empty: only what is the same for every call. What fails is a
        finding, and nothing is raised."""
        try:
            async with asyncio.timeout(AWS_SECONDS):
                await self._run(function, account, findings)
        except TimeoutError:
            findings.fail("AWS", f"there was no answer within {AWS_SECONDS:g} s", _OPEN_THE_WAY)

    async def _run(self, function: str, account: Account, findings: Findings) -> None:
        policy, parts = self._policy(), self._parts
        if parts is None:
            findings.skip("credentials", "none are needed: [local] answers every call on this machine")
            if function:
                _decide(policy, function, account, findings)
            return
        await _look_at_region(parts.aws, policy.defaults.region, findings)
        await self._look_at_credentials(parts, policy.defaults.region, findings)
        if not function:
            findings.skip("role", "not looked at: name a function with --function")
        elif (decided := _decide(policy, function, account, findings)) is not None:
            await _dry_run(parts, *decided, account, findings)

    async def _look_at_credentials(self, parts: AwsParts, region: str | None, findings: Findings) -> None:
        try:
            await parts.sts.base.get()
        except InvokeFailure as failure:
            findings.fail("credentials", failure.text, _GIVE_CREDENTIALS)
            return
        if parts.aws.is_emulated and not self._has_roles():
            text = "found; AWS_ENDPOINT_URL_LAMBDA is not AWS, which is not asked whose they are"
            findings.ok("credentials", text)
            return
        try:
            # In some region even where no function names one: the answer is the same everywhere.
            caller = await parts.sts.caller(region or ANY_REGION)
        except EndpointUnreachable as failure:
            text = f"found, but STS is out of reach: {failure.reason}"
            if self._has_roles():
                findings.fail("credentials", text, _STS_NEXT)
            else:
                findings.warn(
                    "credentials", f"{text}; calls do not need it while there are no roles", _STS_NEXT
                )
        except RoleNotAssumed as failure:
            findings.fail("credentials", failure.text, "give the service credentials that AWS accepts")
        except InvokeFailure as failure:
            findings.fail("credentials", failure.text, "see the sidecar's log")
        else:
            findings.ok("credentials", f"{self._who} is {caller}")


_STS_NEXT = f"{_OPEN_THE_WAY}, or name another one (AWS_ENDPOINT_URL_STS)"


async def _look_at_region(aws: AwsConfiguration, region: str | None, findings: Findings) -> None:
    if region is None:
        text = "none is configured: SQL must name each function by an ARN with its region"
        findings.warn("region", text, "set region in the sidecar's configuration, or AWS_REGION")
        return
    try:
        endpoint = await aws.endpoint(region)
    except InvokeFailure as failure:
        findings.fail("region", failure.text, "correct region in the sidecar's configuration, or AWS_REGION")
        return
    findings.ok("region", f"{region}; Lambda is at {endpoint}")


def _decide(
    policy: Policy, text: str, account: Account, findings: Findings
) -> tuple[FunctionName, Role | None] | None:
    try:
        function = policy.function_name(text, "", "")
        decision = policy.access.decide(account, function)
    except InvokeFailure as failure:
        findings.fail("role", failure.text, _CORRECT_RULES)
        return None
    permitted, reason = decision.reasons
    findings.ok("allow", f"account {account} may invoke {function}: {permitted}")
    findings.ok("role", f"{decision.role.arn if decision.role is not None else 'none'}: {reason}")
    return function, decision.role


async def _dry_run(
    parts: AwsParts, function: FunctionName, role: Role | None, account: Account, findings: Findings
) -> None:
    step = "dry run" if role is None else "assume role"
    try:
        if role is None:
            credentials = await parts.sts.base.get()
        else:
            session = await parts.sts.assume(role, account, function.region)
            credentials = session.credentials
            findings.ok(step, f"the call is signed by {session.arn}")
        step = "dry run"
        result = await parts.invoker.invoke(Invocation(function, b"{}", "DryRun"), credentials)
    except InvokeFailure as failure:
        why = f" ({failure.reason})" if isinstance(failure, EndpointUnreachable) else ""
        findings.fail(step, failure.text + why, _after(failure, role))
    else:
        findings.ok(step, f"Lambda would invoke {function} (status {result.status_code})")


def _after(failure: InvokeFailure, role: Role | None) -> str:
    if isinstance(failure, EndpointUnreachable):
        return _OPEN_THE_WAY
    if isinstance(failure, RoleNotAssumed) and role is not None:
        return f"let the identity above assume {role.arn}, in that role's trust policy (docs/access.md)"
    if isinstance(failure, ApiError):
        return _AFTER_DRY_RUN.get(failure.code, "")
    return ""

"""Where calls go, and what signs them: AWS and the credential chain, or the local Lambda on this machine.

Knows which parts that takes and the order in which they start and end; nothing of who calls."""

from __future__ import annotations

import asyncio
import functools
import logging
from dataclasses import dataclass

from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.credentials import (
    ChainCredentials,
    CredentialSource,
    PlaceholderCredentials,
    end_tasks,
)
from lambda_sidecar.aws.durable_api import DurableApi
from lambda_sidecar.aws.identity import log_identity
from lambda_sidecar.aws.lambda_api import Invoker
from lambda_sidecar.aws.role_credentials import RoleCredentials
from lambda_sidecar.aws.sts import Sts
from lambda_sidecar.calls.diagnosis import AwsParts
from lambda_sidecar.config.config import Config
from lambda_sidecar.local import LocalLambda
from lambda_sidecar.process.closers import Closers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upstream:
    """It runs. `sts` and `roles` are None where the local Lambda answers."""

    aws: AwsConfiguration
    invoker: Invoker
    credentials: CredentialSource
    durable: DurableApi
    sts: Sts | None = None
    roles: RoleCredentials | None = None

    @property
    def aws_parts(self) -> AwsParts | None:
        """None where AWS has no part in a call."""
        return None if self.sts is None else AwsParts(self.aws, self.sts, self.invoker)

    def introduce(self, closers: Closers) -> None:
        """Has the log say whom AWS takes the sidecar for. Returns at once: calls are served meanwhile."""
        if self.sts is None:
            return
        looking = asyncio.create_task(log_identity(self.aws, self.sts), name="identity")
        closers.add("the look at who it is at AWS", functools.partial(end_tasks, {looking}))


async def start_upstream(
    config: Config, aws: AwsConfiguration, region: str | None, closers: Closers
) -> Upstream:
    """`closers` gets what ends it, also where this fails. `region` is that of names without one. Raises
    ConfigError and LocalLambdaError."""
    if config.local is not None:
        local = LocalLambda(config.local)
        closers.add("the local Lambda", local.stop)
        await local.start()
        log.info("local Lambda serves %s at %s", config.local.functions, local.endpoint)
        invoker, durable = _clients(config, aws, local.endpoint, closers)
        return Upstream(aws, invoker, PlaceholderCredentials(), durable)
    base = ChainCredentials(aws.session)
    closers.add("the chain's credentials", base.close)
    sts = Sts(aws, base, region)
    closers.add("connections to STS", sts.close)
    roles = RoleCredentials(base, sts.assume)
    closers.add("the roles' credentials", roles.close)
    invoker, durable = _clients(config, aws, None, closers)
    await aws.try_out(region, roles=config.has_roles)
    return Upstream(aws, invoker, roles, durable, sts, roles)


def _clients(
    config: Config, aws: AwsConfiguration, endpoint: str | None, closers: Closers
) -> tuple[Invoker, DurableApi]:
    """`endpoint` replaces every region's."""
    invoker = Invoker(
        aws,
        connect_timeout=config.connect_timeout_seconds,
        endpoint_url=endpoint,
        bare_names=config.bare_names,
    )
    closers.add("connections to Lambda", invoker.close)
    durable = DurableApi(aws, endpoint_url=endpoint)
    closers.add("connections to Lambda's durable executions", durable.close)
    return invoker, durable

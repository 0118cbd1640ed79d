"""The policy that decides a call: one configuration, with the defaults that the AWS configuration adds.

Knows where each value comes from; nothing of a single call."""

from __future__ import annotations

import functools

from lambda_sidecar.access.function_name import Defaults, FunctionName, parse_function_name
from lambda_sidecar.access.rules import AccessRules
from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.config.config import Config, ConfigError

# Names remembered: those that a busy server's SQL uses; one more costs some microseconds.
REMEMBERED = 4096


class Policy:
    """A call keeps the one that it began with; a reload puts a new one in its place."""

    def __init__(self, defaults: Defaults, access: AccessRules) -> None:
        self.defaults = defaults
        self.access = access
        self.function_name = functools.lru_cache(REMEMBERED)(self._function_name)

    def _function_name(self, text: str, region: str, qualifier: str) -> FunctionName:
        """As parse_function_name, with what this configuration fills in."""
        return parse_function_name(text, self.defaults, region=region, qualifier=qualifier)


def make_policy(config: Config, aws: AwsConfiguration) -> Policy:
    """Raises ConfigError for rules that need a region or account where none is configured."""
    local = config.local
    defaults = Defaults(
        partitions=aws.partitions(),
        region=config.region or (local.region if local else None) or aws.region,
        account_id=config.account_id or (local.account_id if local else None),
    )
    try:
        return Policy(defaults, AccessRules(config.access, defaults))
    except ValueError as error:
        raise ConfigError(str(error)) from None

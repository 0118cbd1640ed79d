"""SIGHUP: a new configuration for the calls that begin later, or a line in the log that says why not.

Knows what can change in a running sidecar; a call under way is never touched."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from lambda_sidecar.aws import AwsConfiguration
from lambda_sidecar.config import Config, ConfigError, validate
from lambda_sidecar.invoker import Invoker
from lambda_sidecar.log_format import set_logging
from lambda_sidecar.policy import make_policy
from lambda_sidecar.service import LambdaInvoker
from lambda_sidecar.sts import Sts

log = logging.getLogger(__name__)

# The sockets are open and the local Lambda runs: these need a restart.
FIXED = ("socket", "metrics", "local")


class Reload:
    """Reads the configuration again when called; gives the one that is in force then. `outcome` says what
    came of it, in the words of the log."""

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        *,
        aws: AwsConfiguration,
        service: LambdaInvoker,
        invoker: Invoker,
        sts: Sts | None,
    ) -> None:
        self._config = config
        self._load = load
        self._aws = aws
        self._service = service
        self._invoker = invoker
        self._sts = sts
        self.outcome = ""

    def __call__(self) -> Config:
        old = self._config
        try:
            wanted = self._load()
            new = dataclasses.replace(wanted, **{key: getattr(old, key) for key in FIXED})
            validate(new, where="with the [local] that runs")
            policy = make_policy(new, self._aws)
        except ConfigError as error:
            self.outcome = f"configuration not reloaded, the old one stays: {error}"
            log.error("%s", self.outcome)  # noqa: TRY400
            return old
        set_logging(new.log_level, new.log_format)
        self._invoker.change(connect_timeout=new.connect_timeout_seconds, bare_names=new.bare_names)
        if self._sts is not None:
            self._sts.region = policy.defaults.region
        self._service.policy = policy
        self._service.concurrency.limit(new.max_concurrency, new.max_concurrency_per_function)
        self._config = new
        changes = ", ".join(_differences(old, new)) or "nothing"
        self.outcome = f"configuration reloaded; changed: {changes}"
        if ignored := _differences(new, wanted):
            self.outcome += f"; needs a restart: {', '.join(ignored)}"
        log.log(logging.WARNING if ignored else logging.INFO, "%s", self.outcome)
        return new


def _differences(one: Config, other: Config) -> list[str]:
    """The keys; values may be long, and external ids are nobody's business."""
    names = (field.name for field in dataclasses.fields(Config))
    return [name for name in names if getattr(one, name) != getattr(other, name)]

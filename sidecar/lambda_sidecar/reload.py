"""SIGHUP: a new configuration for the calls that begin later, or a line in the log that says why not.

Knows what can change in a running sidecar; a call under way is never touched."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from botocore.exceptions import BotoCoreError

from lambda_sidecar.access.changes import access_changes, vanished_rules
from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.aws.lambda_api import Invoker
from lambda_sidecar.aws.sts import Sts
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import Policy, make_policy
from lambda_sidecar.config.config import Config, ConfigError, load_config, validate
from lambda_sidecar.log.format import log_defect, set_logging

log = logging.getLogger(__name__)

# The sockets are open and the local Lambda runs: these need a restart.
FIXED = ("socket", "metrics", "outbox", "local")


class Reload:
    """Reads the configuration again when called; gives the one that is in force then: the new one whole, or
    the old one. `outcome` says what came of it, in the words of the log."""

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        *,
        aws: AwsConfiguration,
        pipeline: Pipeline,
        invoker: Invoker,
        sts: Sts | None,
    ) -> None:
        self._config = config
        self._load = load
        self._aws = aws
        self._pipeline = pipeline
        self._invoker = invoker
        self._sts = sts
        self.outcome = ""

    def __call__(self) -> Config:
        old = self._config
        try:
            wanted = self._load()
            new = dataclasses.replace(wanted, **{key: getattr(old, key) for key in FIXED})
            validate(new, where="with the [local] that runs")
            _refuse_what_vanished(old, wanted)
            self._put_in_force(new, make_policy(new, self._aws))
        except Exception as error:
            self.outcome = f"configuration not reloaded, the old one stays: {_reason(error)}"
            log.error("%s", self.outcome)  # noqa: TRY400
            return old
        self._config = new
        for change in access_changes(old.access, new.access):
            log.warning("access has changed: %s", change)
        changes = ", ".join(_differences(old, new)) or "nothing"
        self.outcome = f"configuration reloaded; changed: {changes}"
        if ignored := _differences(new, wanted):
            self.outcome += f"; needs a restart: {', '.join(ignored)}"
        log.log(logging.WARNING if ignored else logging.INFO, "%s", self.outcome)
        return new

    def _put_in_force(self, config: Config, policy: Policy) -> None:
        before = self._pipeline.policy
        try:
            self._apply(config, policy)
        except Exception:
            self._apply(self._config, before)
            raise

    def _apply(self, config: Config, policy: Policy) -> None:
        self._pipeline.policy = policy
        if self._sts is not None:
            self._sts.region = policy.defaults.region
        self._invoker.change(connect_timeout=config.connect_timeout_seconds, bare_names=config.bare_names)
        self._pipeline.concurrency.limit(config.max_concurrency, config.max_concurrency_per_function)
        self._pipeline.concurrency.throttles.stopped_seconds = config.throttled_seconds
        set_logging(config.log_level, config.log_format)


def _refuse_what_vanished(old: Config, wanted: Config) -> None:
    """A file that was cut off, or is being written, must not open what was closed. Raises ConfigError."""
    if old != wanted == load_config(None):
        raise ConfigError(
            "the file sets nothing that is not the default anyway; if that is meant, restart the sidecar"
        )
    if key := vanished_rules(old.access, wanted.access):
        count = len(getattr(old, key))
        raise ConfigError(
            f"the file has no [[{key}]], and {count} were in force; if that is meant, write {key} = []"
        )


def _reason(error: Exception) -> str:
    """Of errors that are not about configuration the text may hold anything; the log has where they arose."""
    if isinstance(error, ConfigError | BotoCoreError):
        return str(error)
    log_defect(log, error)
    return f"internal failure: {type(error).__name__}"


def _differences(one: Config, other: Config) -> list[str]:
    """The keys; values may be long, and external ids are nobody's business."""
    names = (field.name for field in dataclasses.fields(Config))
    return [name for name in names if getattr(one, name) != getattr(other, name)]

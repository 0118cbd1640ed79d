"""The sidecar's configuration: one TOML file and the environment, validated whole before anything starts.

Knows what may be set and within which bounds; nothing of what is done with it."""

from __future__ import annotations

import os
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambda_sidecar.access.settings import (
    DURATION_DEFAULT,
    AccessSettings,
    AllowRule,
    RoleRule,
)
from lambda_sidecar.config.local import LocalLambdaSettings
from lambda_sidecar.config.metrics import MetricsSettings
from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.config.values import ConfigError as ConfigError
from lambda_sidecar.config.values import from_text, read_table
from lambda_sidecar.log.format import LOG_FORMATS, LOG_LEVELS
from lambda_sidecar.quotas import TIMEOUT_MAX_SECONDS

# struct sockaddr_un holds 108 bytes with the NUL (unix(7)).
SOCKET_PATH_MAX = 107
# More calls than one process can serve, and few enough that their tasks fit into memory.
CONCURRENCY_MAX = 100_000
ENVIRONMENT_PREFIX = "LAMBDA_SIDECAR_"
NAME_FORMATS = ("arn", "name")
# What a Kubernetes Service called lambda-sidecar (or lambda-sidecar-metrics) sets in its namespace's pods:
# Kubernetes' documentation of Services, "Environment variables"; the PORT ones are Docker's links. None is a
# key of ours. Names and values together distinguish them from a key with a typing error.
_ADDRESS = r"[0-9a-fA-F.:]+"
_URL = r"(?:tcp|udp|sctp)://.+"
_SERVICE_VARIABLE = re.compile(
    rf"LAMBDA_SIDECAR_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST={_ADDRESS}|SERVICE_PORT(?:_[A-Z0-9_]+)?=[0-9]+|PORT={_URL}"
    rf"|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:={_URL}|_PROTO=(?:tcp|udp|sctp)|_PORT=[0-9]+|_ADDR={_ADDRESS}))"
)
_TABLES = ("allow", "local", "metrics", "outbox", "role_rules")  # only in the file


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Everything that can be set. A top-level key KEY that is no table can also be given as
    LAMBDA_SIDECAR_KEY in the environment, which wins over the file."""

    socket: Path = Path("/run/lambda-sidecar/sidecar.sock")
    """Where mysqld's library finds the sidecar; at most 107 bytes."""
    region: str | None = None
    """The region of functions whose name has none. Without it: AWS_REGION, or the AWS profile's."""
    account_id: str | None = None
    """The AWS account (12 digits) of functions whose name has none."""
    function_name_format: str = "arn"
    """How the Lambda API gets a function's name: arn, or name for emulators that know names only."""
    drain_seconds: float = 30.0
    """How long running calls may go on after SIGTERM; 0 to 900. While they do, new ones are taken too."""
    connect_timeout_seconds: float = 5.0
    """How long one attempt to reach the Lambda endpoint may take; above 0, to 60."""
    max_concurrency: int = 1000
    """Calls that are at Lambda at once; more wait for a slot. 1 to 100000; Lambda's own quota for an
    account begins at 1000."""
    max_concurrency_per_function: int | None = None
    """The same for each function."""
    throttled_seconds: float = 30.0
    """A function that throttles, and has taken no call for so long, counts as stopped; above 0, to 900."""
    log_level: str = "info"
    """debug, info, warning or error."""
    log_format: str = "text"
    """text or json."""
    aws_default_lambda_role: str | None = None
    """The role of calls that no rule gives another one. Without it and without rules: the sidecar's own
    credentials."""
    associated_roles: tuple[str, ...] = ()
    """The roles that this server may assume; empty: those that are configured."""
    external_id: str | None = None
    """The sts:ExternalId that trust policies ask for; a rule may have its own."""
    role_duration_seconds: int = DURATION_DEFAULT
    """How long a role's credentials last, 900 to 43200; a rule may have its own."""
    session_tags: bool = False
    """Whether STS gets the account as the session tags mysql_user and mysql_host."""
    role_rules: tuple[RoleRule, ...] | None = None
    """[[role_rules]]: the first one that matches account and function gives the role. None: not in the file,
    as in one that was cut off; empty: `role_rules = []`, which says so."""
    allow: tuple[AllowRule, ...] | None = None
    """[[allow]]: which account may invoke which function; without any, all may. None as above."""
    metrics: MetricsSettings | None = None
    """[metrics]: /metrics for Prometheus."""
    outbox: OutboxSettings | None = None
    """[outbox]: delivers the rows of lambda_udf.outbox."""
    local: LocalLambdaSettings | None = None
    """[local]: a Lambda on this machine answers every call; no AWS account is needed."""

    @property
    def access(self) -> AccessSettings:
        """The keys about who may invoke what. Raises ValueError, which names the key."""
        return AccessSettings(
            region=self.region,
            account_id=self.account_id,
            aws_default_lambda_role=self.aws_default_lambda_role,
            associated_roles=self.associated_roles,
            external_id=self.external_id,
            role_duration_seconds=self.role_duration_seconds,
            session_tags=self.session_tags,
            role_rules=self.role_rules,
            allow=self.allow,
        )

    @property
    def has_roles(self) -> bool:
        """Whether a call may get a role, so that STS will be asked."""
        return self.aws_default_lambda_role is not None or bool(self.role_rules)

    @property
    def bare_names(self) -> bool:
        """Whether function_name_format says that functions are sent by their names alone."""
        return self.function_name_format == "name"


def load_config(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """Reads `path` (None: no file) and the environment. Raises ConfigError. Relative paths in the file
    are relative to the file's folder."""
    values: dict[str, Any] = {}
    base = Path.cwd()
    if path is not None:
        base = path.absolute().parent
        values = read_table(Config, _parse(path), where=str(path), base=base)
    values |= _read_environment(environment, base=Path.cwd())
    config = Config(**values)
    validate(config, where=str(path) if path else "environment")
    return config


def _parse(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None


def _read_environment(environment: Mapping[str, str], *, base: Path) -> dict[str, Any]:
    known = typing.get_type_hints(Config)
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or _SERVICE_VARIABLE.fullmatch(f"{variable}={text}"):
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if key not in known or key in _TABLES:
            settable = sorted(ENVIRONMENT_PREFIX + name.upper() for name in known if name not in _TABLES)
            raise ConfigError(
                f"environment: unknown variable {variable}; known are {', '.join(settable)}"
                " (those of Kubernetes Services are passed over)"
            )
        values[key] = from_text(text, known[key], where=f"environment: {variable}", base=base)
    return values


def validate(config: Config, *, where: str) -> None:
    """Raises ConfigError for the first value that is out of its bounds; `where` begins the text."""

    def require(holds: bool, key: str, expected: str) -> None:
        if not holds:
            raise ConfigError(f"{where}: {key}: {expected}")

    length = len(os.fsencode(config.socket))
    require(length <= SOCKET_PATH_MAX, "socket", f"the path has {length} bytes, at most {SOCKET_PATH_MAX}")
    region = config.region
    require(region is None or bool(re.fullmatch(r"[a-z0-9-]+", region)), "region", "not a region's name")
    account = config.account_id
    require(account is None or bool(re.fullmatch(r"[0-9]{12}", account)), "account_id", "12 digits expected")
    name_format = config.function_name_format
    require(
        name_format in NAME_FORMATS, "function_name_format", f"one of {', '.join(NAME_FORMATS)} is expected"
    )
    drain_max = TIMEOUT_MAX_SECONDS  # no call lasts longer
    require(0 <= config.drain_seconds <= drain_max, "drain_seconds", f"0 to {drain_max:g} is expected")
    require(0 < config.connect_timeout_seconds <= 60, "connect_timeout_seconds", "above 0, to 60 is expected")
    throttled_max = TIMEOUT_MAX_SECONDS
    require(
        0 < config.throttled_seconds <= throttled_max,
        "throttled_seconds",
        f"above 0, to {throttled_max:g} is expected",
    )
    for key in ("max_concurrency", "max_concurrency_per_function"):
        limit = getattr(config, key)
        require(limit is None or 1 <= limit <= CONCURRENCY_MAX, key, f"1 to {CONCURRENCY_MAX} is expected")
    require(config.log_level in LOG_LEVELS, "log_level", f"one of {', '.join(LOG_LEVELS)} is expected")
    require(config.log_format in LOG_FORMATS, "log_format", f"one of {', '.join(LOG_FORMATS)} is expected")
    if config.local is not None:
        functions = config.local.functions
        require(functions.is_dir(), "local.functions", f"{functions} is not a folder")
    try:
        _validate_roles(config)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None


def _validate_roles(config: Config) -> None:
    access = config.access
    if config.local is not None and (access.associated_roles or access.roles()):
        raise ValueError("local: a Lambda on this machine has no roles; remove [local] or the roles")

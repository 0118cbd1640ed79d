"""Whether spans are wanted, by OpenTelemetry's own environment variables, and can be sent.

Knows the names of the variables and of the package, which is imported only then."""

from __future__ import annotations

import importlib.util
import logging
import re
import typing
from collections.abc import Mapping

if typing.TYPE_CHECKING:
    from lambda_sidecar.tracing.spans import Spans

log = logging.getLogger(__name__)

# OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and "Environment Variable Specification".
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def start_spans(environment: Mapping[str, str]) -> Spans | None:
    """None where no endpoint is named, OpenTelemetry is disabled, or it is not installed, as the log says.
    No endpoint is a default: the package may be there for another's sake."""
    endpoint = next((_shown(environment[name]) for name in _ENDPOINTS if environment.get(name)), None)
    if endpoint is None or _is_disabled(environment):
        return None
    if not _is_installed():
        log.warning("spans are not sent to %s: the extra [tracing] is not installed", endpoint)
        return None
    from lambda_sidecar.tracing.spans import Spans

    try:
        spans = Spans()
    except Exception as error:  # of settings that it does not take; calls do not need it
        log.error("spans are not sent to %s: %s: %s", endpoint, type(error).__name__, error)  # noqa: TRY400
        return None
    log.info("spans of calls that have a trace are sent to %s", endpoint)
    return spans


def _shown(url: str) -> str:
    """Without what may be a password or a key."""
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    host, slash, path = rest.partition("/")
    return re.split("[?#]", f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}", maxsplit=1)[0]


def _is_disabled(environment: Mapping[str, str]) -> bool:
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return disabled or environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"


def _is_installed() -> bool:
    try:
        return all(importlib.util.find_spec(name) is not None for name in _NEEDED)
    except ImportError:  # a package that they are in
        return False

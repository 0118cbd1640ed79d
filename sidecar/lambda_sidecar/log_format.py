"""How the log is written: lines of text with key=value, or JSON, one object per line.

Knows Python's logging; nothing of what is logged but that a record may have `fields`."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
# They print payloads and credentials at debug.
_NOISY = ("botocore", "aiobotocore", "aiohttp", "grpc", "urllib3", "asyncio")


class TextFormatter(logging.Formatter):
    """The message, and its fields behind a colon: `call failed: account='app'@'%' outcome=timeout`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = super().formatMessage(record)
        fields = _fields(record)
        if not fields:
            return text
        return f"{text}: {' '.join(f'{key}={_text(value)}' for key, value in fields.items())}"


class JsonFormatter(logging.Formatter):
    """One object: time (UTC), level, logger, message, the fields, and a stack where there is one. ASCII, so
    that no character of a name can break the line or reach a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(level: str, log_format: str = "text") -> None:
    """Logs to standard error. Debug never turns on the debug logs of botocore, aiohttp or grpc."""
    logging.basicConfig()
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    set_logging(level, log_format)


def set_logging(level: str, log_format: str) -> None:
    """Changes the level of what is ours, and how all is written, while it runs."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    for handler in root.handlers:
        handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _text(value: object) -> str:
    """One word: what is none by itself is quoted as JSON does it, in ASCII. Accounts and the endpoint's
    words hold anything."""
    if value is None:
        return "-"
    text = str(value)
    plain = text.isprintable() and text and not any(character in ' "=\\' for character in text)
    return text if plain else json.dumps(text)

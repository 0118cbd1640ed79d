"""The form of the log: lines of text with key=value, or one JSON object per line.

Knows Python's logging, and of the records that they may have `fields`; nothing of their content."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO, cast

from lambda_sidecar.log.journal import JournalFormatter, is_journal, marked
from lambda_sidecar.log.writer import LogStream, LogWriter
from lambda_sidecar.text.safe_text import visible

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
# They print payloads and credentials at debug.
_NOISY = (
    "botocore",
    "aiobotocore",
    "mysql.connector",
    "aiohttp",
    "grpc",
    "urllib3",
    "asyncio",
    "opentelemetry",
)


class TextFormatter(logging.Formatter):
    """The message, and its fields behind a colon: `call failed: account='app'@'%' outcome=timeout`. One line,
    whatever the message and its arguments hold; the lines of a stack follow, each of them indented, so that
    none looks like a record of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = visible(super().formatMessage(record))
        fields = _fields(record)
        if fields:
            text = f"{text}: {' '.join(f'{key}={_text(value)}' for key, value in fields.items())}"
        return text + _indented(getattr(record, "stack", ""))

    def formatException(self, exc_info: Any) -> str:
        return _indented(super().formatException(exc_info)).removeprefix("\n")

    def formatStack(self, stack_info: str) -> str:
        return _indented(stack_info).removeprefix("\n")


class JsonFormatter(logging.Formatter):
    """One object: time (UTC), level, logger, message, the fields, and a stack where there is one. ASCII, so
    that no character can break the line or reach a terminal; who reads the object has each as it was."""

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
        elif stack := getattr(record, "stack", ""):
            line["exception"] = stack
        return json.dumps(line)


def configure_logging(level: str, log_format: str = "text") -> None:
    """Logs to standard error, and never waits for the reader; from now on, whatever is printed there goes the
    same way. Where the journal reads it, each line says its priority. Level debug never turns on the debug
    logs of botocore, aiohttp or grpc."""
    if sys.stderr is not None:  # closed: another file may have its number
        descriptor = sys.stderr.fileno()
        writer = LogWriter(descriptor)
        logging.getLogger().addHandler(writer)
        form = marked if is_journal(descriptor) else str
        sys.stderr = cast(TextIO, LogStream(writer, descriptor, form))
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    set_logging(level, log_format)


def set_logging(level: str, log_format: str) -> None:
    """Changes the level of our own loggers and the form of all lines, at any time."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    for handler in root.handlers:
        formatter = JsonFormatter() if log_format == "json" else TextFormatter()
        is_marked = isinstance(handler, LogWriter) and is_journal(handler.descriptor)
        handler.setFormatter(JournalFormatter(formatter) if is_marked else formatter)


def dropped_lines() -> int:
    """Lines that standard error did not take, since the start."""
    return sum(each.dropped for each in logging.getLogger().handlers if isinstance(each, LogWriter))


def log_defect(log: logging.Logger, error: BaseException) -> None:
    """A defect of ours, with its stack. Not its text, which may hold what must not be logged."""
    stack = "".join(traceback.format_tb(error.__traceback__))
    log.error("internal failure: %s", type(error).__name__, extra={"stack": stack})


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _indented(stack: str) -> str:
    return "".join(f"\n    {visible(line)}" for line in stack.splitlines())


def _text(value: object) -> str:
    """One word: a value that is none by itself is quoted as in JSON, in ASCII. Accounts and an endpoint's
    texts may hold anything."""
    if value is None:
        return "-"
    text = str(value)
    plain = text.isprintable() and text and not any(character in ' "=\\' for character in text)
    return text if plain else json.dumps(text)

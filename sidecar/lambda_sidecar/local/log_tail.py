"""The end of a worker's output, however long that is.
Knows neither processes nor invocations."""

from __future__ import annotations

from lambda_sidecar.quotas import LOG_TAIL_MAX

_TRIM_AT = 16 * LOG_TAIL_MAX


class LogTail:
    """Collects the output between two calls of take(), and keeps its end: 64 KiB plus one chunk at most."""

    def __init__(self) -> None:
        self._text = bytearray()

    def write(self, chunk: bytes) -> None:
        """Adds output in order of arrival."""
        self._text += chunk
        if len(self._text) > _TRIM_AT:
            del self._text[:-LOG_TAIL_MAX]

    def take(self) -> bytes:
        """The last 4 KB since the previous call."""
        tail = bytes(self._text[-LOG_TAIL_MAX:])
        self._text.clear()
        # awslambdaric separates the lines of one message by a carriage return (bootstrap.py).
        return tail.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

"""The record of invocations and of open Invoke requests, for tests and kits to assert on; bounded.
Knows nothing of HTTP: record_api.py serves it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from lambda_sidecar.local.invocation import Invocation

_MAX_PAYLOAD_BYTES = 64 * 1024 * 1024


class Record:
    """The newest invocations, in order of arrival: at most `most` of them, and 64 MiB of payloads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._invocations: deque[Invocation] = deque()
        self._payload_bytes = 0

    def add(self, invocation: Invocation) -> None:
        """Records an arrival. The entry shows later what has become of the invocation."""
        self._invocations.append(invocation)
        self._payload_bytes += len(invocation.event)
        while len(self._invocations) > self._most or self._payload_bytes > _MAX_PAYLOAD_BYTES:
            self._payload_bytes -= len(self._invocations.popleft().event)

    def clear(self) -> None:
        """Forgets everything, running invocations too."""
        self._invocations.clear()
        self._payload_bytes = 0

    def entries(self, function: str | None) -> list[dict[str, object]]:
        """The JSON form, of one function or of all."""
        return [_entry(one) for one in self._invocations if function in (None, one.target.name)]


class OpenRequests:
    """How many HTTP Invoke requests are open, and the most that were open at once since reset()."""

    def __init__(self) -> None:
        self.open = 0
        self.most_open = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Counts one request for as long as the block runs."""
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            yield
        finally:
            self.open -= 1

    def reset(self) -> None:
        """Starts measuring most_open anew."""
        self.most_open = self.open


def _entry(invocation: Invocation) -> dict[str, object]:
    return {
        "request_id": invocation.request_id,
        "function": invocation.target.name,
        "qualifier": invocation.target.qualifier,
        "invoked_arn": invocation.target.arn,
        "invocation_type": invocation.invocation_type,
        "attempt": invocation.attempt,
        "payload": invocation.event.decode(),
        "arrived": invocation.arrived,
        "started": invocation.started,
        "finished": invocation.finished,
        "outcome": invocation.outcome,
        "client_connected": invocation.client_connected,
        "streamed": invocation.parts is not None,
    }

"""How long a call is expected to take, said by a test.

Knows nothing of how the sidecar finds it out."""

from __future__ import annotations


class Need:
    """A call that begins with no more time left than `seconds` is not worth beginning."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def is_met(self, left: float, _now: float) -> bool:
        return left > self.seconds

"""The server's clock, by which all times in the outbox's tables go.

Pure, but for this machine's clocks; knows no connection."""

from __future__ import annotations

import time


class ServerClock:
    """Until the server has said what time it is, it is taken to be as late as here. Later on this machine's
    clock may be set, and the server's moments stay the same."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since 1970."""
        return time.monotonic() + self._offset

    def says(self, moment: float, asked: float) -> None:
        """The server's NOW(6), in seconds since 1970, and when it was asked for, on time.monotonic()'s clock:
        a statement begins soon after that, however long it takes."""
        self._offset = moment - asked

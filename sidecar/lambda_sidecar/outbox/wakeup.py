"""When to look for new rows: soon after the library's hint that one was inserted, else now and then.

A hint comes before its transaction's end, so one look is not enough: each next one waits half as long as the
time that has passed since the hint. Whoever writes into the table without lambda_udf.lambda_async gives none;
then a row that is found stands for a hint that more follow. A locking read would wait for the commit itself,
but behind one long transaction it would not see the short ones that commit meanwhile. Knows a datagram socket
and a clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

SUFFIX = ".hint"
HINT_MODE = 0o660
# Between two looks: at least, and while hints are recent at most, and else.
LOOK_MIN, LOOK_RECENT, LOOK_IDLE = 0.001, 0.02, 0.5
# Read in one turn of the event loop: whoever floods the socket must not keep it from the rest.
HINTS_AT_ONCE = 100
# So many looks without a new row, while hints go on, are not paused after.
LOOKS_IN_VAIN = 4
# So long a hint is recent.
RECENT_SECONDS = 10.0


class Wakeup:
    """`open`, and `close` at the end. There are no hints where the path is too long for a socket."""

    def __init__(self, sidecar_socket: Path) -> None:
        self._path = sidecar_socket.with_name(sidecar_socket.name + SUFFIX)
        self._socket: socket.socket | None = None
        self._inode = 0
        self._hinted = -RECENT_SECONDS
        self._is_new = False
        self._looked = -RECENT_SECONDS
        self._in_vain = 0
        """Looks since the last one that found something, or since a time without hints."""
        self.event = asyncio.Event()
        """Set by a hint, and by whoever else has something to do."""

    def open(self) -> None:
        """Raises OSError; then there are no hints."""
        receiving = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        # A short name: a path that the library can send to must not be too long only beside it.
        beside = self._path.with_name(f".h{os.getpid()}")
        try:
            beside.unlink(missing_ok=True)
            before = os.umask(0o777 & ~HINT_MODE)
            try:
                receiving.bind(str(beside))
            finally:
                os.umask(before)
            self._inode = beside.lstat().st_ino
            beside.replace(self._path)
        except OSError:
            receiving.close()
            raise
        self._socket = receiving
        asyncio.get_running_loop().add_reader(receiving.fileno(), self._receive)

    def close(self) -> None:
        """The file stays if it is another sidecar's by now."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            with contextlib.suppress(OSError):
                if self._path.lstat().st_ino == self._inode:
                    self._path.unlink()
            self._socket.close()
            self._socket = None

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(HINTS_AT_ONCE):
                if self._socket is None:
                    return
                self._socket.recv(64)
                self.hint()

    def hint(self) -> None:
        """A row has been inserted, or will be seen soon."""
        now = asyncio.get_running_loop().time()
        if now - self._hinted > LOOK_RECENT:
            self._in_vain = 0
        self._hinted, self._is_new = now, True
        self.event.set()

    def looked(self, *, found: bool) -> None:
        """A look has ended. `found`: there were new rows, whether hinted at or not; more may follow."""
        self._looked = asyncio.get_running_loop().time()
        self._in_vain = 0 if found else self._in_vain + 1
        if found:
            self._hinted = self._looked

    def take_hint(self) -> bool:
        """Whether there was a hint since it was last asked."""
        was_new, self._is_new = self._is_new, False
        return was_new

    def is_recent(self) -> bool:
        """Whether there was a hint not long ago."""
        return asyncio.get_running_loop().time() - self._hinted < RECENT_SECONDS

    def interval(self) -> float:
        """Seconds until the next look, if no hint comes before."""
        passed = asyncio.get_running_loop().time() - self._hinted
        if passed >= RECENT_SECONDS:
            return LOOK_IDLE
        return min(max(passed / 2, self._pause()), LOOK_RECENT)

    def seconds_after_hint(self) -> float:
        """Until the look that a hint has asked for."""
        return max(0.0, self._looked + self._pause() - asyncio.get_running_loop().time())

    def _pause(self) -> float:
        """At least so long between two looks: hints without rows are those of a long transaction."""
        return min(LOOK_MIN * 2.0 ** min(max(0, self._in_vain - LOOKS_IN_VAIN), 10), LOOK_RECENT)

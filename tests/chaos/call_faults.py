"""What befalls calls, at random: their sidecar dies, is restarted or stands still, their statement or client is killed.

Knows processes and sessions; nothing of what is called."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import mysql.connector
from tests.chaos.calls import Caller
from tests.support.stack import Stack


class CallFaults(threading.Thread):
    """One after the other until `stop` is set. `defect` is what should not have happened."""

    def __init__(self, seed: int, stack: Stack, callers: Sequence[Caller]) -> None:
        super().__init__(name="faults")
        self._choices = random.Random(f"{seed} faults")
        self._stack, self._callers = stack, callers
        self.stop = threading.Event()
        self.number: Counter[str] = Counter()
        self.defect: BaseException | None = None
        self._ways: dict[Callable[[], None], int] = {
            self._kill_the_sidecar: 4,
            self._restart_the_sidecar: 3,
            self._stop_the_sidecar: 5,
            self._kill_a_query: 15,
            self._take_a_client_away: 10,
        }

    def run(self) -> None:
        try:
            while not self.stop.wait(self._choices.uniform(0, 0.2)):
                (way,) = self._choices.choices(list(self._ways), list(self._ways.values()))
                way()
                self.number[way.__name__.strip("_").replace("_", " ")] += 1
        except BaseException as error:
            self.defect = error

    def _kill_the_sidecar(self) -> None:
        self._stack.sidecar.kill()
        self._stack.sidecar.start()

    def _restart_the_sidecar(self) -> None:
        """As an upgrade does."""
        self._stack.sidecar.restart()

    def _stop_the_sidecar(self) -> None:
        pid = self._stack.sidecar.pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self._choices.uniform(0, 0.4))  # the pause is the fault
        os.kill(pid, signal.SIGCONT)

    def _kill_a_query(self) -> None:
        connection = self._choices.choice(self._callers).connection
        if connection is not None and (number := connection.connection_id):
            with contextlib.suppress(mysql.connector.Error):  # 1094: it has gone by itself
                self._stack.query(f"KILL QUERY {number}")

    def _take_a_client_away(self) -> None:
        """Without a word to the server, as when its machine's program crashes."""
        connection = self._choices.choice(self._callers).connection
        with contextlib.suppress(OSError, AttributeError):  # it has gone by itself
            connection._socket.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


@contextlib.contextmanager
def call_faults(seed: int, stack: Stack, callers: Sequence[Caller]) -> Iterator[CallFaults]:
    """They happen while the block runs; none of them failed to."""
    faults = CallFaults(seed, stack, callers)
    faults.start()
    try:
        yield faults
    finally:
        faults.stop.set()
        faults.join()
    assert faults.defect is None, faults.defect

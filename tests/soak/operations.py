"""What operators do to a server under load: KILL, UNINSTALL and INSTALL COMPONENT, upgrades of the sidecar.

Knows the server and the sessions of its clients; nothing of what is measured meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections import Counter
from collections.abc import Iterator

import mysql.connector
from tests.chaos.outbox_server import OutboxServer
from tests.soak.statements import Client
from tests.support.component import INSTALL, UNINSTALL
from tests.support.stack import execute
from tests.support.waiting import wait_until

# Of an UNINSTALL that has met no moment without a call (error 3538), and is tried again.
_PATIENCE_SECONDS = 30


_KILL, _EXCHANGE, _UPGRADE = KINDS = ("KILL", "INSTALL COMPONENT", "upgrade of the sidecar")


class Operator(threading.Thread):
    """A kill each half second, another component each ten; `upgrade` is for whoever knows the time."""

    def __init__(self, seed: int, server: OutboxServer, clients: list[Client]) -> None:
        super().__init__(name="operator")
        self._choices = random.Random(f"{seed} operator")
        self._server, self._clients = server, clients
        self.stop = threading.Event()
        self._busy = threading.Lock()
        self.done: Counter[str] = Counter()
        self.defect: BaseException | None = None

    def run(self) -> None:
        try:
            for number in itertools.count(1):
                if self.stop.wait(0.5):
                    return
                with self._busy:
                    self._kill()
                    if number % 20 == 5:
                        self._exchange_the_component()
        except BaseException as error:
            self.defect = error

    @property
    def has_done_everything(self) -> bool:
        return all(self.done[kind] for kind in KINDS)

    def upgrade(self) -> None:
        """The sidecar's place is taken by another one."""
        self._server.sidecar.restart()
        self.done[_UPGRADE] += 1

    @contextlib.contextmanager
    def rest(self) -> Iterator[None]:
        """Within it nobody does anything."""
        with self._busy:
            for each in self._clients:
                each.go_on.clear()
            try:
                yield
            finally:
                for each in self._clients:
                    each.go_on.set()

    def _kill(self) -> None:
        number = self._choices.choice(self._clients).session
        with contextlib.suppress(mysql.connector.Error):  # 1094: it has gone by itself
            self._server.query(f"KILL {self._choices.choice(('QUERY', 'CONNECTION'))} {number}")
            self.done[_KILL] += 1

    def _exchange_the_component(self) -> None:
        with contextlib.closing(self._server.connect()) as session:

            def is_gone() -> bool:
                try:
                    execute(session, UNINSTALL)
                except mysql.connector.Error:
                    return False
                return True

            # Six clients leave no moment without a call by themselves.
            for each in self._clients:
                each.go_on.clear()
            wait_until(is_gone, seconds=_PATIENCE_SECONDS, what="a moment without a call")
            execute(session, INSTALL)
            for each in self._clients:
                each.go_on.set()
        self.done[_EXCHANGE] += 1


@contextlib.contextmanager
def operator(seed: int, server: OutboxServer, clients: list[Client]) -> Iterator[Operator]:
    made = Operator(seed, server, clients)
    made.start()
    try:
        yield made
    finally:
        made.stop.set()
        made.join()
    assert made.defect is None, made.defect

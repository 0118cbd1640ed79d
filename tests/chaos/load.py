"""Clients that write events as fast as they are delivered, and do not mind that mysqld dies under them.

Knows SQL; nothing of who is killed when."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.chaos.book import Book
from tests.chaos.events import Events
from tests.chaos.outbox_server import OutboxServer
from tests.chaos.random_ends import is_lost
from tests.support.stack import execute
from tests.support.waiting import wait_until

# Rows that may wait: enough that a kill always meets some, few enough that the end is near.
BACKLOG = 300


class Load(threading.Thread):
    """Commits one transaction after the other until `stop` is set. `defect` is what should not happen."""

    def __init__(self, name: str, seed: int, server: OutboxServer, book: Book) -> None:
        super().__init__(name=name)
        self._events = Events(name, random.Random(f"{seed} {name}"), book)
        self._server, self._book = server, book
        self.stop = threading.Event()
        self.transactions = 0
        self.defect: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                try:
                    with contextlib.closing(self._server.connect()) as connection:
                        self._write(connection)
                except mysql.connector.Error as error:
                    if not is_lost(error):
                        raise
                    wait_until(self._has_server_or_ends, seconds=120, what="mysqld")
        except BaseException as error:
            self.defect = error

    def _has_server_or_ends(self) -> bool:
        return self.stop.is_set() or self._server.mysqld.answers()

    def _write(self, connection: MySQLConnectionAbstract) -> None:
        while not self.stop.is_set():
            ((rows,),) = execute(
                connection, f"SELECT COUNT(*) FROM (SELECT 1 FROM lambda_udf.outbox LIMIT {BACKLOG}) AS some"
            )
            if rows >= BACKLOG:
                self.stop.wait(0.01)
                continue
            execute(connection, "START TRANSACTION")
            written = self._events.write(connection) | self._events.write(connection)
            execute(connection, "COMMIT")
            self._book.commit(written)
            self.transactions += 1


@contextlib.contextmanager
def load(
    number: int, seed: int, server: OutboxServer, book: Book, *, name: str = "load"
) -> Iterator[list[Load]]:
    """So many clients write while the block runs; each must have written, and nothing else happened."""
    clients = [Load(f"{name}{each}", seed, server, book) for each in range(number)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join()
    assert [client.defect for client in clients] == [None] * number
    assert all(client.transactions for client in clients)

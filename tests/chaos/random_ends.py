"""A client whose transactions end as transactions do: most are committed, and the others by every misfortune.

Knows SQL and how a transaction may end; nothing of delivery."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import mysql.connector
from mysql.connector import errorcode
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.chaos.book import Book
from tests.chaos.events import Events
from tests.chaos.outbox_server import OutboxServer
from tests.support.stack import execute
from tests.support.waiting import wait_until


class RandomEnds(threading.Thread):
    """`count` transactions, one after the other. `defect` is what should not have happened.

    Deadlocks by chance are InnoDB's: under REPEATABLE READ a rollback to a savepoint, or of a statement that
    has failed, leaves a lock on the gap behind the last row; two who have one cannot both write on."""

    def __init__(
        self, number: int, seed: int, count: int, server: OutboxServer, book: Book, kills: Kills
    ) -> None:
        super().__init__(name=f"client {number}")
        self._choices = random.Random(f"{seed} {number}")
        self._events = Events(f"c{number}", self._choices, book)
        self._number, self._count, self._server, self._book, self._kills = number, count, server, book, kills
        self._connection: MySQLConnectionAbstract | None = None
        self._written: set[str] = set()
        """Of the transaction that is open."""
        self.ends: Counter[str] = Counter()
        self.defect: BaseException | None = None
        self._ways: dict[Callable[[], None], int] = {
            self._commit: 40,
            self._roll_back: 15,
            self._roll_back_to_savepoint: 12,
            self._fail_within_a_statement: 12,
            self._deadlock: 5,
            self._be_killed: 8,
            self._hang_up: 8,
        }

    def run(self) -> None:
        try:
            with ThreadPoolExecutor(1) as self._partner:
                for _ in range(self._count):
                    self._one_transaction()
        except BaseException as error:
            self.defect = error
        finally:
            self._disconnect()

    def _one_transaction(self) -> None:
        (way,) = self._choices.choices(list(self._ways), list(self._ways.values()))
        try:
            if self._connection is None:
                self._connection = self._server.connect()
            self._begin()
            for _ in range(self._choices.randrange(1, 4)):
                self._written |= self._events.write(self._connection)
            if self._kills.is_due():
                self.ends["mysqld killed"] += 1
                self._kills.kill()
            way()
            self.ends[way.__name__.strip("_").replace("_", " ")] += 1
        except mysql.connector.Error as error:  # the book has these events as unknown
            if error.errno == errorcode.ER_LOCK_DEADLOCK:
                self.ends["deadlock by chance"] += 1
                execute(self._open, "ROLLBACK")
            elif is_lost(error):
                self.ends["connection lost"] += 1
                self._disconnect()
                wait_until(self._server.mysqld.answers, seconds=120, what="mysqld")
            else:
                raise

    def _begin(self) -> None:
        self._written = set()
        execute(self._open, "START TRANSACTION")

    @property
    def _open(self) -> MySQLConnectionAbstract:
        assert self._connection is not None
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(mysql.connector.Error, OSError):
                self._connection.close()
            self._connection = None

    # ---- ends ----

    def _commit(self) -> None:
        execute(self._open, "COMMIT")
        self._book.commit(self._written)

    def _roll_back(self) -> None:
        execute(self._open, "ROLLBACK")
        self._book.undo(self._written)

    def _roll_back_to_savepoint(self) -> None:
        execute(self._open, "SAVEPOINT here")
        undone = self._events.write(self._open)
        execute(self._open, "ROLLBACK TO SAVEPOINT here")
        self._written |= self._events.write(self._open)
        self._commit()
        self._book.undo(undone)

    def _fail_within_a_statement(self) -> None:
        """Rows that are right, and a last one that is not: none of the statement's is written."""
        undone = [self._events.new() for _ in range(3)]
        try:
            self._events.insert(self._open, [*undone, ("nonsense", '{"event": nonsense}')])
        except mysql.connector.Error as error:
            if error.errno != errorcode.ER_CHECK_CONSTRAINT_VIOLATED:
                raise
        else:
            raise AssertionError("nonsense was taken")
        self._commit()
        self._book.undo({event for event, _ in undone})

    def _deadlock(self) -> None:
        """With a second transaction of this client: one of the two is the victim, the other is committed."""
        with contextlib.closing(self._server.connect()) as other:
            execute(other, "START TRANSACTION")
            of_other = self._events.write(other)
            first, second = 2 * self._number, 2 * self._number + 1
            change = "UPDATE test.pairs SET changes = changes + 1 WHERE id = {}"
            execute(self._open, change.format(first))
            execute(other, change.format(second))
            blocked = self._partner.submit(_is_victim, other, change.format(first))
            one_is, other_is = _is_victim(self._open, change.format(second)), blocked.result()
            assert one_is != other_is
            execute(self._open, "COMMIT")  # of a victim, which has been rolled back: of nothing
            (self._book.undo if one_is else self._book.commit)(self._written)
            execute(other, "COMMIT")
            (self._book.undo if other_is else self._book.commit)(of_other)

    def _be_killed(self) -> None:
        """Once within a transaction: the server may be quicker to answer COMMIT than to see it."""
        number = self._open.connection_id
        with contextlib.closing(self._server.connect()) as other:
            try:
                execute(other, f"KILL {number}")
            except mysql.connector.Error as error:  # mysqld itself has been killed in between
                if error.errno != errorcode.ER_NO_SUCH_THREAD:
                    raise
        self._commit()

    def _hang_up(self) -> None:
        """Without a word, in the middle of a transaction."""
        self._disconnect()
        self._book.undo(self._written)


class Kills:
    """mysqld is killed as often as that, spread over all clients' transactions."""

    def __init__(self, choices: random.Random, transactions: int, number: int, server: OutboxServer) -> None:
        self._due = set(choices.sample(range(transactions // 10, transactions), number))
        self._seen = 0
        self._server = server
        self._lock = threading.Lock()
        self.number = 0

    def is_due(self) -> bool:
        """Of the transaction that asks."""
        with self._lock:
            self._seen += 1
            return self._seen in self._due

    def kill(self) -> None:
        """And starts it again, which rolls back what was open."""
        with self._lock:
            self._server.mysqld.kill()
            self.number += 1
            self._server.mysqld.start()


def is_lost(error: mysql.connector.Error) -> bool:
    """Whether it is the connection that failed, and not the statement."""
    return error.errno in {
        errorcode.CR_SERVER_GONE_ERROR,
        errorcode.CR_SERVER_LOST,
        errorcode.CR_SERVER_LOST_EXTENDED,
        errorcode.CR_CONNECTION_ERROR,
        errorcode.CR_CONN_HOST_ERROR,
        errorcode.ER_SERVER_SHUTDOWN,
        errorcode.ER_QUERY_INTERRUPTED,
        errorcode.ER_CLIENT_INTERACTION_TIMEOUT,
        -1,  # the connector's own, of a connection that it has given up
    }


def _is_victim(connection: MySQLConnectionAbstract, statement: str) -> bool:
    try:
        execute(connection, statement)
    except mysql.connector.Error as error:
        if error.errno != errorcode.ER_LOCK_DEADLOCK:
            raise
        return True
    return False

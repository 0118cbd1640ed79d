"""A client that calls by every function of SQL, and writes down how each statement ended.

Knows SQL and what an error says of a call; nothing of the faults that cause it."""

from __future__ import annotations

import contextlib
import random
import re
import threading
from collections import Counter
from dataclasses import dataclass, field

import mysql.connector
from mysql.connector import errorcode
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.chaos.random_ends import is_lost
from tests.support.stack import Stack, execute

# Rows of a statement: enough that some of them are under way when it ends, and batches of several sizes.
MAP_ROWS, BATCH_ROWS, ROWS_OF_A_BATCH = 20, 50, 7
# Of errors that say that nothing was carried out (docs/errors.md). Whoever reads one may call again.
_NOTHING_WAS_DONE = re.compile(
    r"Unable to connect to endpoint|TooManyRequestsException|ServiceException|overloaded: "
    r"|the request was not sent whole|Connection refused|No such file"
)
_WAS_PERHAPS_DONE = "may have been carried out"


@dataclass
class CallBook:
    """Of all clients. Events are `answered`, or their statement failed; of some that failed the error said that
    nothing was done (`undone`)."""

    answered: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    undone: set[str] = field(default_factory=set)
    ends: Counter[str] = field(default_factory=Counter)
    """Statements by how they ended."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, events: set[str], end: str) -> None:
        with self.lock:
            kind, _, text = end.partition(": ")
            self.ends[_without_numbers(end)] += 1
            if not kind:
                self.answered |= events
                return
            self.failed |= events
            if len(events) == 1 and _NOTHING_WAS_DONE.search(text) and _WAS_PERHAPS_DONE not in text:
                self.undone |= events


def _without_numbers(end: str) -> str:
    return re.sub(r"\d{2,}|'[^']*'|/\S+", "…", end)[:120] or "answered"


class Caller(threading.Thread):
    """Calls until `count` events are written. `defect` is what should not have happened."""

    def __init__(self, number: int, seed: int, count: int, stack: Stack, book: CallBook) -> None:
        super().__init__(name=f"caller {number}")
        self._choices = random.Random(f"{seed} {number}")
        self._number, self._count, self._stack, self._book = number, count, stack, book
        self._written = 0
        self._connection: MySQLConnectionAbstract | None = None
        self.defect: BaseException | None = None
        self._ways = {self._sync: 40, self._async: 30, self._invoke: 10, self._map: 5, self._batch: 2}

    @property
    def connection(self) -> MySQLConnectionAbstract | None:
        """For those who are to kill it; it may be gone already."""
        return self._connection

    def run(self) -> None:
        try:
            while self._written < self._count:
                (way,) = self._choices.choices(list(self._ways), list(self._ways.values()))
                sql, events = way()
                self._book.write(events, self._call(sql))
        except BaseException as error:
            self.defect = error
        finally:
            self._hang_up()

    def _call(self, sql: str) -> str:
        """How it ended: empty for an answer, else number and text."""
        try:
            if self._connection is None:
                # In Python: its socket can be shut down under it by another thread.
                self._connection = self._stack.connect(use_pure=True)
            execute(self._connection, sql)
        except mysql.connector.Error as error:
            if is_lost(error) and error.errno != errorcode.ER_QUERY_INTERRUPTED:
                self._hang_up()
            elif error.errno not in (errorcode.ER_UDF_ERROR, errorcode.ER_QUERY_INTERRUPTED):
                raise
            return f"{error.errno}: {error.msg}"
        return ""

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(mysql.connector.Error, OSError):
                connection.close()

    # ---- statements ----

    def _events(self, number: int) -> list[str]:
        first, self._written = self._written, self._written + number
        return [f"c{self._number}-{event}" for event in range(first, first + number)]

    def _single(self, function: str, more: str = "") -> tuple[str, set[str]]:
        (event,) = self._events(1)
        return f"""SELECT {function}('single', '{{"event":"{event}"}}'{more})""", {event}

    def _sync(self) -> tuple[str, set[str]]:
        return self._single("lambda_sync")

    def _async(self) -> tuple[str, set[str]]:
        return self._single("lambda_async")

    def _invoke(self) -> tuple[str, set[str]]:
        kind = self._choices.choice(("RequestResponse", "Event"))
        return self._single("lambda_invoke", f""", '{{"invocation_type":"{kind}"}}'""")

    def _map(self) -> tuple[str, set[str]]:
        return self._rows("lambda_map('row', JSON_OBJECT('event', event))", MAP_ROWS)

    def _batch(self) -> tuple[str, set[str]]:
        options = f"JSON_OBJECT('function', 'rows', 'batch_rows', {ROWS_OF_A_BATCH})"
        return self._rows(f"lambda_batch({options}, JSON_OBJECT('event', event))", BATCH_ROWS)

    def _rows(self, aggregate: str, number: int) -> tuple[str, set[str]]:
        events = self._events(number)
        rows = " UNION ALL ".join(f"SELECT '{event}' AS event" for event in events)
        return f"SELECT {aggregate} FROM ({rows}) AS rows_of_it", set(events)

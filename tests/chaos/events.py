"""Events in all the shapes that SQL writes them in, each beside a mark in a table of the application.

Knows SQL; nothing of how a transaction ends, nor of delivery."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.chaos.book import Book
from tests.support.stack import execute

FUNCTIONS = ("order-placed", "mail", "audit")
TABLES = (
    "CREATE DATABASE IF NOT EXISTS test",
    "CREATE TABLE test.marks (event VARCHAR(64) CHARACTER SET ascii PRIMARY KEY)",
    "CREATE TABLE test.orders (event VARCHAR(64) CHARACTER SET ascii PRIMARY KEY, payload LONGTEXT)",
    "CREATE TABLE test.pairs (id INT PRIMARY KEY, changes INT NOT NULL DEFAULT 0)",
    # As an application has it: the event is the order's, and lives and dies with it.
    "CREATE TRIGGER test.placed AFTER INSERT ON test.orders FOR EACH ROW"
    " SET @accepted = lambda_udf.lambda_async('order-placed', NEW.payload)",
)
_ALPHABET = "ab \"\\'\n\t%{}[]:,;\0-/äß€漢😀"


class Events:
    """Of one client; its choices hang on `choices` alone. What it writes stands in the book first."""

    def __init__(self, name: str, choices: random.Random, book: Book) -> None:
        self._name = name
        self._choices = choices
        self._book = book
        self._number = 0
        self._keys = itertools.count()

    def payload(self, event: str) -> str:
        """JSON that a careless writer would change: odd spaces, escapes, numbers with a zero at the end."""
        length = self._choices.choices((10, 500, 6_000, 100_000), (60, 35, 4, 1))[0]
        text = "".join(self._choices.choices(_ALPHABET, k=self._choices.randrange(length)))
        written = json.dumps(text, ensure_ascii=self._choices.random() < 0.5)
        return f'{{"text" :{written} , "event":"{event}","amount": 1.50, "big":-0.10e5 }}'

    def new(self) -> tuple[str, str]:
        """An event's id and its payload."""
        self._number += 1
        event = f"{self._name}-{self._number}"
        payload = self.payload(event)
        self._book.write(event, payload)
        return event, payload

    def options(self) -> dict[str, Any] | None:
        if self._choices.random() < 0.6:
            return None
        kinds: list[dict[str, Any]] = [
            {"durable": True},
            {"group_key": f"key-{self._choices.randrange(5)}"},
            {"delay_seconds": 0.2},
            {"keep_result": True},
            {"deduplication_key": f"{self._name}-{next(self._keys)}"},
        ]
        return self._choices.choice(kinds)

    def write(self, connection: MySQLConnectionAbstract) -> set[str]:
        """One statement, of one or more events; it fails or has all of them."""
        statement = self._choices.choice((self._rows, self._function, self._trigger))
        return statement(connection)

    def _rows(self, connection: MySQLConnectionAbstract) -> set[str]:
        rows = [self.new() for _ in range(self._choices.choice((1, 1, 2, 5)))]
        self._mark(connection, [event for event, _ in rows])
        self.insert(connection, rows)
        return {event for event, _ in rows}

    def insert(self, connection: MySQLConnectionAbstract, rows: list[tuple[str, str]]) -> None:
        """Into the outbox, by one statement: events and their payloads."""
        values: list[Any] = []
        for event, payload in rows:
            options = self.options()
            if options is not None and "durable" in options:
                self._book.durable.add(event)
            written = None if options is None else json.dumps(options)
            values += [self._choices.choice(FUNCTIONS), payload, written]
        places = ", ".join(["(%s, %s, %s)"] * len(rows))
        statement = f"INSERT INTO lambda_udf.outbox (function_name, payload, options) VALUES {places}"
        execute(connection, statement, tuple(values))

    def _function(self, connection: MySQLConnectionAbstract) -> set[str]:
        event, payload = self.new()
        self._mark(connection, [event])
        ((answer,),) = execute(connection, "SELECT lambda_udf.lambda_async('mail', %s)", (payload,))
        assert json.loads(answer)["StatusCode"] == 202
        return {event}

    def _trigger(self, connection: MySQLConnectionAbstract) -> set[str]:
        event, payload = self.new()
        self._mark(connection, [event])
        execute(connection, "INSERT INTO test.orders VALUES (%s, %s)", (event, payload))
        return {event}

    @staticmethod
    def _mark(connection: MySQLConnectionAbstract, events: list[str]) -> None:
        places = ", ".join(["(%s)"] * len(events))
        execute(connection, f"INSERT INTO test.marks VALUES {places}", tuple(events))

"""The cases that are measured in turn: each contestant at each number of sessions, and the payloads.

Says what is sent and what must come back; measures nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from bench.load import NUMBER_MARK
from bench.upstream import REQUEST_ID

PAYLOAD = f'{{"session": "{NUMBER_MARK}", "operation": "ping"}}'
ACCEPTED = f'{{"StatusCode": 202, "RequestId": "{REQUEST_ID}"}}'
SESSIONS = (1, 8, 32)
PAYLOADS = {"100 B": 100, "10 KB": 10_000, "1 MB": 1_000_000, "5 MB": 5_000_000}
WARMUP = 40
"""Calls before each run, of all its sessions together."""


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    group: str
    """calls or payload; `--only` takes it."""
    contestant: str
    """In the group calls, `--only` takes this as well."""
    kind: str
    """The load program: sql, hop, boto3, aiobotocore."""
    sessions: int
    request: str
    expected: str
    compared: str
    """Cases with the same text here must get the same answers; empty: with none."""
    size: str = ""

    @property
    def name(self) -> str:
        """Unique; stable, because the goals and the results name cases so."""
        return f"{self.contestant}/{self.size or self.sessions}"

    @property
    def words(self) -> set[str]:
        return {self.group, self.contestant} if self.group == "calls" else {self.group}

    @property
    def warmup(self) -> int:
        return 2 if len(self.expected) > 100_000 else max(2, WARMUP // self.sessions)


def all_cases() -> list[Case]:
    """In the order in which a round goes through them."""
    return [case for sessions in SESSIONS for case in _calls(sessions)] + [
        case for size in PAYLOADS for case in _payload(size)
    ]


def _calls(sessions: int) -> list[Case]:
    echoed = f"echo, {sessions} sessions"
    return [
        Case("calls", "select1", "sql", sessions, "SELECT 1", "1", ""),
        Case("calls", "sync", "sql", sessions, sync(PAYLOAD), PAYLOAD, echoed),
        Case("calls", "boto3", "boto3", sessions, PAYLOAD, PAYLOAD, echoed),
        Case("calls", "aiobotocore", "aiobotocore", sessions, PAYLOAD, PAYLOAD, echoed),
        Case("calls", "hop", "hop", sessions, PAYLOAD, PAYLOAD, echoed),
        Case("calls", "async", "sql", sessions, f"SELECT lambda_async('echo', '{PAYLOAD}')", ACCEPTED, ""),
    ]


def _payload(size: str) -> list[Case]:
    text = document(PAYLOADS[size])
    return [
        # What mysqld alone takes to read such a statement and to send such an answer.
        Case("payload", "select", "sql", 1, f"SELECT '{text}'", text, size, size),
        Case("payload", "sync", "sql", 1, sync(text), text, size, size),
        # The same with the payload in a table: no statement of that length, no literal.
        Case("payload", "select_column", "sql", 1, f"SELECT body {stored(size)}", text, size, size),
        Case(
            "payload",
            "sync_column",
            "sql",
            1,
            f"SELECT lambda_sync('echo', body) {stored(size)}",
            text,
            size,
            size,
        ),
        Case("payload", "boto3", "boto3", 1, text, text, size, size),
    ]


def sync(payload: str, function: str = "echo") -> str:
    """The statement; neither text may hold a quote or a backslash."""
    return f"SELECT lambda_sync('{function}', '{payload}')"


def stored(size: str) -> str:
    """The rest of a statement that reads the payload of that size from `store`'s table, as `body`."""
    return f"FROM bench.payloads WHERE size = '{size}'"


def store() -> str:
    """SQL that makes the table."""
    rows = ", ".join(f"('{size}', '{document(length)}')" for size, length in PAYLOADS.items())
    return f"""CREATE DATABASE bench;
CREATE TABLE bench.payloads (size VARCHAR(10) PRIMARY KEY, body LONGTEXT CHARACTER SET utf8mb4 NOT NULL);
INSERT INTO bench.payloads VALUES {rows};"""


@cache
def document(size: int) -> str:
    """JSON of exactly so many bytes, as applications send it: a list of small objects, not all ASCII."""
    item = {"id": 100_000, "name": "Grüße aus Zürich", "price": 12.75, "tags": ["a", "b"], "sold": None}
    text = json.dumps(item, ensure_ascii=False)
    length = len(text.encode())
    frame = '{"items": [%s], "pad": "%s"}'
    room = size - len(frame % ("", ""))
    count = max(0, (room + 2) // (length + 2))
    items = ", ".join(text.replace("100000", str(100_000 + number)) for number in range(count))
    return frame % (items, "x" * (room - len(items.encode())))

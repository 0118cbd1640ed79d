"""The end of a replica, as its source sees it.

Knows MySQL's threads; nothing of what is replicated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.waiting import wait_until

_SENDERS = "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"


def hang_up_on_replicas(query: Callable[[str], Any]) -> None:
    """To be done before a source is stopped: mysqld waits eight seconds for a thread that sends a replica its binary
    log, and sees a replica that has gone only when it sends the next event (sql/mysqld.cc, close_connections)."""
    for (sender,) in query(_SENDERS):
        query(f"KILL {sender}")
    wait_until(lambda: not query(_SENDERS), what="the end of the threads that send the binary log")

"""The deliverer's connection to a server that takes it and says nothing: it costs no descriptor.

Each test's name is the sentence that it proves. No process may start here (tests/support/quick_room.py): the connector starts none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import mysql.connector.aio
import pytest
from mysql.connector.aio import MySQLConnection

from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.outbox import session as room
from lambda_sidecar.outbox.session import connect
from lambda_sidecar.outbox.session_errors import SessionLost


class Silent:
    """A server whose mysqld stands still: the kernel takes connections, and nobody greets."""

    def __init__(self, socket: Path) -> None:
        self.settings = OutboxSettings(mysql_socket=socket)
        self.is_reached, self.is_hung_up = asyncio.Event(), asyncio.Event()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.is_reached.set()
        await reader.read()
        self.is_hung_up.set()
        writer.close()


@pytest.fixture
async def silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Silent]:
    kept: list[MySQLConnection] = []

    def make(**options: Any) -> MySQLConnection:
        """Kept, so that no garbage collection closes it."""
        kept.append(MySQLConnection(**options))
        return kept[-1]

    monkeypatch.setattr(mysql.connector.aio, "MySQLConnection", make)
    server = Silent(tmp_path / "mysqld.sock")
    async with await asyncio.start_unix_server(server.take, tmp_path / "mysqld.sock"):
        yield server


async def test_a_server_that_does_not_greet_in_time_is_hung_up_on(
    silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "CONNECT_SECONDS", 1.0)
    with pytest.raises(SessionLost) as caught:
        await connect(silent.settings)
    assert caught.value.is_unreachable
    await asyncio.wait_for(silent.is_hung_up.wait(), 5)


async def test_who_is_cancelled_while_connecting_hangs_up(silent: Silent) -> None:
    connecting = asyncio.create_task(connect(silent.settings))
    await asyncio.wait_for(silent.is_reached.wait(), 5)
    connecting.cancel()
    await asyncio.wait([connecting], timeout=5)
    assert connecting.cancelled()
    await asyncio.wait_for(silent.is_hung_up.wait(), 5)

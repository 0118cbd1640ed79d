"""The deliverer's connection: which errors are the statement's, and which the connection's.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.support.stack import Stack
from tests.support.waiting import until

from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.outbox.session import Session, connect
from lambda_sidecar.outbox.session_errors import SessionLost, StatementFailed


@contextlib.asynccontextmanager
async def session_of(stack: Stack) -> AsyncIterator[Session]:
    session = await connect(OutboxSettings(mysql_socket=stack.mysqld.socket, user="root"))
    try:
        yield session
    finally:
        await session.close()


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT * FROM test.nothing", 1146),
        ("SELECT JSON_EXTRACT('nonsense', '$')", 3141),
        ("SELECT 1 FROM DUAL WHERE REGEXP_LIKE('a', '(')", 3691),
        ("INSERT INTO test.small VALUES (2)", 3819),
    ],
)
async def test_what_the_server_refuses_is_the_statements_failure_whatever_its_number(
    stack: Stack, statement: str, code: int
) -> None:
    stack.query("CREATE TABLE test.small (id INT PRIMARY KEY, CHECK (id < 2))")
    async with session_of(stack) as session:
        with pytest.raises(StatementFailed) as caught:
            await session.rows(statement)
        assert caught.value.code == code
        assert await session.value("SELECT 1") == 1


async def test_a_session_that_was_killed_is_lost(stack: Stack) -> None:
    async with session_of(stack) as session:
        stack.query(f"KILL {await session.value('SELECT CONNECTION_ID()')}")
        with pytest.raises(SessionLost):
            await session.rows("SELECT 1")


async def test_a_session_that_the_server_has_closed_says_so_without_being_asked(stack: Stack) -> None:
    async with session_of(stack) as session:
        number = await session.value("SELECT CONNECTION_ID()")
        assert not session.is_over
        stack.query(f"KILL {number}")
        await until(lambda: session.is_over, what="its end is seen")

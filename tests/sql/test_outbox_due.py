"""What is due in lambda_udf.outbox_waiting, as the deliverer reads it: of which functions, and at what cost.

Each test's name is the sentence that it proves. Nobody delivers here; the server counts the index entries that it reads."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.outbox import TABLES, install
from tests.support.stack import Library, Stack, start_stack

from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.outbox import waiting_rows
from lambda_sidecar.outbox.session import Session, connect

ROWS = 20_000
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def server(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with start_stack(mysql_home, tmp_path_factory.mktemp("due"), Library.PLAIN) as stack:
        install(stack)
        yield stack


@pytest.fixture
def stack(server: Stack) -> Stack:
    for table in TABLES:
        server.query(f"TRUNCATE TABLE lambda_udf.{table}")
    return server


@contextlib.asynccontextmanager
async def session_of(stack: Stack) -> AsyncIterator[Session]:
    session = await connect(OutboxSettings(mysql_socket=stack.mysqld.socket, user="root"))
    try:
        yield session
    finally:
        await session.close()


def fill(stack: Stack, names: list[str], due: str, *, rows: int = ROWS, key: str = "NULL") -> None:
    """So many rows of each of these functions. `due` and `key` are SQL, for the row `i`."""
    stack.query(
        "INSERT INTO lambda_udf.outbox_waiting (id, function_name, payload, caller, due_at, group_key)"
        " WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200),"
        f" m (j) AS (SELECT 0 UNION ALL SELECT j + 1 FROM m WHERE j < {rows // 200 - 1}),"
        " r (i) AS (SELECT 200 * j + i FROM n, m)"
        f" SELECT (SELECT COALESCE(MAX(id), 0) FROM lambda_udf.outbox_waiting) + {len(names)} * i + k,"
        f" name, i, 'app@%', {due}, {key} FROM r, JSON_TABLE('{str(names).replace(chr(39), chr(34))}', '$[*]'"
        " COLUMNS (k FOR ORDINALITY, name VARCHAR(64) PATH '$')) AS names"
    )
    stack.query("ANALYZE TABLE lambda_udf.outbox_waiting")


async def read(session: Session) -> int:
    """Entries that the session has read so far, of whichever index."""
    rows = await session.rows("SHOW SESSION STATUS LIKE 'Handler_read_%'")
    return sum(int(value) for _, value in rows)


PAST, FUTURE = "NOW(6) - INTERVAL i SECOND", "NOW(6) + INTERVAL i + 60 SECOND"


@pytest.mark.parametrize("others", ["NULL", FUTURE], ids=["wait for others", "are due later"])
async def test_a_look_costs_the_same_however_many_rows_are_due(stack: Stack, others: str) -> None:
    fill(stack, NAMES, PAST)
    fill(stack, [*NAMES, "d"], others)
    async with session_of(stack) as session:
        began = await read(session)
        found = await waiting_rows.due_functions(session, "", without=["b"])
        rows = await waiting_rows.due(session, dict.fromkeys(found.functions, 10), [])
        cost = await read(session) - began
    assert found.functions == ["a", "c"]
    assert found.seconds is not None
    assert found.seconds < 1 - ROWS
    assert [row.function_name for row in rows].count("a") == 10
    assert len(rows) == 20
    assert cost < 500


async def test_from_one_functions_name_to_the_next_the_index_is_skipped_through(stack: Stack) -> None:
    fill(stack, NAMES, PAST)
    async with session_of(stack) as session:
        rows = session.rows
        plans: list[str] = []

        async def explained(statement: str) -> list[tuple[object, ...]]:
            plans.append(str(await rows(f"EXPLAIN FORMAT=TREE {statement}")))
            return await rows(statement)

        session.rows = explained  # type: ignore[method-assign]
        await waiting_rows.due_functions(session, "", without=["b"])
        await waiting_rows.due(session, {"a": 5, "c": 5}, [])
    functions, due = plans
    assert "Covering index skip scan for grouping on outbox_waiting using of_function" in functions
    assert due.count("Index range scan on outbox_waiting using of_function") == 2
    assert "Sort" not in due


async def test_the_longest_due_of_each_function_come_and_not_those_in_hand(stack: Stack) -> None:
    fill(stack, NAMES, PAST, rows=200)
    async with session_of(stack) as session:
        first = await waiting_rows.due(session, {"a": 2, "b": 3}, [])
        then = await waiting_rows.due(session, {"a": 2, "b": 3}, first)
    assert sorted((row.function_name, row.payload) for row in first) == [
        ("a", b"199"),
        ("a", b"200"),
        *(("b", str(number).encode()) for number in (198, 199, 200)),
    ]
    assert sorted((row.function_name, row.payload) for row in then)[:2] == [("a", b"197"), ("a", b"198")]


async def test_of_each_key_the_first_row_alone_is_found_however_long_the_key_is(stack: Stack) -> None:
    fill(stack, ["a"], PAST, key="IF(i % 2, 'odd', 'even')", rows=200)
    fill(stack, ["a"], "NULL", key="IF(i % 2, 'odd', 'even')")
    stack.query("UPDATE lambda_udf.outbox_waiting SET due_at = NULL WHERE id > 20")
    async with session_of(stack) as session:
        began = await read(session)
        rows = await waiting_rows.due(session, {"a": 100}, [])
        cost = await read(session) - began
    assert [(row.payload, row.group_key) for row in rows] == [(b"1", "odd"), (b"2", "even")]
    assert cost < 300


async def test_functions_have_their_turn_however_many_are_due(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_rows, "DUE_FUNCTIONS", 2)
    fill(stack, NAMES, PAST, rows=200)
    async with session_of(stack) as session:
        first = await waiting_rows.due_functions(session, "", without=[])
        then = await waiting_rows.due_functions(session, "b", without=[])
    assert (first.functions, first.is_end) == (["a", "b"], False)
    assert (then.functions, then.is_end) == (["c"], True)

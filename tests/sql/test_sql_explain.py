"""EXPLAIN invokes nothing, even where the optimizer evaluates; whatever runs invokes, whatever its text looks like.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.stack import Stack, execute

# One row of a constant table: the optimizer evaluates the condition.
QUERY = "SELECT c FROM test.t WHERE id = 1 AND lambda_sync('Echo', c) IS NOT NULL"
LONG_COMMENT = "/* " + "SELECT 1; " * 20_000 + "*/"


@pytest.fixture
def connection(stack: Stack) -> Iterator[MySQLConnectionAbstract]:
    with contextlib.closing(stack.connect()) as connection:
        execute(connection, "CREATE TABLE test.t (id INT PRIMARY KEY, c TEXT)")
        execute(connection, "INSERT INTO test.t VALUES (1, '1'), (2, '2')")
        yield connection


def calls(stack: Stack, connection: MySQLConnectionAbstract, sql: str) -> int:
    """How many invocations the statements of `sql` cause."""
    stack.record.clear()
    with connection.cursor() as cursor:
        cursor.execute(sql)
        while True:
            if cursor.description:
                cursor.fetchall()
            if not cursor.nextset():
                return stack.record.count()


@pytest.mark.parametrize(
    "sql",
    [
        f"EXPLAIN {QUERY}",
        f"desc {QUERY}",
        f"DESCRIBE FORMAT=TREE {QUERY}",
        f"EXPLAIN FORMAT = 'json' INTO @plan {QUERY}",
        f"EXPLAIN ({QUERY})",
        f"EXPLAIN WITH q AS (SELECT 1) {QUERY}",
        "EXPLAIN UPDATE test.t SET c = '5' WHERE id = 1 AND lambda_async('Echo', c) IS NOT NULL",
        "EXPLAIN DELETE FROM test.t WHERE id = 1 AND lambda_async('Echo', c) IS NOT NULL",
        f"EXPLAIN INSERT INTO test.t SELECT 3, d.c FROM ({QUERY}) AS d",
        "EXPLAIN SELECT lambda_invoke('Echo', c, '{}') FROM test.t WHERE id = 1 HAVING 1",
        f"-- a comment\n # another\n /* a third */ EXPLAIN {QUERY}",
        f"/*! EXPLAIN */ {QUERY}",
        f"{LONG_COMMENT} EXPLAIN {QUERY}",
    ],
    ids=lambda sql: sql[:60],
)
def test_explain_invokes_nothing_where_the_optimizer_evaluates(
    stack: Stack, connection: MySQLConnectionAbstract, sql: str
) -> None:
    assert calls(stack, connection, sql) == 0


@pytest.mark.parametrize(
    "sql",
    [
        QUERY,
        f"EXPLAIN ANALYZE {QUERY}",
        f"EXPLAIN ANALYZE FORMAT=TREE {QUERY}",
        f"EXPLAIN /*! ANALYZE */ {QUERY}",
        f"/* EXPLAIN */ {QUERY}",
        f"# EXPLAIN SELECT\n{QUERY}",
        f"{QUERY} /* EXPLAIN */",
        f"{LONG_COMMENT} {QUERY}",
        # A comment that only servers of a version execute, which this one is not, and which it is.
        f"/*!99999 EXPLAIN */ {QUERY}",
        f"EXPLAIN {QUERY}; {QUERY}",
        f"EXPLAIN SELECT 1; {QUERY}",
        "EXPLAIN SELECT 1; SELECT lambda_sync('Echo', '\"EXPLAIN\"')",
        "SELECT lambda_sync('Echo', '1') AS `EXPLAIN`",
    ],
    ids=lambda sql: sql[:60],
)
def test_what_runs_invokes_once_though_its_text_mentions_explain(
    stack: Stack, connection: MySQLConnectionAbstract, sql: str
) -> None:
    assert calls(stack, connection, sql) == 1


def test_explain_says_in_a_warning_that_it_did_not_invoke(connection: MySQLConnectionAbstract) -> None:
    execute(connection, f"EXPLAIN {QUERY}")
    text = "lambda_sync UDF failed; not invoked: EXPLAIN executes nothing; the result is NULL"
    assert execute(connection, "SHOW WARNINGS") == [("Warning", 3200, text)]


def test_a_prepared_explain_invokes_nothing_and_a_prepared_query_does(
    stack: Stack, connection: MySQLConnectionAbstract
) -> None:
    execute(connection, "PREPARE explained FROM ?".replace("?", f'"EXPLAIN {QUERY}"'))
    execute(connection, f'PREPARE query FROM "{QUERY}"')
    for _ in range(2):
        assert calls(stack, connection, "EXECUTE explained") == 0
        assert calls(stack, connection, "EXECUTE query") == 1
    for prefix, times in (("EXPLAIN ", 0), ("", 1)):
        stack.record.clear()
        with connection.cursor(prepared=True) as cursor:
            cursor.execute(f"{prefix}{QUERY} AND id = ?", (1,))
            cursor.fetchall()
        assert stack.record.count() == times


def test_explain_in_a_procedure_invokes_nothing_and_the_rest_of_the_procedure_does(
    stack: Stack, connection: MySQLConnectionAbstract
) -> None:
    execute(connection, f"CREATE PROCEDURE test.explains() BEGIN EXPLAIN {QUERY}; END")
    execute(
        connection,
        f"""CREATE PROCEDURE test.explains_first() BEGIN
              DECLARE rows CURSOR FOR {QUERY};
              EXPLAIN {QUERY};
              SET @set = lambda_sync('Echo', '1');
              IF lambda_sync('Echo', '1') = '1' THEN {QUERY}; END IF;
              OPEN rows;
              CLOSE rows;
            END""".replace("rows", "found"),
    )
    assert calls(stack, connection, "CALL test.explains()") == 0
    assert calls(stack, connection, "CALL test.explains_first()") == 4


def test_triggers_and_functions_invoke_after_an_explain_in_the_same_session(
    stack: Stack, connection: MySQLConnectionAbstract
) -> None:
    execute(connection, "CREATE TABLE test.u (id INT)")
    execute(
        connection,
        "CREATE TRIGGER test.fires AFTER INSERT ON test.u FOR EACH ROW SET @x = lambda_async('Echo', NEW.id)",
    )
    execute(
        connection,
        "CREATE FUNCTION test.ask(c TEXT) RETURNS TEXT DETERMINISTIC NO SQL RETURN lambda_sync('Echo', c)",
    )
    assert calls(stack, connection, "EXPLAIN INSERT INTO test.u VALUES (1), (2)") == 0
    assert calls(stack, connection, "INSERT INTO test.u VALUES (1), (2)") == 2
    asks = "SELECT c FROM test.t WHERE id = 1 AND test.ask(c) IS NOT NULL"
    assert calls(stack, connection, f"EXPLAIN {asks}") == 0
    assert calls(stack, connection, asks) >= 1


def test_an_account_without_the_privilege_may_explain(
    stack: Stack, connection: MySQLConnectionAbstract
) -> None:
    execute(connection, "CREATE USER reader@localhost")
    execute(connection, "GRANT SELECT ON test.* TO reader@localhost")
    try:
        with contextlib.closing(stack.connect(user="reader")) as reader:
            assert calls(stack, reader, f"EXPLAIN {QUERY}") == 0
    finally:
        execute(connection, "DROP USER reader@localhost")


def test_the_join_that_the_readme_shows_evaluates_three_times_for_one_row(
    stack: Stack, connection: MySQLConnectionAbstract
) -> None:
    join = "SELECT b.c FROM test.t AS a JOIN test.t AS b ON b.id = lambda_sync('Echo', a.id) WHERE a.id = 1"
    assert execute(connection, join) == [("1",)]
    assert calls(stack, connection, join) == 3
    once = """WITH answer AS (SELECT /*+ NO_MERGE() */ lambda_sync('Echo', id) AS id FROM test.t WHERE id = 1 LIMIT 1)
              SELECT t.c FROM answer JOIN test.t ON t.id = answer.id"""
    assert execute(connection, once) == [("1",)]
    assert calls(stack, connection, once) == 1


def test_a_stored_function_that_explain_really_runs_invokes_so_that_what_it_writes_is_right(
    stack: Stack, connection: MySQLConnectionAbstract
) -> None:
    """MySQL's manual (EXPLAIN Statement): a stored function in an inner query runs, and what it writes stays."""
    execute(connection, "CREATE TABLE test.log (what TEXT, answer TEXT)")
    execute(
        connection,
        """CREATE FUNCTION test.logs(c TEXT) RETURNS TEXT DETERMINISTIC BEGIN
             DECLARE answer TEXT DEFAULT lambda_sync('Echo', c);
             INSERT INTO test.log VALUES ('DECLARE', answer);
             SET answer = lambda_sync('Echo', c);
             INSERT INTO test.log VALUES ('SET', answer), ('INSERT', lambda_sync('Echo', c));
             IF lambda_sync('Echo', c) = c THEN INSERT INTO test.log VALUES ('IF', c); END IF;
             SELECT lambda_sync('Echo', c) INTO answer;
             INSERT INTO test.log VALUES ('SELECT', answer);
             RETURN lambda_sync('Echo', c);
           END""",
    )
    inner = "SELECT c FROM test.t WHERE id = (SELECT test.logs(c) FROM test.t WHERE id = 1)"
    assert calls(stack, connection, f"EXPLAIN {inner} AND lambda_sync('Echo', c) IS NOT NULL") == 6
    whats = ("DECLARE", "SET", "INSERT", "IF", "SELECT")
    assert execute(connection, "SELECT * FROM test.log") == [(what, "1") for what in whats]

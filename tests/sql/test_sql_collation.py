"""A result beside literals, columns and variables, under the character sets and collations that clients use: as a
native function's. The native function is the oracle.

Each test's name is the sentence that it proves. Each also runs as on MySQL 8.4, which does not tell the session's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import mysql.connector
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.clients import CLIENTS
from tests.support.stack import Stack, execute

# Both are "ok" in quotation marks.
OURS = """lambda_sync('Echo', '"ok"')"""
NATIVE = """REVERSE('"ko"')"""
# {f} stands for either. What must come out is what comes out for the native one, an error included.
EXPRESSIONS = (
    """{f} = '"ok"'""",
    """'"OK"' = {f}""",
    """{f} <> '"ok"'""",
    """{f} < '"OL"'""",
    """{f} LIKE '%OK%'""",
    """{f} IN ('no', '"OK"')""",
    """CASE {f} WHEN '"ok"' THEN 'yes' ELSE 'no' END""",
    """CASE WHEN 1 THEN {f} ELSE 'no' END = '"OK"'""",
    """IF(1, {f}, 'no') = '"ok"'""",
    """IFNULL({f}, 'no') = '"ok"'""",
    """COALESCE(NULL, {f}, 'no') = '"ok"'""",
    """NULLIF({f}, '"OK"')""",
    """CONCAT({f}, 'x') = '"ok"x'""",
    """CONCAT_WS('-', 'x', {f})""",
    """{f} BETWEEN '"oj"' AND '"ol"'""",
    """GREATEST({f}, 'a') = '"ok"'""",
    """LOCATE('OK', {f})""",
    """INSTR({f}, 'OK')""",
    """REPLACE({f}, 'ok', 'no') = '"no"'""",
    """FIELD({f}, 'no', '"OK"')""",
    """FIND_IN_SET({f}, 'no,"OK"')""",
    """STRCMP({f}, '"OK"')""",
    """{f} REGEXP 'OK'""",
    """TRIM('"' FROM {f}) = 'ok'""",
    """UPPER({f}) = '"OK"'""",
    """JSON_UNQUOTE({f}) = 'ok'""",
    """{f} = (SELECT '"ok"')""",
    """x = '"ok"' FROM (SELECT {f} AS x) AS d""",
    """{f} AS x HAVING x = '"OK"'""",
    """{f} AS x UNION SELECT '"OK"' ORDER BY x""",
    """COUNT(*) FROM (VALUES ROW(1), ROW(2)) AS t GROUP BY {f} ORDER BY {f}""",
    """MAX({f}) = '"ok"'""",
    """{f} = @text""",
    """{f} = general, {f} = bin, {f} = latin1, {f} = ascii FROM texts""",
    """CONCAT(general, {f}) = CONCAT(general, '"ok"') FROM texts""",
)
# A result is utf8mb4 text whatever the connection is; a native function's has the connection's character set.
UTF8MB4_EXPRESSIONS = (
    """{f} COLLATE utf8mb4_bin = '"OK"'""",
    """{f} = _latin1'"ok"'""",
    "CHARSET({f})",
    "COLLATION({f})",
)
TEXTS = """CREATE TABLE texts (general TEXT COLLATE utf8mb4_general_ci, bin TEXT COLLATE utf8mb4_bin,
                               latin1 TEXT CHARACTER SET latin1, ascii TEXT CHARACTER SET ascii)"""
FILL = """INSERT INTO texts VALUES ('"ok"', '"ok"', '"ok"', '"ok"')"""
CONNECTIONS = (
    "utf8mb4 COLLATE utf8mb4_0900_ai_ci",
    "utf8mb4 COLLATE utf8mb4_0900_bin",
    "utf8mb4 COLLATE utf8mb4_bin",
    "utf8mb4 COLLATE utf8mb4_general_ci",
    "utf8mb4 COLLATE utf8mb4_unicode_ci",
    "utf8mb4 COLLATE utf8mb4_unicode_520_ci",
    "utf8mb4 COLLATE utf8mb4_ja_0900_as_cs",
    "utf8mb3",
    "latin1",
    "latin1 COLLATE latin1_german2_ci",
    "ascii",
    "gbk",
    "sjis",
    "cp1251",
)


@pytest.fixture
def connection(every_stack: Stack) -> Iterator[MySQLConnectionAbstract]:
    every_stack.reset()
    with contextlib.closing(every_stack.connect()) as connection:
        execute(connection, TEXTS)
        execute(connection, FILL)
        yield connection


def outcome(connection: MySQLConnectionAbstract, sql: str) -> Any:
    """The rows, or the number of the error."""
    try:
        return execute(connection, sql)
    except mysql.connector.Error as error:
        return error.errno


def differences(connection: MySQLConnectionAbstract, expressions: tuple[str, ...]) -> list[str]:
    """Where ours gives something else than the native function."""
    found = []
    for expression in expressions:
        ours = outcome(connection, "SELECT " + expression.format(f=OURS))
        native = outcome(connection, "SELECT " + expression.format(f=NATIVE))
        if ours != native:
            found.append(f"{expression}: {ours}, native {native}")
    return found


@pytest.mark.parametrize("names", CONNECTIONS)
def test_a_result_mixes_as_a_native_functions(connection: MySQLConnectionAbstract, names: str) -> None:
    execute(connection, f"SET NAMES {names}")
    execute(connection, """SET @text = '"ok"'""")
    expressions = EXPRESSIONS + (UTF8MB4_EXPRESSIONS if names.startswith("utf8mb4") else ())
    assert differences(connection, expressions) == []


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_result_meets_a_literal_with_each_clients_defaults(
    connection: MySQLConnectionAbstract, client: Any
) -> None:
    execute(connection, f"SET NAMES {client.charset} COLLATE {client.collation}")
    for comparison in ("= '\"ok\"'", "LIKE '%ok%'", "IN ('\"ok\"')"):
        assert execute(connection, f"SELECT {OURS} {comparison}") == [(1,)]
    # A name that is no literal, and a payload that is computed.
    execute(connection, "SET @name = 'Echo'")
    assert execute(connection, """SELECT lambda_sync(@name, CONCAT('"', 'ok', '"')) = '"ok"'""") == [(1,)]


def test_a_result_meets_a_literal_under_every_collation_that_a_client_can_have(
    connection: MySQLConnectionAbstract,
) -> None:
    collations = execute(
        connection,
        """SELECT CHARACTER_SET_NAME, COLLATION_NAME FROM information_schema.COLLATIONS
           WHERE CHARACTER_SET_NAME NOT IN ('ucs2', 'utf16', 'utf16le', 'utf32')""",
    )
    assert len(collations) > 200
    for charset, collation in collations:
        execute(connection, f"SET NAMES {charset} COLLATE {collation}")
        # Not every character set of the server has a codec in Python: the result stays in the server.
        failed = outcome(connection, f"""SELECT {OURS} = '"ok"' INTO @same""")
        execute(connection, "SET NAMES utf8mb4")
        assert (failed, execute(connection, "SELECT @same")) == ([], [(1,)]), collation


@pytest.mark.parametrize("session", ["utf8mb4_0900_ai_ci", "utf8mb4_general_ci"])
def test_a_routine_and_a_view_keep_the_collation_that_they_were_created_with(
    connection: MySQLConnectionAbstract, session: str
) -> None:
    """As those of a dump do: mysqldump writes SET collation_connection before each of them."""
    execute(connection, "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci")
    comparison = """{f} = '"OK"' AND CONCAT({f}, 'x') LIKE '%K"X'"""
    names = {"ours": OURS, "native": NATIVE}
    for name, f in names.items():
        test = comparison.format(f=f)
        execute(connection, f"CREATE VIEW view_{name} AS SELECT {test} AS answer")
        execute(connection, f"CREATE PROCEDURE procedure_{name}(OUT answer INT) SET answer = {test}")
        execute(connection, f"CREATE FUNCTION function_{name}() RETURNS INT NO SQL RETURN {test}")
        execute(connection, f"CREATE TABLE table_{name} (answer INT)")
        execute(
            connection,
            f"CREATE TRIGGER b_{name} BEFORE INSERT ON table_{name} FOR EACH ROW SET NEW.answer = {test}",
        )
    execute(connection, f"SET NAMES utf8mb4 COLLATE {session}")
    for name in names:
        assert execute(connection, f"SELECT answer FROM view_{name}") == [(1,)]
        execute(connection, f"CALL procedure_{name}(@answer)")
        assert execute(connection, "SELECT @answer") == [(1,)]
        assert execute(connection, f"SELECT function_{name}()") == [(1,)]
        execute(connection, f"INSERT INTO table_{name} VALUES (0)")
        assert execute(connection, f"SELECT answer FROM table_{name}") == [(1,)]


@pytest.mark.parametrize("names", ["utf8mb4 COLLATE utf8mb4_unicode_ci", "latin1"])
def test_parameters_of_prepared_statements_count_as_literals(
    connection: MySQLConnectionAbstract, names: str
) -> None:
    execute(connection, f"SET NAMES {names}")
    with connection.cursor(prepared=True) as cursor:
        cursor.execute("SELECT lambda_sync(?, ?) = ?", ("Echo", '"ok"', '"ok"'))
        assert cursor.fetchall() == [(1,)]


def test_a_name_from_a_column_does_not_decide_where_a_literal_is(connection: MySQLConnectionAbstract) -> None:
    execute(connection, "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci")
    execute(connection, "CREATE TABLE names (name VARCHAR(99) COLLATE utf8mb4_general_ci)")
    execute(connection, "INSERT INTO names VALUES ('Echo')")
    for payload in ("""'"ok"'""", """CONCAT('"', LOWER('OK'), '"')""", """JSON_QUOTE('ok')"""):
        sql = f"""SELECT lambda_sync(name, {payload}) = '"ok"' FROM names"""
        assert execute(connection, sql) == [(1,)], payload


def test_the_other_functions_results_have_the_collation_too(connection: MySQLConnectionAbstract) -> None:
    execute(connection, "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci")
    assert execute(connection, "SELECT lambda_async('Echo', '1') LIKE '{\"STATUSCODE\": 202%'") == [(1,)]
    assert execute(connection, "SELECT lambda_invoke('Echo', '1', '{}') LIKE '%\"PAYLOAD\": 1%'") == [(1,)]

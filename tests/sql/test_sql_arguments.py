"""Arguments of every type arrive as text in UTF-8, row after row, whatever the server does with its buffers.

Each test's name is the sentence that it proves. Each also runs as on MySQL 8.4, where strings in UTF-8 are handed over
in another way; tests/sql/test_library_c.py shows why."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.stack import Stack, execute

COLUMNS = {
    "u4": ("TEXT CHARACTER SET utf8mb4", """'"🐬"'""", '"🐬"'),
    "u3": ("TEXT CHARACTER SET utf8mb3", """'"é"'""", '"é"'),
    "us": ("TEXT CHARACTER SET ascii", """'"e"'""", '"e"'),
    "l1": ("TEXT CHARACTER SET latin1", """'"é"'""", '"é"'),
    "u16": ("TEXT CHARACTER SET utf16", """'"🐬"'""", '"🐬"'),
    "gb": ("TEXT CHARACTER SET gbk", """'"中"'""", '"中"'),
    "fixed": ("CHAR(9)", """'"é"'""", '"é"'),
    "document": ("JSON", """'{"k": "é"}'""", '{"k": "é"}'),
    "number": ("INT", "-7", "-7"),
    "big": ("BIGINT UNSIGNED", "18446744073709551615", "18446744073709551615"),
    "exact": ("DECIMAL(9,3)", "1.500", "1.500"),
    "inexact": ("DOUBLE", "2.5", "2.5"),
    "one": ("ENUM('\"a\"', '\"é\"')", """'"é"'""", '"é"'),
    "some": ("SET('1', '2')", "'2'", "2"),
    "bytes": ("BLOB", """X'22C3A922'""", '"é"'),
    "bits": ("BIT(8)", "b'00110111'", "7"),
    "year": ("YEAR", "2024", "2024"),
}
# What follows each of the columns through SQL.
COMPUTED = {
    "CONCAT('1', id)": ["11", "12", "13"],
    "CONCAT('\"', id, '\"')": ['"1"', '"2"', '"3"'],
    "CONCAT_WS(',', '[1', id, '3]')": ["[1,1,3]", "[1,2,3]", "[1,3,3]"],
    "REPEAT('1', id)": ["1", "11", "111"],
    "LPAD(id, 3, '1')": ["111", "112", "113"],
    "INSERT('123', 2, 1, id)": ["113", "123", "133"],
    "REPLACE('1x', 'x', id)": ["11", "12", "13"],
    "REVERSE(CONCAT(id, '1'))": ["11", "12", "13"],
    "SUBSTRING(CONCAT('x', id), 2)": ["1", "2", "3"],
    "TRIM(CONCAT(' ', id, ' '))": ["1", "2", "3"],
    "IF(id > 1, id, '\"one\"')": ['"one"', "2", "3"],
    "CASE id WHEN 1 THEN 'true' WHEN 2 THEN 'null' ELSE id END": ["true", "null", "3"],
    "COALESCE(NULLIF(id, 2), 'null')": ["1", "null", "3"],
    "CAST(id AS CHAR)": ["1", "2", "3"],
    "JSON_OBJECT('id', id)": ['{"id": 1}', '{"id": 2}', '{"id": 3}'],
    "JSON_QUOTE(CONCAT('é', id))": ['"é1"', '"é2"', '"é3"'],
    "(SELECT CONCAT('1', inside.id) FROM numbers AS inside WHERE inside.id = numbers.id)": ["11", "12", "13"],
    "CONCAT('\"', DATE '2024-01-02' + INTERVAL id DAY, '\"')": [
        '"2024-01-03"',
        '"2024-01-04"',
        '"2024-01-05"',
    ],
    "@variable := CONCAT('1', id)": ["11", "12", "13"],
    "CONVERT(CONCAT('\"é', id, '\"') USING latin1)": ['"é1"', '"é2"', '"é3"'],
    "CONCAT('\"', REPEAT('x', 10000 * id), '\"')": [f'"{"x" * 10_000 * n}"' for n in (1, 2, 3)],
}
CONNECTIONS = (
    "utf8mb4 COLLATE utf8mb4_0900_ai_ci",
    "utf8mb4 COLLATE utf8mb4_unicode_ci",
    "utf8mb3",
    "latin1",
)


@pytest.fixture
def connection(every_stack: Stack) -> Iterator[MySQLConnectionAbstract]:
    every_stack.reset()
    with contextlib.closing(every_stack.connect()) as connection:
        execute(connection, "CREATE TABLE numbers (id INT PRIMARY KEY)")
        execute(connection, "INSERT INTO numbers VALUES (1), (2), (3)")
        yield connection


def use(connection: MySQLConnectionAbstract, names: str) -> None:
    """The literals' character set and collation; statements and rows stay in utf8mb4."""
    execute(connection, f"SET NAMES {names}")
    execute(connection, "SET character_set_client = utf8mb4, character_set_results = utf8mb4")


def sent(stack: Stack, connection: MySQLConnectionAbstract, sql: str) -> list[str]:
    """The payloads of the calls that a statement makes, as they are."""
    stack.record.clear()
    execute(connection, sql)
    return [call["payload"] for call in stack.record.calls("Echo")]


def test_a_column_of_every_type_arrives_as_its_text(
    every_stack: Stack, connection: MySQLConnectionAbstract
) -> None:
    declared = ", ".join(f"`{name}` {kind}" for name, (kind, _, _) in COLUMNS.items())
    execute(connection, f"CREATE TABLE columns (id INT PRIMARY KEY, {declared})")
    values = ", ".join(value for _, value, _ in COLUMNS.values())
    execute(connection, f"INSERT INTO columns VALUES (1, {values}), (2, {values})")
    for name, (_, _, text) in COLUMNS.items():
        sql = f"SELECT lambda_sync('Echo', `{name}`) FROM columns ORDER BY id"
        assert sent(every_stack, connection, sql) == [text] * 2, name


@pytest.mark.parametrize("names", CONNECTIONS)
def test_a_computed_argument_is_that_of_its_row(
    every_stack: Stack, connection: MySQLConnectionAbstract, names: str
) -> None:
    use(connection, names)
    for expression, expected in COMPUTED.items():
        sql = f"SELECT lambda_sync('Echo', {expression}) FROM numbers ORDER BY id"
        assert sent(every_stack, connection, sql) == expected, expression


@pytest.mark.parametrize("names", CONNECTIONS)
def test_a_computed_name_calls_that_function(
    every_stack: Stack, connection: MySQLConnectionAbstract, names: str
) -> None:
    use(connection, names)
    name = "CONCAT(IF(id = 2, 'arn:aws:lambda:us-east-1:123456789012:function:', ''), 'Echo')"
    sql = f"SELECT lambda_sync({name}, id) FROM numbers ORDER BY id"
    assert sent(every_stack, connection, sql) == ["1", "2", "3"]


def test_variables_of_routines_and_parameters_arrive(
    every_stack: Stack, connection: MySQLConnectionAbstract
) -> None:
    execute(
        connection,
        """CREATE PROCEDURE asks(IN name TEXT, IN payload TEXT CHARACTER SET latin1) BEGIN
             DECLARE n INT DEFAULT 1;
             SET @answer = lambda_sync(name, payload);
             WHILE n < 4 DO
               SET @answer = lambda_sync(name, CONCAT('"é', n, '"')), @answer = lambda_sync(name, n), n = n + 1;
             END WHILE;
           END""",
    )
    calls = sent(every_stack, connection, """CALL asks('Echo', '"é"')""")
    assert calls == ['"é"', '"é1"', "1", '"é2"', "2", '"é3"', "3"]
    every_stack.record.clear()
    with connection.cursor(prepared=True) as cursor:
        for payload in ('"é"', 7, 2.5, '"🐬"', b'"b"'):
            cursor.execute("SELECT lambda_sync(?, ?)", ("Echo", payload))
            cursor.fetchall()
    assert every_stack.record.payloads("Echo") == ["é", 7, 2.5, "🐬", "b"]


def test_an_argument_that_another_one_evaluates_again_is_not_lost(
    every_stack: Stack, connection: MySQLConnectionAbstract
) -> None:
    """A merged view's column is evaluated wherever it is named."""
    execute(
        connection,
        "CREATE VIEW names AS SELECT id, CONCAT('Echo', REPEAT(' ', id * 100)) AS name FROM numbers",
    )
    sql = "SELECT lambda_sync(TRIM(name), CONCAT('\"', TRIM(name), id, '\"')) FROM names ORDER BY id"
    assert sent(every_stack, connection, sql) == ['"Echo1"', '"Echo2"', '"Echo3"']

"""What lambda_batch makes of every type of column and expression, on a real server, byte by byte in the event.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import datetime
import decimal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mysql.connector
import pytest
from tests.support.batch_functions import BatchStack, Number, batch_stack
from tests.support.stack import SANITIZER_REPORTS, Build, Library

N = Number


@pytest.fixture(scope="module", params=["plain", "sanitized", "as on 8.4"])
def running(
    request: pytest.FixtureRequest, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BatchStack]:
    old = request.param == "as on 8.4"
    library: Build = request.getfixturevalue("library_of_8_4") if old else Library(request.param)
    with batch_stack(mysql_home, tmp_path_factory.mktemp("values"), library) as running:
        yield running
        log = running.stack.mysqld.log_text()
    assert not [line for line in log.splitlines() if any(mark in line for mark in SANITIZER_REPORTS)]


def sent(running: BatchStack, sql: str, parameters: tuple[Any, ...] = ()) -> list[list[Any]]:
    """The rows of the one batch that a statement sends."""
    before = len(running.endpoint.payloads("echo"))
    running.stack.query(sql, parameters)
    (rows,) = running.batches("echo")[before:]
    return rows


COLUMNS = [
    ("TINYINT", "-128", N("-128")),
    ("BOOLEAN", "TRUE", N("1")),
    ("INT UNSIGNED", "4294967295", N("4294967295")),
    ("INT(8) ZEROFILL", "7", N("7")),
    ("BIGINT", "-9223372036854775808", N("-9223372036854775808")),
    ("BIGINT UNSIGNED", "18446744073709551615", N("18446744073709551615")),
    ("BIGINT(5) UNSIGNED", "18446744073709551615", N("18446744073709551615")),
    ("BIGINT(30) ZEROFILL", "42", N("42")),
    ("DOUBLE", "0.1", N("0.1")),
    ("DOUBLE", "1e300", N("1e+300")),
    ("DOUBLE", "123456789", N("123456789")),
    ("DOUBLE(10,2)", "12.34", N("12.34")),
    ("FLOAT", "16777216", N("16777216")),
    ("FLOAT", "0.1", N("0.10000000149011612")),
    ("DECIMAL(20,5)", "123.45", N("123.45000")),
    ("DECIMAL(65,30)", "-12345678901234567890123456789012345.5", N("-12345678901234567890123456789012345." + "5" + "0" * 29)),
    ("DECIMAL(6,2) ZEROFILL", "1.5", N("1.50")),
    ("DECIMAL(5,5)", "-0.1", N("-0.10000")),
    ("YEAR", "2026", N("2026")),
    ("YEAR", "0", N("0")),
    ("BIT(1)", "1", N("1")),
    ("BIT(10)", "b'1000000001'", N("513")),
    ("BIT(21)", "0x2d35", N("11573")),
    ("BIT(64)", "0xffffffffffffffff", N("18446744073709551615")),
    ("DATE", "'2026-01-02'", "2026-01-02"),
    ("TIME", "'-25:00:01'", "-25:00:01"),
    ("TIME(3)", "'01:02:03.4'", "01:02:03.400"),
    ("DATETIME", "'2026-01-02 03:04:05'", "2026-01-02T03:04:05"),
    ("DATETIME(1)", "'2026-01-02 03:04:05.6'", "2026-01-02T03:04:05.6"),
    ("DATETIME(6)", "'2026-01-02 03:04:05.678'", "2026-01-02T03:04:05.678000"),
    ("TIMESTAMP(3)", "'2026-01-02 03:04:05.678'", "2026-01-02T03:04:05.678"),
    ("CHAR(4)", "'a\"b'", 'a"b'),
    ("VARCHAR(99)", "'é\\\\ \\n\\0😀'", "é\\ \n\0😀"),
    ("TEXT", "'{\"a\": 1}'", '{"a": 1}'),
    ("TEXT COLLATE utf8mb4_bin", "'{\"a\": 1}'", '{"a": 1}'),
    ("VARCHAR(99) COLLATE utf8mb4_bin", "'[1]'", "[1]"),
    ("MEDIUMTEXT COLLATE utf8mb4_bin", "'[1]'", "[1]"),
    ("LONGTEXT", "'[1]'", "[1]"),
    ("LONGTEXT COLLATE utf8mb4_bin", "'[1,2]'", "[1,2]"),
    ("LONGTEXT COLLATE utf8mb4_bin", "'no JSON'", "no JSON"),
    ("VARCHAR(99) CHARACTER SET latin1", "'é'", "é"),
    ("VARCHAR(99) CHARACTER SET utf16", "'é'", "é"),
    ("VARCHAR(99) CHARACTER SET sjis", "'あ'", "あ"),
    ("VARCHAR(99) CHARACTER SET latin1", "'2026-01-02 03:04:05'", "2026-01-02 03:04:05"),
    ("VARCHAR(20) CHARACTER SET latin1", "'2026-01-02 03:04:05'", "2026-01-02 03:04:05"),
    ("VARCHAR(19) CHARACTER SET latin1", "'2026-01-02_03:04:05'", "2026-01-02_03:04:05"),
    ("VARCHAR(19) CHARACTER SET latin1 COLLATE latin1_bin", "'2026-01-02 03:04:05'", "2026-01-02 03:04:05"),
    # As docs/sql.md says of what looks alike:
    ("VARCHAR(19) CHARACTER SET latin1", "'2026-01-02 03:04:05'", "2026-01-02T03:04:05"),
    ("LONGTEXT COLLATE utf8mb4_bin", "'{\"a\": 1}'", {"a": N("1")}),
    ("VARCHAR(19)", "'2026-01-02 03:04:05'", "2026-01-02 03:04:05"),
    ("ENUM('a','b')", "'b'", "b"),
    ("SET('x','y')", "'x,y'", "x,y"),
    ("JSON", "'{\"k\": [1, 2.50, null, \"é\"]}'", {"k": [N("1"), N("2.5"), None, "é"]}),
    ("JSON", "'5'", N("5")),
    ("JSON", "'true'", True),
    ("JSON", "'null'", None),
    ("JSON", "'\"text\"'", "text"),
    ("BLOB", "x'ff00'", "/wA="),
    ("BINARY(4)", "x'01'", "AQAAAA=="),
    ("VARBINARY(9)", "''", ""),
    ("VECTOR(2)", "TO_VECTOR('[1,2]')", "AACAPwAAAEA="),
    ("POINT", "ST_GeomFromText('POINT(1 2)')", "AAAAAAEBAAAAAAAAAAAA8D8AAAAAAAAAQA=="),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "value", "expected"), COLUMNS)
def test_a_column_becomes_the_json_of_its_type(
    running: BatchStack, definition: str, value: str, expected: Any
) -> None:
    running.stack.query("DROP TABLE IF EXISTS t")
    running.stack.query(f"CREATE TABLE t (id INT PRIMARY KEY, c {definition} NULL)")
    with contextlib.closing(running.stack.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")  # for DECIMAL's and DATETIME's own limits, not ours
        cursor.execute(f"INSERT INTO t VALUES (1, {value}), (2, NULL), (3, {value})")
    assert sent(running, "SELECT lambda_batch('echo', c) FROM t ORDER BY id") == [
        [expected],
        [None],
        [expected],
    ]
    derived = "(SELECT c, COUNT(*) FROM t WHERE c IS NOT NULL GROUP BY id, c) d"
    assert sent(running, f"SELECT lambda_batch('echo', c, c) FROM {derived}") == [[expected] * 2] * 2


EXPRESSIONS = [
    ("1", N("1")),
    ("-1.50", N("-1.50")),
    ("18446744073709551615", N("18446744073709551615")),
    ("1e0/3", N("0.3333333333333333")),
    ("-0e0", N("-0")),
    ("NULL", None),
    ("TRUE", N("1")),
    ("'2026-01-02 03:04:05'", "2026-01-02 03:04:05"),
    ("_latin1'2026-01-02 03:04:05'", "2026-01-02 03:04:05"),
    ("TIMESTAMP'2026-01-02 03:04:05.5'", "2026-01-02T03:04:05.5"),
    ("CAST('2026-01-02 03:04:05' AS DATETIME(6))", "2026-01-02T03:04:05.000000"),
    ("CAST(TIMESTAMP'2026-01-02 03:04:05' AS CHAR)", "2026-01-02 03:04:05"),
    ("JSON_OBJECT('a', i, 'b', 'x')", {"a": N("1"), "b": "x"}),
    ("JSON_OBJECT('a', 1)", {"a": N("1")}),
    ("JSON_EXTRACT(j, '$.n')", N("12.5")),
    ("j->'$.s'", "text"),
    ("j->>'$.o'", '{"p": 1}'),
    ("j->>'$.s'", "text"),
    ("JSON_UNQUOTE(JSON_EXTRACT(j, '$.o'))", '{"p": 1}'),
    ("CAST(j AS CHAR)", '{"n": 12.5, "o": {"p": 1}, "s": "text"}'),
    ("CAST('[1,2]' AS JSON)", [N("1"), N("2")]),
    ("'[1, 2]' COLLATE utf8mb4_bin", "[1, 2]"),
    ("CONCAT(i, '')", "1"),
    ("x'ff'", "/w=="),
    ("_binary'x'", "eA=="),
    ("IF(i, bt, bt)", N("53")),
    ("bt + 0", N("53")),
    ("COALESCE(j, j)", {"n": N("12.5"), "o": {"p": N("1")}, "s": "text"}),
    ("(SELECT MAX(u) FROM t)", N("18446744073709551615")),
    ("u DIV 1", N("18446744073709551615")),
    ("UUID() IS NULL", N("0")),
    ("ROUND(u / 2)", N("9223372036854775808")),
]  # fmt: skip


@pytest.fixture
def table(running: BatchStack) -> BatchStack:
    running.stack.query("DROP TABLE IF EXISTS t")
    running.stack.query("CREATE TABLE t (i INT, u BIGINT UNSIGNED, bt BIT(8), j JSON)")
    running.stack.query(
        'INSERT INTO t VALUES (1, 18446744073709551615, 53, \'{"s": "text", "n": 12.5, "o": {"p": 1}}\')'
    )
    return running


@pytest.mark.parametrize(("expression", "expected"), EXPRESSIONS)
def test_an_expression_becomes_the_json_of_its_type(
    table: BatchStack, expression: str, expected: Any
) -> None:
    assert sent(table, f"SELECT lambda_batch('echo', {expression}) FROM t") == [[expected]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, N("5")),
        (2**64 - 1, N("18446744073709551615")),
        (-1.5, N("-1.5")),
        ("té", "té"),
        (None, None),
        (decimal.Decimal("1.50"), N("1.50")),
        (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05.000000"),
    ],
)
def test_a_parameter_of_a_prepared_statement_becomes_the_json_of_its_type(
    table: BatchStack, value: Any, expected: Any
) -> None:
    with contextlib.closing(table.stack.connect()) as connection, connection.cursor(prepared=True) as cursor:
        for _ in range(3):
            before = len(table.endpoint.payloads("echo"))
            cursor.execute("SELECT lambda_batch('echo', ?) FROM t", (value,))
            cursor.fetchall()
            assert table.batches("echo")[before:] == [[[expected]]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5", N("5")),
        ("18446744073709551615", N("18446744073709551615")),
        ("1.5e0", N("1.5")),
        ("'text'", "text"),
        ("x'ff'", "/w=="),
        ("CAST('{\"a\": 1}' AS JSON)", {"a": N("1")}),
        ("NULL", None),
    ],
)
def test_a_user_variable_becomes_the_json_of_its_type(running: BatchStack, value: str, expected: Any) -> None:
    with contextlib.closing(running.stack.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET @v = {value}")
        before = len(running.endpoint.payloads("echo"))
        cursor.execute("SELECT lambda_batch('echo', @v)")
        cursor.fetchall()
        assert running.batches("echo")[before:] == [[[expected]]]


def test_a_parameter_that_is_cast_to_json_is_embedded(running: BatchStack) -> None:
    with (
        contextlib.closing(running.stack.connect()) as connection,
        connection.cursor(prepared=True) as cursor,
    ):
        for value, expected in (("[1]", [N("1")]), ("5", N("5")), ('"x"', "x")):
            before = len(running.endpoint.payloads("echo"))
            cursor.execute("SELECT lambda_batch('echo', CAST(? AS JSON))", (value,))
            cursor.fetchall()
            assert running.batches("echo")[before:] == [[[expected]]]


def test_one_prepared_statement_takes_parameters_of_any_type_in_turn(running: BatchStack) -> None:
    values = {
        "5": N("5"),
        "'text'": "text",
        "1.5e0": N("1.5"),
        "18446744073709551615": N("18446744073709551615"),
        "1.50": N("1.50"),
        "x'ff'": "/w==",
        "NULL": None,
        "-1": N("-1"),
        "REPEAT('long', 20000)": "long" * 20000,
        "1e300": N("1e+300"),
    }
    before = len(running.endpoint.payloads("echo"))
    with contextlib.closing(running.stack.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("PREPARE p FROM 'SELECT lambda_batch(''echo'', ?, ?)'")
        for first in values:
            for second in values:
                cursor.execute(f"SET @first = {first}, @second = {second}")
                cursor.execute("EXECUTE p USING @first, @second")
                cursor.fetchall()
    pairs = [[values[first], values[second]] for first in values for second in values]
    assert running.batches("echo")[before:] == [[pair] for pair in pairs]


def test_a_text_that_each_row_computes_anew_is_each_rows_own(running: BatchStack) -> None:
    """The server writes each into the memory of the one before."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
    expressions = "CONCAT('row ', i), CONCAT(REPEAT('x', i % 50), i), CONVERT(CONCAT('é', i) USING latin1), UPPER(CONCAT('a', i)), i"
    rows = sent(running, f"{numbers} SELECT lambda_batch('echo', {expressions}) FROM n")
    assert rows == [
        [f"row {i}", "x" * (i % 50) + str(i), f"é{i}", f"A{i}", N(i)] for i in range(1, 501)
    ]  # fmt: skip


@pytest.mark.parametrize("value", [b'"\xff"', b'{"a": "\xed\xa0\x80"}', b'["\xc0\xaf"]', b'"\xe2\x82"'])
def test_bytes_that_are_not_utf8_in_what_may_be_json_are_embedded_nowhere(
    running: BatchStack, value: bytes
) -> None:
    """MySQL takes a parameter's bytes as they are. Under utf8mb4_bin the type JSON looks the same."""
    with (
        contextlib.closing(running.stack.connect(collation="utf8mb4_bin")) as connection,
        connection.cursor(prepared=True) as cursor,
    ):
        for sql, what in (
            ("SELECT lambda_batch('echo', 1, ?)", "column 2"),
            ("SELECT lambda_map('echo', 1, ?)", "the key"),
        ):
            with pytest.raises(mysql.connector.Error, match=f"row 1: {what} is not UTF-8"):
                cursor.execute(sql, (value,))
                cursor.fetchall()


def test_bytes_that_are_not_utf8_in_a_text_name_their_row_and_column(running: BatchStack) -> None:
    def ask() -> None:
        with (
            contextlib.closing(running.stack.connect()) as connection,
            connection.cursor(prepared=True) as cursor,
        ):
            cursor.execute("SELECT lambda_batch('echo', 1, ?)", (b"\xff",))
            cursor.fetchall()

    with pytest.raises(mysql.connector.Error, match="row 1: column 2 is not UTF-8"):
        ask()

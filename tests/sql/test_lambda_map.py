"""lambda_map(function, payload[, key]): one JSON array in the order of the rows, wherever an aggregate can stand.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import mysql.connector
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.stack import Stack, execute

MAP = "lambda_map('Echo', JSON_OBJECT('id', id))"


@pytest.fixture
def rows(stack: Stack) -> Stack:
    """Table t: ids 1 to 12; g is 0, 1 or 2."""
    stack.query("CREATE TABLE t (id INT PRIMARY KEY, g INT, note TEXT)")
    stack.query("INSERT INTO t VALUES " + ", ".join(f"({n}, {n % 3}, 'n{n}')" for n in range(1, 13)))
    return stack


@pytest.fixture
def connection(rows: Stack) -> Iterator[MySQLConnectionAbstract]:
    with contextlib.closing(rows.connect()) as connection:
        yield connection


def ids(*numbers: int) -> list[dict[str, int]]:
    return [{"id": number} for number in numbers]


def array(text: Any) -> list[Any]:
    found: list[Any] = json.loads(text)
    return found


def failure(stack: Stack, sql: str) -> str:
    with pytest.raises(mysql.connector.Error) as raised:
        stack.query(sql)
    assert (raised.value.errno, raised.value.sqlstate) == (3200, "HY000")
    assert raised.value.msg is not None
    return raised.value.msg.removeprefix("lambda_map UDF failed; ")


# ---- what comes back ----


def test_the_result_is_an_array_with_one_result_for_each_row_in_their_order(rows: Stack) -> None:
    assert array(rows.value(f"SELECT {MAP} FROM t")) == ids(*range(1, 13))
    assert len(rows.record.calls("Echo")) == 12


def test_no_rows_are_an_empty_array_and_invoke_nothing(rows: Stack) -> None:
    assert rows.value(f"SELECT {MAP} FROM t WHERE id > 100") == "[]"
    assert rows.query(f"SELECT g, {MAP} FROM t WHERE id > 100 GROUP BY g") == []
    assert rows.record.count() == 0


def test_each_group_has_an_array_of_its_own(rows: Stack) -> None:
    found = rows.query(f"SELECT g, {MAP} FROM t GROUP BY g ORDER BY g")
    assert [(g, array(text)) for g, text in found] == [
        (0, ids(3, 6, 9, 12)),
        (1, ids(1, 4, 7, 10)),
        (2, ids(2, 5, 8, 11)),
    ]


def test_a_thousand_groups_of_one_row(rows: Stack) -> None:
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
    found = rows.query(f"{numbers} SELECT i, lambda_map('Echo', i) FROM n GROUP BY i ORDER BY i")
    assert found == [(number, f"[{number}]") for number in range(1, 1001)]


def test_a_null_payload_is_null_in_its_place_and_invokes_nothing(rows: Stack) -> None:
    assert rows.value("SELECT lambda_map('Echo', IF(id IN (2, 3), NULL, id)) FROM t WHERE id < 5") == (
        "[1, null, null, 4]"
    )
    assert rows.value("SELECT lambda_map('Echo', NULL) FROM t WHERE id < 3") == "[null, null]"
    assert len(rows.record.calls("Echo")) == 2


def test_the_function_may_differ_from_row_to_row(rows: Stack) -> None:
    sql = "SELECT lambda_map(IF(id = 2, 'Big', 'Echo'), '{\"bytes\": 3}') FROM t WHERE id < 4"
    assert array(rows.value(sql)) == [{"bytes": 3}, "xxx", {"bytes": 3}]


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("id", "7"),
        ("-id", "-7"),
        ("id / 2", "3.5000"),
        ("id * 1e-3", "0.007"),
        ("CAST(18446744073709551615 AS UNSIGNED)", "18446744073709551615"),
        ("CONCAT(note, '\"é🐬')", '"n7\\"é🐬"'),
        ("NULL", "null"),
        ("IF(id = 7, NULL, id)", "null"),
        ("JSON_ARRAY(id, note)", '[7, "n7"]'),
        ("TIMESTAMP'2026-01-02 03:04:05.678'", '"2026-01-02T03:04:05.678"'),
        ("_binary 'ab'", '"YWI="'),
    ],
)
def test_a_key_of_any_type_stands_beside_its_result(rows: Stack, key: str, written: str) -> None:
    text = rows.value(f"SELECT lambda_map('Echo', id, {key}) FROM t WHERE id = 7")
    assert text == f'[{{"key": {written}, "result": 7}}]'


def test_a_row_with_a_key_and_no_payload_keeps_its_key(rows: Stack) -> None:
    text = rows.value("SELECT lambda_map('Echo', IF(id = 2, NULL, id), id) FROM t WHERE id < 4")
    assert array(text) == [{"key": n, "result": None if n == 2 else n} for n in (1, 2, 3)]


def test_json_table_makes_rows_of_it_which_join_back_by_their_key(rows: Stack) -> None:
    rows.query(
        """UPDATE t JOIN (
              SELECT j.* FROM (SELECT lambda_map('Echo', JSON_OBJECT('note', CONCAT('from ', note)), id) AS m FROM t) AS d,
              JSON_TABLE(d.m, '$[*]' COLUMNS (id INT PATH '$.key', note TEXT PATH '$.result.note')) AS j
            ) AS answers ON answers.id = t.id SET t.note = answers.note"""
    )
    assert rows.query("SELECT COUNT(*) FROM t WHERE note = CONCAT('from n', id)") == [(12,)]


def test_large_results_come_whole(rows: Stack) -> None:
    sql = "SELECT lambda_map('Big', '{\"bytes\": 4000000}') FROM t WHERE id < 6"
    assert rows.value(sql) == "[" + ", ".join(['"' + "x" * 4_000_000 + '"'] * 5) + "]"


def test_a_result_beyond_max_allowed_packet_is_an_error_and_none_is_cut(rows: Stack) -> None:
    rows.query("SET GLOBAL max_allowed_packet = 1048576")
    try:
        most = 1_048_576
        sql = "SELECT lambda_map('Echo', CONCAT('\"', REPEAT('x', {}), '\"')) FROM t WHERE id = 1"
        assert len(rows.value(sql.format(most - 4))) == most
        assert (
            failure(rows, sql.format(most - 3))
            == f"the result has more than {most} bytes (max_allowed_packet)"
        )
        many = "SELECT lambda_map('Echo', CONCAT('\"', REPEAT('x', 100000), '\"')) FROM t AS a JOIN t AS b"
        assert failure(rows, many) == f"the result has more than {most} bytes (max_allowed_packet)"
    finally:
        rows.query("SET GLOBAL max_allowed_packet = 67108864")
    # Of 144 rows ten fit. What was under way by then has been sent.
    assert len(rows.record.calls("Echo")) < 2 + 10 + 101


# ---- where it stands ----


def test_a_prepared_statement_gives_the_same_three_times(connection: MySQLConnectionAbstract) -> None:
    execute(connection, f"PREPARE s FROM 'SELECT g, {MAP.replace(chr(39), chr(39) * 2)} FROM t GROUP BY g'")
    found = [execute(connection, "EXECUTE s") for _ in range(3)]
    assert found[0] == found[1] == found[2]
    assert [array(text) for _, text in found[0]] == [ids(3, 6, 9, 12), ids(1, 4, 7, 10), ids(2, 5, 8, 11)]


def test_parameters_can_be_bound(connection: MySQLConnectionAbstract) -> None:
    with connection.cursor(prepared=True) as cursor:
        for least in (10, 11, 100):
            cursor.execute("SELECT lambda_map(?, id, ?) FROM t WHERE id >= ?", ("Echo", "k", least))
            ((text,),) = cursor.fetchall()
            assert array(text) == [{"key": "k", "result": number} for number in range(least, 13)]


def test_a_procedure_reads_it_with_a_cursor_and_into_a_variable(connection: MySQLConnectionAbstract) -> None:
    execute(
        connection,
        f"""CREATE PROCEDURE p() BEGIN
              DECLARE done BOOL DEFAULT FALSE;
              DECLARE part TEXT;
              DECLARE parts CURSOR FOR SELECT {MAP} FROM t GROUP BY g ORDER BY g;
              DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE;
              SET @parts = '';
              OPEN parts;
              FETCH parts INTO part;
              WHILE NOT done DO
                SET @parts = CONCAT(@parts, part);
                FETCH parts INTO part;
              END WHILE;
              CLOSE parts;
              SELECT lambda_map('Echo', id) INTO @all FROM t;
            END""",
    )
    for _ in range(3):
        execute(connection, "CALL p()")
        ((parts, whole),) = execute(connection, "SELECT @parts, @all")
        assert parts == "".join(
            json.dumps(ids(*part)) for part in ((3, 6, 9, 12), (1, 4, 7, 10), (2, 5, 8, 11))
        )
        assert array(whole) == list(range(1, 13))


def test_a_handler_catches_its_failure(connection: MySQLConnectionAbstract) -> None:
    execute(
        connection,
        """CREATE PROCEDURE p() BEGIN
             DECLARE CONTINUE HANDLER FOR 3200 SET @caught = CONCAT(@caught, '!');
             SET @caught = '';
             SELECT lambda_map('Raise', JSON_OBJECT('id', id)) INTO @none FROM t;
             SELECT lambda_map('Echo', id) INTO @all FROM t WHERE id < 3;
           END""",
    )
    execute(connection, "CALL p()")
    assert execute(connection, "SELECT @caught, @all") == [("!", "[1, 2]")]


def test_insert_select_views_subqueries_and_a_stored_function(rows: Stack) -> None:
    rows.query("CREATE TABLE answers (g INT, a JSON)")
    rows.query(f"INSERT INTO answers SELECT g, {MAP} FROM t GROUP BY g")
    assert [array(text) for (text,) in rows.query("SELECT a FROM answers ORDER BY g LIMIT 1")] == [
        ids(3, 6, 9, 12)
    ]
    rows.query(f"CREATE VIEW v AS SELECT g, {MAP} AS m FROM t GROUP BY g")
    assert rows.query("CHECK TABLE v")[0][3] == "OK"
    assert array(rows.value("SELECT m FROM v WHERE g = 1")) == ids(1, 4, 7, 10)
    sql = f"SELECT (SELECT {MAP} FROM t AS i WHERE i.g = o.id) FROM (SELECT 1 AS id UNION SELECT 2) AS o"
    assert [array(text) for (text,) in rows.query(sql)] == [ids(1, 4, 7, 10), ids(2, 5, 8, 11)]
    rows.query(
        "CREATE FUNCTION f(most INT) RETURNS TEXT READS SQL DATA"
        " BEGIN DECLARE m TEXT; SELECT lambda_map('Echo', id) INTO m FROM t WHERE id <= most; RETURN m; END"
    )
    assert rows.query("SELECT id, f(id) FROM t WHERE id < 4") == [(1, "[1]"), (2, "[1, 2]"), (3, "[1, 2, 3]")]


LOOP = "CREATE PROCEDURE p() BEGIN DECLARE x TEXT; DECLARE i INT DEFAULT 0; WHILE i < 3 DO {} SET i = i + 1; END WHILE; END"
EXPRESSIONS = {
    "SET of a local variable": LOOP.format("SET x = {};"),
    "SET of a user's variable": LOOP.format("SET @x = {};"),
    "IF": LOOP.format("IF {} IS NULL THEN SET @x = 1; END IF;"),
    "CASE": LOOP.format("CASE {} WHEN 1 THEN SET @x = 1; ELSE SET @x = 2; END CASE;"),
    "DEFAULT": LOOP.format("BEGIN DECLARE y TEXT DEFAULT {}; END;"),
    "behind a handler": LOOP.replace(
        "WHILE i", "DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END; WHILE i"
    ).format("SET x = {};"),
    "RETURN": "CREATE FUNCTION f() RETURNS TEXT READS SQL DATA RETURN {}",
    "a trigger's SET": "CREATE TRIGGER before_insert BEFORE INSERT ON other FOR EACH ROW SET NEW.id = {}",
}


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_where_mysql_would_crash_with_any_loadable_aggregate_it_is_refused(rows: Stack, place: str) -> None:
    """A second evaluation in one statement is what the server does not survive."""
    rows.query("CREATE TABLE other (id INT)")
    rows.query(EXPRESSIONS[place].format("(SELECT lambda_map('Echo', id) FROM t)"))
    call = {"RETURN": "SELECT f(), f()", "a trigger's SET": "INSERT INTO other VALUES (1), (2)"}.get(
        place, "CALL p()"
    )
    for _ in range(2):
        try:
            rows.query(call)
        except mysql.connector.Error as error:
            assert error.errno == 1123
            assert "use SELECT ... INTO" in str(error.msg)
        else:
            assert place == "behind a handler"
    assert rows.record.count() == 0


def test_statements_with_it_run_again_and_again_in_a_loop(rows: Stack) -> None:
    rows.query("CREATE TABLE other (note TEXT)")
    subquery = "(SELECT lambda_map('Echo', id) FROM t WHERE id < 3)"
    rows.query("CREATE PROCEDURE takes(one TEXT) INSERT INTO other VALUES (one)")
    rows.query(
        LOOP.format(
            f"SELECT lambda_map('Echo', id) INTO x FROM t WHERE id < 3; INSERT INTO other VALUES (x);"
            f"INSERT INTO other VALUES ({subquery}); CALL takes({subquery}); DO {subquery};"
            f"INSERT INTO other SELECT {subquery};"
        )
    )
    rows.query("CALL p()")
    assert rows.query("SELECT note, COUNT(*) FROM other GROUP BY note") == [("[1, 2]", 12)]


def test_several_of_them_in_one_statement_and_beside_other_aggregates(rows: Stack) -> None:
    sql = f"SELECT COUNT(*), {MAP}, lambda_map('Echo', -id), SUM(id) FROM t WHERE id < 3"
    ((count, first, second, total),) = rows.query(sql)
    assert (count, array(first), array(second), total) == (2, ids(1, 2), [-1, -2], 3)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT {} AS m FROM t GROUP BY g HAVING m IS NOT NULL ORDER BY m",
        "SELECT {} AS m, RANK() OVER (ORDER BY COUNT(*)) FROM t GROUP BY g ORDER BY 1",
        "SELECT DISTINCT {} AS m, COUNT(*) FROM t GROUP BY g ORDER BY LENGTH(m), m",
        "SELECT * FROM (SELECT {} AS m FROM t GROUP BY g) AS d ORDER BY m",
        "SELECT SQL_BUFFER_RESULT {} AS m FROM t GROUP BY g ORDER BY m",
    ],
)
def test_temporary_tables_sorting_and_window_functions_leave_it_right(rows: Stack, sql: str) -> None:
    found = sorted(array(row[0])[0]["id"] for row in rows.query(sql.format(MAP)))
    assert found == [1, 2, 3]
    assert len(rows.record.calls("Echo")) == 12


def test_a_group_whose_result_nobody_wants_has_made_its_calls(rows: Stack) -> None:
    """But for those of the last group, which the end of the statement may cancel."""
    sql = f"SELECT g, {MAP} FROM t GROUP BY g HAVING g = 2"
    ((g, text),) = rows.query(sql)
    assert (g, array(text)) == (2, ids(2, 5, 8, 11))
    assert len(rows.record.calls("Echo")) == 12


def test_with_rollup_is_refused_because_the_server_mixes_its_levels(rows: Stack) -> None:
    assert failure(rows, f"SELECT g, {MAP} FROM t GROUP BY g WITH ROLLUP") == "it cannot be used WITH ROLLUP"
    assert len(rows.record.calls("Echo")) <= 1


def test_distinct_and_over_are_no_syntax_for_a_loadable_aggregate(rows: Stack) -> None:
    for sql in (
        "SELECT lambda_map(DISTINCT 'Echo', id) FROM t",
        "SELECT lambda_map('Echo', id) OVER () FROM t",
    ):
        with pytest.raises(mysql.connector.Error) as raised:
            rows.query(sql)
        assert raised.value.errno == 1064


def test_the_result_compares_as_a_literal_under_every_collation_of_the_connection(rows: Stack) -> None:
    for collation in ("utf8mb4_0900_ai_ci", "utf8mb4_general_ci", "utf8mb4_bin", "latin1_swedish_ci"):
        with contextlib.closing(rows.connect()) as connection:
            execute(connection, f"SET NAMES {collation.partition('_')[0]} COLLATE {collation}")
            sql = "SELECT lambda_map('Echo', id) = '[1, 2]' FROM t WHERE id < 3"
            assert execute(connection, sql) == [(1,)]


@pytest.mark.parametrize("count", [1, 4])
def test_a_wrong_number_of_arguments_names_the_right_call(rows: Stack, count: int) -> None:
    with pytest.raises(mysql.connector.Error) as raised:
        rows.query(f"SELECT lambda_map({', '.join(['id'] * count)}) FROM t")
    assert raised.value.errno == 1123
    expected = f"lambda_map(function_or_options, payload[, key]) takes 2 or 3 arguments, {count} given"
    assert expected in str(raised.value.msg)


def test_explain_invokes_nothing(rows: Stack) -> None:
    rows.query(f"EXPLAIN SELECT {MAP} FROM t")
    rows.query(f"EXPLAIN SELECT * FROM t WHERE note = (SELECT {MAP} FROM t AS i WHERE i.id = 1)")
    assert rows.record.count() == 0
    rows.query(f"EXPLAIN ANALYZE SELECT {MAP} FROM t")
    assert rows.record.count() == 12

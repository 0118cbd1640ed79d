"""lambda_sync and lambda_async as SQL users write them, against a real mysqld, sidecar and Lambda.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

import mysql.connector
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.account import ARN
from tests.support.stack import Stack, execute
from tests.support.waiting import wait_until

PING = f"SELECT lambda_sync('{ARN}BasicTestLambda', '{{\"operation\": \"ping\"}}')"


def test_auroras_own_example_answers(stack: Stack) -> None:
    answer = json.loads(stack.value(PING))
    assert answer["operation"] == "ping"
    assert stack.record.payloads("BasicTestLambda") == [{"operation": "ping"}]


def test_the_mysql_client_shows_the_answer(stack: Stack) -> None:
    shown = stack.mysqld.client(
        "--batch", "--skip-column-names", input="SELECT lambda_sync('Echo', '{\"a\": [1, 2]}');"
    )
    assert (shown.returncode, shown.stdout) == (0, '{"a": [1, 2]}\n')


def test_an_event_is_accepted_with_its_request_id(stack: Stack) -> None:
    answer = json.loads(stack.value("SELECT lambda_async('Echo', '{\"n\": 1}')"))
    assert answer["StatusCode"] == 202
    (call,) = stack.record.calls("Echo")
    assert call["request_id"] == answer["RequestId"]
    assert call["invocation_type"] == "Event"
    assert json.loads(call["payload"]) == {"n": 1}


@pytest.mark.parametrize(
    "payload",
    [
        '"🐬 dolphin"',
        '"\\u0000"',
        '"\\ud83d\\udc2c"',
        '"é ß 日本"',
        "[]",
        "{}",
        '{"a":{"b":[1,2.5e3,null,true]}}',
    ],
)
def test_what_goes_in_comes_back(stack: Stack, payload: str) -> None:
    assert json.loads(stack.value("SELECT lambda_sync('Echo', %s)", (payload,))) == json.loads(payload)
    assert stack.record.calls("Echo")[0]["payload"] == payload


@pytest.mark.parametrize("atom", ["42", '"text"', "true", "null"])
def test_atomic_results_come_as_text(stack: Stack, atom: str) -> None:
    assert stack.value("SELECT lambda_sync('Echo', %s)", (atom,)) == atom


@pytest.mark.parametrize("charset", ["latin1", "utf8mb3", "utf8mb4", "cp1251"])
def test_arguments_arrive_as_utf8_whatever_the_client_speaks(stack: Stack, charset: str) -> None:
    letter = "ж" if charset == "cp1251" else "é"
    echo = f"lambda_sync('Echo', '\"{letter}\"')"
    sql = f"SELECT {echo} AS answer, HEX({echo}) AS hexadecimal"
    with contextlib.closing(stack.connect(charset="utf8mb4")) as connection:
        execute(connection, f"SET NAMES {charset}")
        encoding = {"latin1": "latin-1", "cp1251": "cp1251"}.get(charset, "utf-8")
        with connection.cursor(raw=True) as cursor:
            cursor.execute(sql.encode(encoding))  # type: ignore[arg-type]  # bytes go as they are
            ((_, hexadecimal),) = cursor.fetchall()
            assert isinstance(hexadecimal, bytes | bytearray)
    assert [json.loads(call["payload"]) for call in stack.record.calls("Echo")] == [letter, letter]
    assert json.loads(bytes.fromhex(hexadecimal.decode()).decode()) == letter


def test_json_functions_work_on_the_result_without_a_cast(stack: Stack) -> None:
    with contextlib.closing(stack.connect()) as connection:
        rows = execute(
            connection,
            """SELECT JSON_EXTRACT(lambda_sync('Echo', '{"a": {"b": 7}}'), '$.a.b'),
                      JSON_VALUE(lambda_sync('Echo', '{"a": "x"}'), '$.a'),
                      (SELECT SUM(n) FROM JSON_TABLE(lambda_sync('Echo', '[1, 2, 3]'), '$[*]'
                                                     COLUMNS (n INT PATH '$')) AS t)""",
        )
    assert rows == [("7", "x", 6)]


def test_a_json_argument_is_taken_as_it_is(stack: Stack) -> None:
    stack.query("CREATE TABLE test.documents (document JSON)")
    stack.query("""INSERT INTO test.documents VALUES ('{"k": "ключ"}')""")
    stack.query("SELECT lambda_sync('Echo', document) FROM test.documents")
    stack.query("SELECT lambda_sync('Echo', JSON_OBJECT('n', NULL, 'list', JSON_ARRAY(1, 'a')))")
    assert stack.record.payloads("Echo") == [{"k": "ключ"}, {"n": None, "list": [1, "a"]}]


def test_an_argument_survives_what_the_next_one_evaluates(stack: Stack) -> None:
    """The view's column grows and is evaluated anew for the third argument; the server must have copied the second."""
    stack.query("CREATE TABLE test.numbers (n INT PRIMARY KEY)")
    stack.query("INSERT INTO test.numbers VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9)")
    stack.query(
        """CREATE VIEW test.texts AS
           SELECT n, CONCAT('"', REPEAT('x', 1000 * n + RAND() * 50000), '"') AS text FROM test.numbers"""
    )
    stack.query("SELECT lambda_invoke('Echo', text, CONCAT('{', LEFT(text, 0), '}')) FROM test.texts")
    assert [set(payload) for payload in stack.record.payloads("Echo")] == [{"x"}] * 9


def test_a_number_is_json_too(stack: Stack) -> None:
    assert stack.value("SELECT lambda_sync('Echo', 40 + 2)") == "42"


def test_the_result_is_utf8mb4_text(stack: Stack) -> None:
    assert stack.value("SELECT CHARSET(lambda_sync('Echo', '1'))") == "utf8mb4"
    assert stack.value("SELECT CHARSET(lambda_async('Echo', '1'))") == "utf8mb4"


def test_megabytes_go_there_and_back_unchanged(stack: Stack) -> None:
    text = hashlib.sha256(b"seed").hexdigest() * 92_187  # 5.9 MB
    payload = json.dumps(text)
    answer = stack.value("SELECT lambda_sync('Echo', %s)", (payload,))
    assert hashlib.sha256(answer.encode()).digest() == hashlib.sha256(payload.encode()).digest()
    assert stack.value("""SELECT LENGTH(lambda_sync('Big', '{"bytes": 5900000}'))""") == 5_900_002


def test_every_row_invokes_in_row_order(stack: Stack) -> None:
    stack.query("CREATE TABLE test.numbers (n INT PRIMARY KEY)")
    stack.query(
        """INSERT INTO test.numbers WITH RECURSIVE s(n) AS
           (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 200) SELECT n FROM s"""
    )
    rows = stack.query("SELECT n, lambda_sync('Echo', n) FROM test.numbers ORDER BY n")
    assert [(n, int(answer)) for n, answer in rows] == [(n, n) for n in range(1, 201)]
    assert stack.record.payloads("Echo") == list(range(1, 201))


def test_constant_arguments_invoke_once_per_row(stack: Stack) -> None:
    stack.query("SELECT lambda_sync('Echo', '1') FROM (VALUES ROW(1), ROW(2), ROW(3)) AS t")
    assert stack.record.count() == 3


def test_a_call_inside_a_call_invokes_once_each(stack: Stack) -> None:
    assert stack.value("SELECT lambda_sync('Echo', lambda_sync('Echo', '{\"a\": 1}'))") == '{"a": 1}'
    assert stack.record.count() == 2


def test_an_account_of_where_invokes_per_row(stack: Stack) -> None:
    rows = stack.query(
        "SELECT n FROM (VALUES ROW(1), ROW(2)) AS t (n) WHERE JSON_VALUE(lambda_sync('Echo', n), '$') = 2"
    )
    assert rows == [(2,)]
    assert stack.record.count() == 2


@pytest.mark.parametrize(("hint", "times"), [("", 2), ("/*+ NO_MERGE(d) */", 1)])
def test_a_merged_derived_table_invokes_once_per_reference(stack: Stack, hint: str, times: int) -> None:
    stack.query("CREATE TABLE test.one AS SELECT 1 AS n")
    stack.query(f"SELECT {hint} d.a, d.a FROM (SELECT lambda_sync('Echo', n) AS a FROM test.one) AS d")
    assert stack.record.count() == times


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN SELECT lambda_sync('Echo', '1')",
        "EXPLAIN FORMAT=TREE SELECT lambda_async('Echo', '1') FROM (VALUES ROW(1), ROW(2)) AS t",
        "PREPARE p FROM 'SELECT lambda_sync(''Echo'', ''1'')'",
        "PREPARE p FROM 'SELECT lambda_sync(?, ?)'",
        "CREATE VIEW test.v AS SELECT lambda_sync('Echo', '1') AS answer",
        "CREATE PROCEDURE test.p() SELECT lambda_sync('Echo', '1')",
    ],
)
def test_explain_prepare_and_create_view_invoke_nothing(stack: Stack, sql: str) -> None:
    """And open no socket: the sidecar is gone, and nobody notices."""
    stack.sidecar.stop()
    try:
        stack.query(sql)
    finally:
        stack.sidecar.start()
    assert stack.record.count() == 0


def test_it_works_inside_a_view(stack: Stack) -> None:
    stack.query("CREATE VIEW test.v AS SELECT lambda_sync('Echo', '{\"from\": \"view\"}') AS answer")
    assert json.loads(stack.value("SELECT answer FROM test.v")) == {"from": "view"}
    assert stack.query("CHECK TABLE test.v")[0][2:] == ("status", "OK")


def test_it_works_inside_stored_functions_and_procedures(stack: Stack) -> None:
    stack.query(
        "CREATE FUNCTION test.ask(n INT) RETURNS TEXT NOT DETERMINISTIC NO SQL RETURN lambda_sync('Echo', n)"
    )
    stack.query("CREATE PROCEDURE test.tell(n INT) SELECT lambda_async('Echo', n) INTO @result")
    assert stack.value("SELECT test.ask(5)") == "5"
    stack.query("CALL test.tell(6)")
    assert stack.record.payloads("Echo") == [5, 6]


@pytest.mark.parametrize(
    ("event", "statement", "row", "expected"),
    [
        ("AFTER INSERT", "INSERT INTO test.t VALUES (1, 'a'), (2, 'b')", "NEW", [1, 2]),
        ("AFTER UPDATE", "UPDATE test.t SET v = 'z' ORDER BY id", "NEW", [8, 9]),
        ("BEFORE DELETE", "DELETE FROM test.t ORDER BY id", "OLD", [8, 9]),
    ],
)
def test_triggers_invoke_once_per_row(
    stack: Stack, event: str, statement: str, row: str, expected: list[int]
) -> None:
    stack.query("CREATE TABLE test.t (id INT PRIMARY KEY, v VARCHAR(9))")
    if not statement.startswith("INSERT"):
        stack.query("INSERT INTO test.t VALUES (8, 'x'), (9, 'y')")
    stack.query(
        f"""CREATE TRIGGER test.fires {event} ON test.t FOR EACH ROW
            BEGIN SELECT lambda_async('{ARN}Echo', JSON_OBJECT('id', {row}.id)) INTO @result; END"""
    )
    with contextlib.closing(stack.connect()) as connection:
        execute(connection, statement)
        ((result,),) = execute(connection, "SELECT @result")
    assert json.loads(result)["StatusCode"] == 202
    assert stack.record.payloads("Echo") == [{"id": n} for n in expected]


def test_it_works_inside_a_scheduled_event(stack: Stack) -> None:
    stack.query(
        """CREATE EVENT test.soon ON SCHEDULE AT CURRENT_TIMESTAMP
           DO SELECT lambda_async('Echo', '{"from": "event"}') INTO @result"""
    )
    wait_until(lambda: stack.record.payloads("Echo") == [{"from": "event"}], what="the event's call")


def test_a_prepared_statement_invokes_at_each_execute(stack: Stack) -> None:
    with contextlib.closing(stack.connect()) as connection:
        execute(connection, "PREPARE p FROM 'SELECT lambda_sync(?, ?)'")
        execute(connection, "SET @f = 'Echo'")
        for n in (1, 2, 3):
            execute(connection, f"SET @n = {n}")
            assert execute(connection, "EXECUTE p USING @f, @n") == [(str(n),)]
        with connection.cursor(prepared=True) as cursor:
            for n in (4, 5):
                cursor.execute("SELECT lambda_sync(?, ?)", ("Echo", str(n)))
                assert [_text(row) for row in cursor.fetchall()] == [str(n)]
    assert stack.record.payloads("Echo") == [1, 2, 3, 4, 5]


def _text(row: Any) -> str:
    (value,) = row
    return value.decode() if isinstance(value, bytes | bytearray) else str(value)


def test_double_quoted_arguments_work(stack: Stack) -> None:
    assert stack.value(f'SELECT lambda_sync("{ARN}Echo", "{{}}")') == "{}"


@pytest.mark.parametrize(
    "name",
    [
        "Echo",
        "Echo:$LATEST",
        "123456789012:function:Echo",
        f"{ARN}Echo",
        f"{ARN}Echo:$LATEST",
        "arn:aws:lambda:eu-central-1:999999999999:function:Echo",
        "arn:aws-cn:lambda:cn-north-1:123456789012:function:Echo",
    ],
)
def test_every_form_of_a_functions_name_works(stack: Stack, name: str) -> None:
    assert stack.value("SELECT lambda_sync(%s, '1')", (name,)) == "1"


def test_results_can_be_stored(stack: Stack) -> None:
    stack.query("CREATE TABLE test.results AS SELECT lambda_sync('Echo', '{\"a\": 1}') AS answer")
    stack.query("CREATE TABLE test.documents (d JSON)")
    stack.query("INSERT INTO test.documents SELECT lambda_sync('Echo', '{\"b\": 2}')")
    stack.query("UPDATE test.documents SET d = lambda_sync('Echo', '{\"c\": 3}')")
    assert stack.value("SELECT answer FROM test.results") == '{"a": 1}'
    assert stack.value("SELECT d FROM test.documents") == '{"c": 3}'


def test_group_by_order_by_and_union_take_the_result(stack: Stack) -> None:
    rows = stack.query(
        """SELECT JSON_VALUE(lambda_sync('Echo', n MOD 2), '$') AS parity, COUNT(*)
           FROM (VALUES ROW(1), ROW(2), ROW(3)) AS t (n) GROUP BY parity ORDER BY parity"""
    )
    assert rows == [("0", 1), ("1", 2)]
    union = stack.query("SELECT lambda_sync('Echo', '1') UNION ALL SELECT lambda_sync('Echo', '2')")
    assert union == [("1",), ("2",)]


def test_mysqldump_by_an_account_without_the_privilege_works(stack: Stack) -> None:
    stack.query("CREATE TABLE test.t (id INT PRIMARY KEY)")
    stack.query("CREATE VIEW test.v AS SELECT lambda_sync('Echo', '1') AS answer")
    stack.query(
        """CREATE TRIGGER test.fires AFTER INSERT ON test.t FOR EACH ROW
           SELECT lambda_async('Echo', '2') INTO @r"""
    )
    stack.query("INSERT INTO test.t VALUES (1)")
    stack.record.clear()
    with _account(stack, "backup", "SELECT, SHOW VIEW, TRIGGER, LOCK TABLES, PROCESS, EVENT"):
        dumped = stack.mysqld.client("--user=backup", "--no-tablespaces", "test", program="mysqldump")
    assert dumped.returncode == 0, dumped.stderr
    assert "lambda_sync" in dumped.stdout
    assert "lambda_async" in dumped.stdout
    assert "INSERT INTO `t` VALUES (1)" in dumped.stdout
    assert stack.record.count() == 0


def test_without_super_the_first_invocation_is_refused(stack: Stack) -> None:
    stack.query("CREATE TABLE test.t (id INT)")
    with contextlib.ExitStack() as context:
        context.enter_context(_account(stack, "app", "SELECT, CREATE VIEW, CREATE ROUTINE, EXECUTE"))
        connection = context.enter_context(contextlib.closing(stack.connect(user="app")))
        execute(connection, "CREATE VIEW test.v AS SELECT lambda_sync('Echo', '1') AS answer")
        assert execute(connection, "SELECT lambda_sync('Echo', id) FROM test.t") == []  # no row, no call
        _expect_denied(connection, "SELECT lambda_sync('Echo', '1')")
        _expect_denied(connection, "SELECT lambda_async('Echo', '1')")
        _expect_denied(connection, "SELECT * FROM test.v")
    assert stack.record.count() == 0


def _expect_denied(connection: MySQLConnectionAbstract, sql: str) -> None:
    with pytest.raises(mysql.connector.Error) as raised:
        execute(connection, sql)
    assert (raised.value.errno, raised.value.sqlstate, raised.value.msg) == (
        1227,
        "42000",
        "Access denied; you need (at least one of) the Invoke Lambda privilege(s) for this operation",
    )


def test_a_definer_with_super_lends_it(stack: Stack) -> None:
    stack.query("CREATE DEFINER = root@localhost PROCEDURE test.ask() SELECT lambda_sync('Echo', '1')")
    with _account(stack, "app", "EXECUTE"):
        answer = stack.mysqld.client("--user=app", "--batch", "--skip-column-names", input="CALL test.ask()")
    assert (answer.returncode, answer.stdout) == (0, "1\n"), answer.stderr


@contextlib.contextmanager
def _account(stack: Stack, name: str, privileges: str) -> Any:
    stack.query(f"DROP USER IF EXISTS {name}@localhost")
    stack.query(f"CREATE USER {name}@localhost")
    stack.query(f"GRANT PROCESS ON *.* TO {name}@localhost")
    stack.query(f"GRANT {privileges.replace(', PROCESS', '')} ON test.* TO {name}@localhost")
    try:
        yield
    finally:
        stack.query(f"DROP USER {name}@localhost")

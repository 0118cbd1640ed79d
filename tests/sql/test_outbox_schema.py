"""lambda_udf.outbox as people write into it: what is refused, who is the caller, and that it follows the transaction.

Each test's name is the sentence that it proves. Nobody delivers here; a binary log is on."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mysql.connector
import pytest
from tests.support.checkout import ROOT
from tests.support.stack import SANITIZER_REPORTS, Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

from lambda_sidecar.outbox import election

SQL = ROOT / "udf/sql"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:order-placed"
NAME = "function_name_must_be_a_name_or_a_partial_or_full_ARN"
JSON = "payload_must_be_JSON"
SIZE = "payload_must_not_exceed_1048576_bytes_6291456_with_keep_result"
OPTIONS = "options_must_be_those_of_the_outbox_see_SHOW_WARNINGS"
WRITE = "INSERT INTO lambda_udf.outbox (function_name, payload) VALUES ('f', '1')"
ASYNC = "SELECT lambda_udf.lambda_async('f', '1')"


@pytest.fixture(scope="module")
def server(library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp(f"outbox-{library.value}")
    with start_stack(mysql_home, folder, library, options=("--log-bin=bin", "--server-id=1")) as stack:
        script(stack, "install.sql")
        stack.query("CREATE USER app@'%', plain@'%', boss@'%'")
        stack.query("GRANT AWS_LAMBDA_ACCESS TO app@'%', boss@'%'")
        stack.query("SET DEFAULT ROLE ALL TO app@'%', boss@'%'")
        yield stack
        log = stack.mysqld.log_text()
    assert not [line for line in log.splitlines() if any(mark in line for mark in SANITIZER_REPORTS)]


@pytest.fixture
def stack(server: Stack) -> Stack:
    """With an empty outbox, whose ids begin at 1, and a new schema `test`, in which everybody may do everything."""
    server.reset()
    for table in ("outbox", "outbox_waiting", "outbox_dead", "outbox_results"):
        server.query(f"TRUNCATE TABLE lambda_udf.{table}")
    server.query("GRANT ALL ON test.* TO app@'%', plain@'%', boss@'%'")
    return server


def script(stack: Stack, name: str) -> None:
    done = stack.mysqld.client(input=(SQL / name).read_text())
    assert done.returncode == 0, done.stderr


def query(stack: Stack, user: str, *statements: str) -> list[Any]:
    """Runs them in one session of the user; the last one's rows."""
    with contextlib.closing(stack.connect(user=user)) as connection:
        return [execute(connection, sql) for sql in statements][-1]


def refusal(stack: Stack, sql: str, parameters: tuple[Any, ...] = (), user: str = "root") -> tuple[int, str]:
    connection = stack.connect(user=user)
    with contextlib.closing(connection), pytest.raises(mysql.connector.Error) as refused:
        execute(connection, sql, parameters)
    return refused.value.errno, refused.value.msg or ""


def write(stack: Stack, name: str = "f", payload: Any = "1", options: Any = None) -> None:
    document = None if options is None else json.dumps(options)
    stack.query(
        "INSERT INTO lambda_udf.outbox (function_name, payload, options) VALUES (%s, %s, %s)",
        (name, payload, document),
    )


def refused_write(stack: Stack, name: str = "f", payload: Any = "1", options: Any = None) -> tuple[int, str]:
    return refusal(
        stack,
        "INSERT INTO lambda_udf.outbox (function_name, payload, options) VALUES (%s, %s, %s)",
        (name, payload, None if options is None else json.dumps(options)),
    )


def count(stack: Stack) -> int:
    return int(stack.value("SELECT COUNT(*) FROM lambda_udf.outbox"))


def callers(stack: Stack) -> list[str]:
    return [caller for (caller,) in stack.query("SELECT caller FROM lambda_udf.outbox ORDER BY id")]


# ---- the statement that writes nonsense is the one that fails ----


@pytest.mark.parametrize(
    "name",
    ["f", ARN, f"{ARN}:PROD", f"{ARN}:$LATEST", "123456789012:function:f", "us-east-1:123456789012:f:7",
     "f.g", ".f", f"{ARN}.new:$LATEST.PUBLISHED", "f" * 255],
)  # fmt: skip
def test_a_name_and_a_partial_and_a_full_arn_are_taken(stack: Stack, name: str) -> None:
    write(stack, name)
    assert stack.value("SELECT function_name FROM lambda_udf.outbox") == name


@pytest.mark.parametrize(
    "name",
    ["", "a b", "f\n", "f\\", 'f"', "*", "https://x.example/", "arn:aws:lambda:function", "arn:aws:s3:::bucket",
     "f:$OLDEST", "f:1.2", "..", f"{ARN[:-12]}..:1", '{"function": "f"}', "f" * 256],
)  # fmt: skip
def test_what_is_no_functions_name_is_refused(stack: Stack, name: str) -> None:
    errno, message = refused_write(stack, name)
    assert (errno, NAME in message) == (3819, True)


@pytest.mark.parametrize("payload", ["", "{", "nothing", '{"a": 1} x', "[" * 101 + "]" * 101])
def test_a_payload_that_is_not_json_is_refused(stack: Stack, payload: str) -> None:
    errno, message = refused_write(stack, payload=payload)
    assert (errno, JSON in message) == (3819, True)


def test_null_is_refused_by_name(stack: Stack) -> None:
    assert refused_write(stack, payload=None) == (1048, "Column 'payload' cannot be null")
    assert refusal(stack, "SELECT lambda_udf.lambda_async('f', NULL)") == (
        1048,
        "Column 'payload' cannot be null",
    )
    assert refusal(stack, "SELECT lambda_udf.lambda_async(NULL, '1')")[0] == 1048


@pytest.mark.parametrize(
    ("most", "options"),
    [(1_048_576, None), (1_048_576, {"keep_result": False}), (6_291_456, {"keep_result": True}),
     (6_291_456, {"invocation_type": "RequestResponse"}), (1_048_576, {"invocation_type": "Event"})],
)  # fmt: skip
def test_a_payload_is_as_large_as_lambda_takes_it_and_no_larger(
    stack: Stack, most: int, options: Any
) -> None:
    largest = '"' + "x" * (most - 2) + '"'
    write(stack, payload=largest, options=options)
    assert stack.value("SELECT payload_bytes FROM lambda_udf.outbox") == most
    errno, message = refused_write(stack, payload=largest + " ", options=options)
    assert (errno, SIZE in message) == (3819, True)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"delay_seconds": 0.5},
        {"delay_seconds": 2_678_400},
        {"group_key": "\N{OWL}" * 128},
        {"deduplication_key": "d", "keep_result": True, "durable": True, "envelope": False},
        {"invocation_type": "DryRun", "region": "eu-west-1", "qualifier": "PROD"},
        {"role": "arn:aws:iam::123456789012:role/r", "tenant_id": "a-Z_0.:/=+@ "},
        {"expires_at": "2030-01-31T23:59:59Z"},
        {"expires_at": "2030-01-31T23:59:59.123456Z"},
        {"expires_at": "2030-01-31 23:59:59.5"},
    ],
)
def test_each_option_is_taken(stack: Stack, options: Any) -> None:
    write(stack, options=options)
    assert json.loads(stack.value("SELECT options FROM lambda_udf.outbox")) == options


@pytest.mark.parametrize(
    ("options", "place", "rule"),
    [
        ({"dela_seconds": 1}, "#/dela_seconds", "additionalProperties"),
        ({"stream": True}, "#/stream", "additionalProperties"),
        ({"delay_seconds": -1}, "#/delay_seconds", "minimum"),
        ({"delay_seconds": 2_678_401}, "#/delay_seconds", "maximum"),
        ({"delay_seconds": "1"}, "#/delay_seconds", "type"),
        ({"group_key": ""}, "#/group_key", "minLength"),
        ({"group_key": None}, "#/group_key", "type"),
        ({"group_key": "x" * 129}, "#/group_key", "maxLength"),
        ({"deduplication_key": 7}, "#/deduplication_key", "type"),
        ({"keep_result": "true"}, "#/keep_result", "type"),
        ({"durable": 1}, "#/durable", "type"),
        ({"envelope": None}, "#/envelope", "type"),
        ({"invocation_type": "event"}, "#/invocation_type", "enum"),
        ({"tenant_id": "a#b"}, "#/tenant_id", "pattern"),
        ({"tenant_id": "a\n"}, "#/tenant_id", "pattern"),
        ({"expires_at": "2030-01-31T23:59:59"}, "#/expires_at", "pattern"),
        ({"expires_at": "tomorrow"}, "#/expires_at", "pattern"),
        ([], "#", "type"),
        ("x", "#", "type"),
    ],
)
def test_a_wrong_option_is_refused_and_the_warnings_say_where(
    stack: Stack, options: Any, place: str, rule: str
) -> None:
    with contextlib.closing(stack.connect()) as connection:
        with pytest.raises(mysql.connector.Error, match=OPTIONS):
            execute(
                connection,
                "INSERT INTO lambda_udf.outbox (function_name, payload, options) VALUES ('f', '1', %s)",
                (json.dumps(options),),
            )
        warnings = execute(connection, "SHOW WARNINGS")
    assert f"The JSON document location '{place}' failed requirement '{rule}'" in warnings[0][2]


@pytest.mark.parametrize(
    ("values", "name"),
    [("REPEAT('f', 300), '1'", NAME), ("'f\N{LATIN SMALL LETTER E WITH ACUTE}', '1'", NAME), ("'f', NULL), ('f', '1'", JSON)],
)  # fmt: skip
def test_a_session_without_a_strict_sql_mode_writes_no_nonsense_either(
    stack: Stack, values: str, name: str
) -> None:
    with contextlib.closing(stack.connect()) as connection:
        execute(connection, "SET SESSION sql_mode = ''")
        with pytest.raises(mysql.connector.Error, match=name):
            execute(connection, f"INSERT INTO lambda_udf.outbox (function_name, payload) VALUES ({values})")
    assert count(stack) == 0


def test_a_payload_is_kept_as_it_was_written(stack: Stack) -> None:
    payload = '{"b": 1.0,\t"a":  1e40, "b": "\\u00e9\N{OWL}", "n": 123456789012345678901234567890 }\n'
    write(stack, payload=payload)
    with contextlib.closing(stack.connect()) as connection:
        execute(connection, "SELECT lambda_udf.lambda_async('f', %s)", (payload,))
        execute(connection, "SET NAMES latin1")
        execute(connection, """SELECT lambda_udf.lambda_async('f', _latin1 x'22E922')""")
    rows = stack.query("SELECT payload FROM lambda_udf.outbox ORDER BY id")
    assert rows == [(payload,), (payload,), ('"\N{LATIN SMALL LETTER E WITH ACUTE}"',)]


# ---- what it does ----


def test_the_function_returns_the_events_id_and_leaves_the_callers_last_insert_id(stack: Stack) -> None:
    stack.query("CREATE TABLE test.orders (id INT AUTO_INCREMENT PRIMARY KEY)")
    stack.query(
        """CREATE TRIGGER test.placed AFTER INSERT ON test.orders FOR EACH ROW
           SELECT lambda_udf.lambda_async('order-placed', JSON_OBJECT('order', NEW.id)) INTO @accepted"""
    )
    write(stack)
    with contextlib.closing(stack.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO test.orders VALUES (41)")
        cursor.execute("INSERT INTO test.orders VALUES ()")
        assert cursor.lastrowid == 42
        assert execute(connection, "SELECT LAST_INSERT_ID(), @accepted") == [
            (42, '{"StatusCode": 202, "OutboxId": 3}')
        ]
        assert execute(connection, ASYNC) == [('{"StatusCode": 202, "OutboxId": 4}',)]
        assert execute(connection, "SELECT LAST_INSERT_ID()") == [(42,)]
    assert stack.query("SELECT payload FROM lambda_udf.outbox WHERE id IN (2, 3)") == [
        ('{"order": 41}',),
        ('{"order": 42}',),
    ]


def test_an_insert_from_select_writes_each_row(stack: Stack) -> None:
    query(
        stack,
        "app",
        """INSERT INTO lambda_udf.outbox (function_name, payload, options)
           WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
           SELECT 'f', JSON_OBJECT('i', i), JSON_OBJECT('group_key', CONCAT('g', i % 7)) FROM n""",
    )
    assert stack.query("SELECT COUNT(*), MIN(id), MAX(id), MIN(caller) FROM lambda_udf.outbox") == [
        (1000, 1, 1000, "app@%")
    ]


def test_nothing_is_left_of_a_rollback_nor_of_a_savepoints_nor_of_a_statement_that_fails(
    stack: Stack,
) -> None:
    stack.query("CREATE TABLE test.t (id INT PRIMARY KEY)")
    stack.query(f"CREATE TRIGGER test.tr AFTER INSERT ON test.t FOR EACH ROW {WRITE}")
    query(stack, "root", "START TRANSACTION", ASYNC, WRITE, "ROLLBACK")
    query(stack, "root", "START TRANSACTION", "SAVEPOINT s", ASYNC, "ROLLBACK TO s", "COMMIT")
    assert refusal(stack, "INSERT INTO test.t VALUES (1), (2), (1)")[0] == 1062
    killed = stack.connect(autocommit=False)
    execute(killed, ASYNC)
    stack.query(f"KILL {killed.connection_id}")
    wait_until(lambda: stack.query("SELECT 1 FROM lambda_udf.outbox FOR UPDATE") == [], what="the rollback")
    assert count(stack) == 0
    query(stack, "root", "START TRANSACTION", ASYNC, "SAVEPOINT s", WRITE, "ROLLBACK TO s", "COMMIT")
    assert count(stack) == 1


def test_explain_and_prepare_write_nothing(stack: Stack) -> None:
    query(stack, "root", f"EXPLAIN {ASYNC}", f"EXPLAIN {WRITE}", f'PREPARE s FROM "{ASYNC}"')
    assert count(stack) == 0
    query(stack, "root", f'PREPARE s FROM "{ASYNC}"', "EXECUTE s", "EXECUTE s")
    assert count(stack) == 2


@pytest.mark.parametrize("format", ["ROW", "MIXED", "STATEMENT"])
def test_each_format_of_the_binary_log_takes_it(stack: Stack, format: str) -> None:
    stack.query("CREATE TABLE test.t (id INT PRIMARY KEY)")
    stack.query(
        "CREATE TRIGGER test.tr AFTER INSERT ON test.t FOR EACH ROW DO lambda_udf.lambda_async('f', '1')"
    )
    query(
        stack,
        "root",
        f"SET SESSION binlog_format = '{format}'",
        WRITE,
        ASYNC,
        "INSERT INTO test.t VALUES (1), (2)",
    )
    assert count(stack) == 4


def test_an_event_of_the_scheduler_writes(stack: Stack) -> None:
    stack.query(
        "CREATE EVENT test.e ON SCHEDULE AT CURRENT_TIMESTAMP DO DO lambda_udf.lambda_async('f', '1')"
    )
    wait_until(lambda: count(stack) == 1, what="the event")
    assert callers(stack) == ["root@localhost"]


# ---- who is the caller ----


def test_a_session_writes_under_its_own_name_and_cannot_write_another(stack: Stack) -> None:
    query(stack, "app", ASYNC, WRITE)
    assert callers(stack) == ["app@%", "app@%"]
    for column, value in (("caller", "'root@localhost'"), ("id", "7"), ("created_at", "NOW()")):
        sql = f"INSERT INTO lambda_udf.outbox (function_name, payload, {column}) VALUES ('f', '1', {value})"
        assert refusal(stack, sql, user="app")[0] == 1143
    assert refusal(stack, "SELECT * FROM lambda_udf.outbox", user="app")[0] == 1142
    assert refusal(stack, "UPDATE lambda_udf.outbox SET payload = '2'", user="app")[0] == 1142
    assert refusal(stack, "DELETE FROM lambda_udf.outbox", user="app")[0] == 1142


def test_without_the_role_it_is_mysqls_own_error(stack: Stack) -> None:
    assert refusal(stack, ASYNC, user="plain")[0] == 1370
    assert refusal(stack, WRITE, user="plain")[0] == 1142
    with contextlib.closing(stack.connect(user="app")) as connection:
        execute(connection, "SET ROLE NONE")
        with pytest.raises(mysql.connector.Error) as refused:
            execute(connection, ASYNC)
        assert refused.value.errno == 1370
        execute(connection, "SET ROLE AWS_LAMBDA_ACCESS")
        execute(connection, ASYNC)
    for procedure in ("CALL lambda_udf.outbox_redrive(NULL)", "DO lambda_udf.outbox_redriven(NULL)"):
        assert refusal(stack, procedure, user="app")[0] == 1370
    assert refusal(stack, "SELECT * FROM lambda_udf.outbox_status", user="app")[0] == 1142


@pytest.mark.parametrize("body", ["DO lambda_udf.lambda_async('f', '1')", WRITE])
def test_inside_a_trigger_and_a_definers_routine_the_caller_is_the_definer(stack: Stack, body: str) -> None:
    stack.query("CREATE TABLE test.t (id INT PRIMARY KEY)")
    stack.query(f"CREATE DEFINER = boss@'%' TRIGGER test.tr AFTER INSERT ON test.t FOR EACH ROW {body}")
    stack.query(f"CREATE DEFINER = boss@'%' PROCEDURE test.p() SQL SECURITY DEFINER {body}")
    stack.query(f"CREATE DEFINER = boss@'%' PROCEDURE test.i() SQL SECURITY INVOKER {body}")
    query(stack, "plain", "INSERT INTO test.t VALUES (1)", "CALL test.p()")
    query(stack, "app", "CALL test.i()")
    assert callers(stack) == ["boss@%", "boss@%", "app@%"]
    assert refusal(stack, "CALL test.i()", user="plain")[0] in (1142, 1370)


def test_a_trigger_whose_definer_has_lost_the_role_fails_the_write(stack: Stack) -> None:
    stack.query("CREATE TABLE test.t (id INT PRIMARY KEY)")
    stack.query(f"CREATE DEFINER = plain@'%' TRIGGER test.tr AFTER INSERT ON test.t FOR EACH ROW {WRITE}")
    assert refusal(stack, "INSERT INTO test.t VALUES (1)", user="app")[0] == 1142
    assert count(stack) == 0


def test_a_view_that_calls_the_function_writes_under_the_name_of_who_reads_it_or_its_definers(
    stack: Stack,
) -> None:
    for security in ("DEFINER", "INVOKER"):
        stack.query(
            f"CREATE DEFINER = boss@'%' SQL SECURITY {security} VIEW test.{security.lower()} AS {ASYNC} AS answer"
        )
        query(stack, "app", f"SELECT * FROM test.{security.lower()}")
    assert callers(stack) == ["boss@%", "app@%"]


# ---- looking and trying again ----


def test_the_status_counts_by_function_and_shows_no_payload(stack: Stack) -> None:
    write(stack, "a")
    write(stack, "a", options={"delay_seconds": 1000})
    columns = "(id, function_name, payload, caller"
    stack.query(
        f"INSERT INTO lambda_udf.outbox_waiting {columns}, due_at, attempts) VALUES (11, 'a', '1', 'x@y', NOW(6), 2)"
    )
    stack.query(
        f"INSERT INTO lambda_udf.outbox_waiting {columns}, due_at) VALUES (12, 'a', '1', 'x@y', NULL)"
    )
    stack.query(f"INSERT INTO lambda_udf.outbox_dead {columns}, error) VALUES (13, 'b', '1', 'x@y', 'gone')")
    stack.query("GRANT SELECT ON lambda_udf.outbox_status TO plain@'%'")
    status = "SELECT function_name, waiting, due, oldest IS NULL, retried, dead FROM lambda_udf.outbox_status"
    try:
        assert query(stack, "plain", status + " ORDER BY 1") == [("a", 4, 2, 0, 1, 0), ("b", 0, 0, 1, 0, 1)]
        oldest = "SELECT (SELECT MIN(oldest) FROM lambda_udf.outbox_status) = MIN(created_at) FROM lambda_udf.outbox"
        assert stack.value(oldest) == 1
    finally:
        stack.query("REVOKE SELECT ON lambda_udf.outbox_status FROM plain@'%'")


def test_what_was_dead_is_due_again_under_its_old_id_and_for_its_old_caller(stack: Stack) -> None:
    for id, options in ((5, None), (6, '{"group_key": "g "}'), (7, None)):
        stack.query(
            """INSERT INTO lambda_udf.outbox_dead (id, function_name, payload, options, caller, attempts, error)
               VALUES (%s, 'f', '{"a":  1}', %s, 'app@%', 9, 'gone')""",
            (id, options),
        )
    stack.query("GRANT EXECUTE ON PROCEDURE lambda_udf.outbox_redrive TO plain@'%'")
    try:
        query(stack, "plain", "CALL lambda_udf.outbox_redrive(6)")
        waiting = """SELECT id, payload, caller, group_key, attempts, error, due_at <= NOW(6)
                     FROM lambda_udf.outbox_waiting ORDER BY id"""
        assert stack.query(waiting) == [(6, '{"a":  1}', "app@%", "g ", 0, None, 1)]
        # In the caller's transaction, and all or nothing.
        query(stack, "plain", "START TRANSACTION", "CALL lambda_udf.outbox_redrive(NULL)", "ROLLBACK")
        assert stack.query("SELECT id FROM lambda_udf.outbox_dead") == [(5,), (7,)]
        errno, message = refusal(stack, "CALL lambda_udf.outbox_redrive(6)", user="plain")
        assert (errno, message) == (1644, "lambda_udf.outbox_dead has no event of this id")
        query(stack, "plain", "CALL lambda_udf.outbox_redrive(NULL)", "CALL lambda_udf.outbox_redrive(NULL)")
    finally:
        stack.query("REVOKE EXECUTE ON PROCEDURE lambda_udf.outbox_redrive FROM plain@'%'")
    assert stack.query("SELECT id FROM lambda_udf.outbox_waiting ORDER BY id") == [(5,), (6,), (7,)]
    assert stack.query("SELECT id FROM lambda_udf.outbox_dead") == []


def test_of_what_is_redriven_only_the_first_of_each_accounts_key_is_due_at_once(stack: Stack) -> None:
    dead = (
        (21, None, "app@%"),
        (22, None, "app@%"),
        (24, "k", "app@%"),
        (23, "k", "app@%"),
        (25, "k ", "app@%"),  # another key
        (26, "k", "boss@%"),
        (27, "K", "boss@%"),
        (28, "k", "boss@%"),
    )
    for id, key, caller in dead:
        stack.query(
            """INSERT INTO lambda_udf.outbox_dead (id, function_name, payload, options, caller, error)
               VALUES (%s, 'f', '1', %s, %s, 'gone')""",
            (id, None if key is None else json.dumps({"group_key": key}), caller),
        )
    stack.query("CALL lambda_udf.outbox_redrive(24)")
    stack.query("CALL lambda_udf.outbox_redrive(NULL)")
    due = "SELECT id FROM lambda_udf.outbox_waiting WHERE due_at <= NOW(6) ORDER BY id"
    assert [id for (id,) in stack.query(due)] == [21, 22, 23, 24, 25, 26, 27]
    later = "SELECT id, group_key FROM lambda_udf.outbox_waiting WHERE due_at IS NULL"
    assert stack.query(later) == [(28, "k")]
    assert stack.query("SELECT id FROM lambda_udf.outbox_dead") == []


# ---- the lock ----


def test_the_locks_name_stays_with_another_install_and_only_who_delivers_can_read_it(stack: Stack) -> None:
    token = "SELECT token FROM lambda_udf.outbox_lock"
    before = stack.query(token)
    script(stack, "install.sql")
    assert stack.query(token) == before
    assert re.fullmatch("[0-9A-F]{32}", before[0][0])
    for user in ("app", "plain"):
        assert refusal(stack, token, user=user)[0] == 1142
        assert refusal(stack, f"SELECT GET_LOCK({election.LOCK}, 0)", user=user)[0] == 1142


# ---- the hint ----


@contextlib.contextmanager
def listener(stack: Stack, path: Path) -> Iterator[socket.socket]:
    """Where hints go while it lasts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"{path}.hint")
        listening.settimeout(10)
        before = stack.value("SELECT @@GLOBAL.lambda_udf.socket")
        stack.query(f"SET GLOBAL lambda_udf.socket = '{path}'")
        try:
            yield listening
        finally:
            stack.query(f"SET GLOBAL lambda_udf.socket = '{before}'")


def nothing_comes(listening: socket.socket) -> bool:
    listening.setblocking(False)
    try:
        listening.recv(10)
    except BlockingIOError:
        return True
    finally:
        listening.settimeout(10)
    return False


def hints(stack: Stack, statement: str) -> bool:
    """Whether the statement, whose one value says so, has sent a hint; it sends none within a millisecond of one."""
    return bool(stack.value(statement))


def test_a_call_of_the_function_sends_one_byte_to_the_socket_beside_the_sidecars(
    stack: Stack, tmp_path: Path
) -> None:
    with listener(stack, tmp_path / "s") as listening:
        query(stack, "app", ASYNC)
        assert len(listening.recv(10)) == 1
        # Each session may, at any time: a hint says nothing of anybody.
        wait_until(lambda: query(stack, "plain", "SELECT lambda_outbox_hint()") == [(1,)], what="a hint")
        assert len(listening.recv(10)) == 1
        query(
            stack,
            "root",
            "EXPLAIN SELECT lambda_outbox_hint()",
            "PREPARE s FROM 'SELECT lambda_outbox_hint()'",
        )
        query(
            stack,
            "root",
            "EXPLAIN SELECT 1 FROM mysql.user WHERE User = 'app' AND Host = '%' AND lambda_outbox_hint()",
        )
        assert nothing_comes(listening)


def test_rows_of_one_millisecond_send_one_hint_and_a_full_queue_holds_nobody_up(
    stack: Stack, tmp_path: Path
) -> None:
    rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
    with contextlib.closing(stack.connect()) as connection, listener(stack, tmp_path / "s") as listening:
        execute(connection, "SET SESSION cte_max_recursion_depth = 20000")
        ((sent, milliseconds),) = execute(
            connection,
            f"""{rows} SELECT SUM(lambda_outbox_hint()), 2 + TIMESTAMPDIFF(MICROSECOND, NOW(6), SYSDATE(6)) DIV 1000
                FROM n""",
        )
        assert 1 <= sent <= milliseconds
        # Nobody reads: the queue (net.unix.max_dgram_qlen) fills.
        for _ in range(1000):
            execute(connection, "DO lambda_outbox_hint()")
        received = 0
        while not nothing_comes(listening):
            received += 1
        assert received >= 1


@pytest.mark.parametrize("length", [102, 103, 107])
def test_a_path_that_is_too_long_for_a_hint_sends_none(stack: Stack, tmp_path: Path, length: int) -> None:
    path = f"{tmp_path}/"
    path += "x" * (length - len(path))
    assert len(path) == length
    before = stack.value("SELECT @@GLOBAL.lambda_udf.socket")
    with contextlib.ExitStack() as resources:
        if length == 102:
            resources.enter_context(listener(stack, Path(path)))
            wait_until(lambda: hints(stack, "SELECT lambda_outbox_hint()"), what="a hint")
        else:
            resources.callback(stack.query, f"SET GLOBAL lambda_udf.socket = '{before}'")
            stack.query(f"SET GLOBAL lambda_udf.socket = '{path}'")
            query(stack, "root", ASYNC)
            assert (
                stack.value(
                    "SELECT SUM(lambda_outbox_hint() + SLEEP(0.002)) FROM (SELECT 1 UNION SELECT 2) AS t"
                )
                == 0
            )


def test_arguments_are_refused(stack: Stack) -> None:
    errno, message = refusal(stack, "SELECT lambda_outbox_hint(1)")
    assert (errno, "lambda_outbox_hint() takes no arguments, 1 given" in message) == (1123, True)


def test_an_event_is_written_without_the_library_and_without_the_component(stack: Stack) -> None:
    try:
        stack.query("DROP FUNCTION lambda_outbox_hint")
        with contextlib.closing(stack.connect(user="app")) as connection:
            execute(connection, ASYNC)
            stack.query("CREATE FUNCTION lambda_outbox_hint RETURNS INTEGER SONAME 'lambda_udf.so'")
            execute(connection, ASYNC)
        stack.query("UNINSTALL COMPONENT 'file://lambda_udf'")
        query(stack, "app", ASYNC)
    finally:
        script(stack, "install.sql")
    assert count(stack) == 3

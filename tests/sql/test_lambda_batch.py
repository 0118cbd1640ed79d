"""lambda_batch: rows in batches, batches side by side, results in the order of the rows, failures that name theirs.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mysql.connector
import pytest
from tests.support.batch_functions import BatchStack, batch_stack, per_row
from tests.support.component import installed_component, status
from tests.support.scripted_lambda import FAILED, Answer, Arrival, Gate, answering, held
from tests.support.stack import SANITIZER_REPORTS, Library, execute
from tests.support.waiting import wait_until

ROWS = 10_000
BOUND_SECONDS = 2.0


@pytest.fixture(scope="module")
def served(
    library: Library, mysql_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BatchStack]:
    with batch_stack(mysql_home, tmp_path_factory.mktemp(f"batch-{library.value}"), library) as running:
        running.stack.query("CREATE TABLE n (i INT PRIMARY KEY, g INT, t TEXT)")
        running.stack.query("SET SESSION cte_max_recursion_depth = 1000000")
        numbers = f"WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < {ROWS})"
        with contextlib.closing(running.stack.connect()) as connection:
            execute(connection, "SET cte_max_recursion_depth = 1000000")
            text = "REPEAT(CHAR(97 + i % 26), (i * 7919) % 200)"
            execute(connection, f"INSERT INTO n {numbers} SELECT i, i % 7, {text} FROM r")
        yield running
        log = running.stack.mysqld.log_text()
    assert not [line for line in log.splitlines() if any(mark in line for mark in SANITIZER_REPORTS)]


@pytest.fixture
def running(served: BatchStack) -> BatchStack:
    """With nothing arrived yet."""
    served.endpoint.arrivals.clear()
    served.endpoint.most_under_way.clear()
    return served


def options(**given: Any) -> str:
    """The first argument, as a literal."""
    return "'" + json.dumps({"function": "echo", **given}) + "'"


def error(running: BatchStack, sql: str) -> str:
    with pytest.raises(mysql.connector.Error) as raised:
        running.stack.query(sql)
    assert raised.value.errno == 3200
    return str(raised.value.msg).removeprefix("lambda_batch UDF failed; ")


# ---- batches ----


def test_a_thousand_rows_make_a_batch_unless_the_options_say_otherwise(running: BatchStack) -> None:
    assert running.results("SELECT lambda_batch('echo', i) FROM n WHERE i <= 2500 ORDER BY i") is not None
    assert sorted(len(rows) for rows in running.batches("echo")) == [500, 1000, 1000]
    running.endpoint.arrivals.clear()
    running.stack.query(f"SELECT lambda_batch({options(batch_rows=3)}, i) FROM n WHERE i <= 7")
    assert sorted(len(rows) for rows in running.batches("echo")) == [1, 3, 3]


@pytest.mark.parametrize("contract", ["redshift", "snowflake", "bigquery"])
def test_no_event_has_more_bytes_than_batch_bytes(running: BatchStack, contract: str) -> None:
    answers = {"snowflake": snowflake_echo, "bigquery": bigquery_echo}
    running.endpoint.script("sized", answers.get(contract, per_row(lambda row: row)))
    given = options(function="sized", contract=contract, batch_bytes=100_000, batch_rows=100_000)
    results = running.results(f"""SELECT lambda_batch({given}, i, '"\\\\', t) FROM n ORDER BY i""")
    assert [row[0] for row in results] == list(range(1, ROWS + 1))
    sizes = [len(payload) for payload in running.endpoint.payloads("sized")]
    assert max(sizes) <= 100_000
    assert min(sizes[:-1]) > 60_000


def snowflake_echo(arrival: Arrival) -> Answer:
    body = json.loads(json.loads(arrival.payload)["body"])
    data = [[number, row] for number, *row in body["data"]]
    return answering(json.dumps({"statusCode": 200, "body": json.dumps({"data": data})}).encode())


def bigquery_echo(arrival: Arrival) -> Answer:
    return answering(json.dumps({"replies": json.loads(arrival.payload)["calls"]}).encode())


def test_a_row_that_is_longer_than_batch_bytes_goes_alone(running: BatchStack) -> None:
    given = options(batch_bytes=50_000)
    lengths = "LENGTH(JSON_EXTRACT(CAST(b AS JSON), '$[1]'))"
    sql = f"SELECT lambda_batch({given}, REPEAT('x', IF(i = 2, 200000, 5))) b FROM n WHERE i <= 3"
    assert running.stack.value(f"SELECT {lengths} FROM ({sql}) s") > 200_000
    assert [len(rows) for rows in running.batches("echo")] == [1, 1, 1]


def test_a_row_that_lambda_would_not_take_fails_with_its_number(running: BatchStack) -> None:
    text = error(
        running, "SELECT lambda_batch('echo', REPEAT('x', IF(i = 2, 6300000, 5))) FROM n WHERE i <= 3"
    )
    assert text.startswith(
        "row 2: payload too large: the row's values have 6300000 bytes, Lambda takes at most 6291456"
    )
    text = error(
        running, "SELECT lambda_batch('echo', REPEAT('\"', IF(i = 2, 3200000, 5))) FROM n WHERE i <= 3"
    )
    assert text.startswith("row 2: payload too large: it has 6400004 bytes, Lambda takes at most 6291456")


def test_a_value_that_is_far_too_long_is_refused_before_it_is_written(running: BatchStack) -> None:
    """As JSON it would be six times as long, and take seconds; the text says what was counted."""
    given = options(function_error="return")
    control = "REPEAT(CHAR(1 USING utf8mb4), 20000000)"
    found = running.results(f"SELECT lambda_batch({given}, {control}, i) FROM n WHERE i <= 3")
    values = "the row's values have 20000000 bytes"
    message = f"payload too large: {values}, Lambda takes at most 6291456 for RequestResponse"
    assert found == [{"error": {"kind": "argument", "message": message}}] * 3


def test_batches_leave_while_rows_are_still_being_read(running: BatchStack) -> None:
    """Row 6 waits for a lock that another session has."""
    columns = "i, IF(i = 6, GET_LOCK('row 6', 30), 0)"
    sql = f"SELECT lambda_batch({options(batch_rows=5)}, {columns}) FROM n WHERE i <= 20 ORDER BY i"
    with contextlib.closing(running.stack.connect()) as holder, ThreadPoolExecutor(1) as pool:
        execute(holder, "SELECT GET_LOCK('row 6', 0)")
        results = pool.submit(running.results, sql)
        wait_until(lambda: len(running.endpoint.of("echo")) == 1, what="the first batch at the endpoint")
        assert not results.done()
        execute(holder, "DO RELEASE_LOCK('row 6')")
        assert [row[0] for row in results.result()] == list(range(1, 21))
    assert len(running.endpoint.of("echo")) == 4


def test_no_more_batches_are_under_way_than_the_concurrency(running: BatchStack) -> None:
    gate = Gate()
    slow(running, "held", gate, after=3)
    given = options(function="held", batch_rows=1, concurrency=3)
    assert running.results(f"SELECT lambda_batch({given}, i) FROM n WHERE i <= 30") == [
        [i] for i in range(1, 31)
    ]
    assert running.endpoint.most_under_way["held"] == 3


def slow(running: BatchStack, function: str, gate: Gate, *, after: int) -> None:
    """Its answers wait until so many requests have come."""
    echo = per_row(lambda row: row)

    def script(arrival: Arrival) -> Answer:
        if len(running.endpoint.of(function)) >= after:
            gate.open()
        return held(echo(arrival), gate)

    running.endpoint.script(function, script)


def test_rows_for_other_functions_and_under_other_options_are_other_batches(running: BatchStack) -> None:
    for name in ("first", "second"):
        running.endpoint.script(name, per_row(functools.partial(named, name)))
    name = "IF(i <= 3, 'first', IF(i <= 5, 'second', JSON_OBJECT('function', 'first', 'batch_rows', 2)))"
    results = running.results(
        f"SELECT lambda_batch({name}, i) FROM (SELECT i FROM n WHERE i <= 8 ORDER BY i) n"
    )
    assert results == [
        *(f"first {i}" for i in (1, 2, 3)),
        "second 4",
        "second 5",
        *(f"first {i}" for i in (6, 7, 8)),
    ]
    assert sorted(len(rows) for rows in running.batches("first")) == [1, 2, 3]


def named(name: str, row: list[Any]) -> str:
    return f"{name} {row[0]}"


# ---- results ----


def test_ten_thousand_results_are_in_their_rows_places_however_their_batches_come_back(
    running: BatchStack,
) -> None:
    source = random.Random(7)  # noqa: S311  no secret is made of it
    gates = [Gate() for _ in range(8)]
    answer = per_row(lambda row: {"i": row[0], "text": row[1]})

    def script(arrival: Arrival) -> Answer:
        return held(answer(arrival), source.choice(gates))

    running.endpoint.script("shuffled", script)
    opener = threading.Thread(target=open_one_by_one, args=(gates, source, running))
    given = options(function="shuffled", batch_rows=97, concurrency=200)
    opener.start()
    results = running.results(f"SELECT lambda_batch({given}, i, t) FROM n ORDER BY i")
    opener.join()
    expected = dict(running.stack.query("SELECT i, t FROM n"))
    assert [each["i"] for each in results] == list(range(1, ROWS + 1))
    assert all(each["text"] == expected[each["i"]] for each in results)


def open_one_by_one(gates: list[Gate], source: random.Random, running: BatchStack) -> None:
    """Once every batch is under way."""
    try:
        wait_until(lambda: len(running.endpoint.of("shuffled")) == -(-ROWS // 97))
    finally:
        for gate in source.sample(gates, len(gates)):
            gate.open()


def test_each_group_has_its_own_rows_three_times_by_one_prepared_statement(running: BatchStack) -> None:
    with (
        contextlib.closing(running.stack.connect()) as connection,
        connection.cursor(prepared=True) as cursor,
    ):
        for limit in (ROWS, 100, ROWS):
            given = options(batch_rows=150).strip("'")
            cursor.execute(
                "SELECT g, lambda_batch(?, i) FROM n WHERE i <= ? GROUP BY g ORDER BY g", (given, limit)
            )
            groups = {group: sorted(json.loads(str(results))) for group, results in cursor.fetchall()}
            assert groups == {
                group: [[i] for i in range(1, limit + 1) if i % 7 == group] for group in range(7)
            }  # fmt: skip


def test_no_rows_give_an_empty_array_and_no_invocation(running: BatchStack) -> None:
    assert running.stack.value("SELECT lambda_batch('echo', i) FROM n WHERE i < 0") == "[]"
    assert running.stack.query("SELECT lambda_batch('echo', i) FROM n WHERE i < 0 GROUP BY g") == []
    assert running.endpoint.arrivals == []


def test_of_a_group_that_having_leaves_out_nothing_but_full_batches_is_sent(running: BatchStack) -> None:
    given = options(batch_rows=100)
    sql = f"SELECT g, lambda_batch({given}, i) r FROM n WHERE i <= 2000 GROUP BY g HAVING COUNT(*) < 0"
    assert running.stack.query(sql) == []
    assert {len(rows) for rows in running.batches("echo")} == {100}
    assert running.results("SELECT lambda_batch('echo', 1)") == [[1]]


def test_nulls_are_sent_as_they_are(running: BatchStack) -> None:
    assert running.results("SELECT lambda_batch('echo', NULL, 1, NULL)") == [[None, 1, None]]


def test_results_fill_a_table_through_json_table_in_a_procedure_and_a_view(running: BatchStack) -> None:
    running.endpoint.script("double", per_row(lambda row: {"id": row[0], "twice": 2 * row[0]}))
    for statement in (
        "CREATE TABLE IF NOT EXISTS results (id INT PRIMARY KEY, twice INT)",
        "CREATE OR REPLACE VIEW doubled AS SELECT lambda_batch('double', i) AS results FROM n WHERE i <= 100",
        "DROP PROCEDURE IF EXISTS fill",
        """CREATE PROCEDURE fill() INSERT INTO results SELECT j.id, j.twice FROM doubled,
           JSON_TABLE(doubled.results, '$[*]' COLUMNS (id INT PATH '$.id', twice INT PATH '$.twice')) j""",
        "CALL fill()",
    ):
        running.stack.query(statement)
    assert running.stack.query("SELECT id, twice FROM results ORDER BY id") == [
        (i, 2 * i) for i in range(1, 101)
    ]


def test_a_result_beyond_max_allowed_packet_is_an_error(running: BatchStack) -> None:
    running.endpoint.script("long", per_row(lambda row: "x" * 1000))
    running.stack.query("SET GLOBAL max_allowed_packet = 65536")
    try:
        text = error(running, f"SELECT lambda_batch({options(function='long', batch_rows=10)}, i) FROM n")
    finally:
        running.stack.query("SET GLOBAL max_allowed_packet = 67108864")
    assert text == "the result has more than 65536 bytes (max_allowed_packet)"
    assert len(running.endpoint.payloads("long")) < 40


def test_a_hundred_thousand_rows_of_three_columns_come_back_whole(running: BatchStack) -> None:
    running.endpoint.script("score", per_row(lambda row: row[0]))
    rows = "(SELECT (a.i - 1) * 10 + b.i AS i FROM n a JOIN n b ON b.i <= 10) x"
    results = running.results(f"SELECT lambda_batch('score', i, i / 4, 'NL') FROM {rows}")
    assert sorted(results) == list(range(1, 100_001))
    assert len(running.endpoint.payloads("score")) == 100


# ---- failures ----


def test_a_failed_batch_ends_the_statement_names_its_rows_and_sends_nothing_more(running: BatchStack) -> None:
    def script(arrival: Arrival) -> Answer:
        first = json.loads(arrival.payload)["arguments"][0][0]
        return FAILED if first == 21 else per_row(lambda row: row)(arrival)

    running.endpoint.script("fails", script)
    text = error(
        running, f"SELECT lambda_batch({options(function='fails', batch_rows=10, concurrency=1)}, i) FROM n"
    )
    assert text == "rows 21 to 30: Lambda API returned error: ServiceException: scripted failure"
    assert len(running.endpoint.payloads("fails")) == 3


@pytest.mark.parametrize("character", ["m", "ä", "€"])
def test_however_long_the_last_failure_is_and_with_a_trace_nothing_of_the_doubt_is_cut(
    running: BatchStack, character: str
) -> None:
    """An attempt before it may have run the function: these words are why nobody may take it that nothing was sent."""
    long = json.dumps({"message": character * 400}, ensure_ascii=False).encode()
    refused = Answer(403, long, {"X-Amzn-ErrorType": "AccessDeniedException"})
    good: Callable[[Arrival], Answer] = per_row(lambda row: row)
    last = iter([FAILED, refused])
    arrived = itertools.count(1)
    running.endpoint.script("doubtful", lambda arrival: good(arrival) if next(arrived) < 100 else next(last))
    given = options(function="doubtful", retry_service_errors=True, concurrency=1)
    rows = "(SELECT (a.i - 1) * 10 + b.i AS i FROM n a JOIN n b ON b.i <= 10) x"
    with contextlib.closing(running.stack.connect()) as connection, connection.cursor() as cursor:
        cursor.add_attribute("traceparent", f"00-{'a1' * 16}-00f067aa0ba902b7-01")
        with pytest.raises(mysql.connector.Error) as raised:
            cursor.execute(f"SELECT lambda_batch({given}, i) FROM {rows}")
            cursor.fetchall()
    text = str(raised.value.msg)
    assert text.startswith(
        "lambda_batch UDF failed; rows 99001 to 100000: Lambda API returned error: AccessDeniedException: "
    )
    assert text.endswith(f"{character}; the call may have been carried out (trace {'a1' * 16})")


@pytest.mark.parametrize(
    ("body", "function_error", "text"),
    [
        (b'{"success": false, "error_msg": "bad"}', "", "Lambda function error: success is false: bad"),
        (
            b'{"errorType": "E", "errorMessage": "bad"}',
            "Unhandled",
            "Lambda function error: Unhandled: E: bad",
        ),
        (
            b'{"results": [1]}',
            "",
            "the function has run, but it did not answer as the contract says: results has 1 elements for 3 rows",
        ),
        (
            b"<html>",
            "",
            "the function has run, but it did not answer as the contract says: it is not JSON: "
            "invalid character at byte 0",
        ),
    ],
)
def test_a_broken_answer_is_said_with_the_rows_that_it_was_for(
    running: BatchStack, body: bytes, function_error: str, text: str
) -> None:
    running.endpoint.answer("broken", answering(body, function_error=function_error))
    sql = f"SELECT lambda_batch({options(function='broken')}, i) FROM n WHERE i <= 3"
    assert error(running, sql) == f"rows 1 to 3: {text}"


def test_with_function_error_return_each_row_of_a_failed_batch_holds_the_error(running: BatchStack) -> None:
    def script(arrival: Arrival) -> Answer:
        rows = json.loads(arrival.payload)["arguments"]
        return FAILED if rows[0] == [3] else per_row(lambda row: row)(arrival)

    running.endpoint.script("fails", script)
    given = options(function="fails", batch_rows=2, function_error="return")
    message = "Lambda API returned error: ServiceException: scripted failure"
    failed = {"error": {"kind": "api", "message": message}}
    results = running.results(f"SELECT lambda_batch({given}, i) FROM n WHERE i <= 6")
    assert results == [[1], [2], failed, failed, [5], [6]]


def test_a_row_that_cannot_be_written_stands_between_the_batches_around_it(running: BatchStack) -> None:
    """In IF beside a number the server gives a BIT as the bytes that it has."""
    running.stack.query("CREATE TABLE IF NOT EXISTS bits (b BIT(8))")
    running.stack.query("REPLACE INTO bits VALUES (1)")
    rows = "(SELECT i FROM n WHERE i <= 5 ORDER BY i) n JOIN (SELECT b FROM bits LIMIT 1) b"
    first = options(function_error="return")
    results = running.results(f"SELECT lambda_batch({first}, i, IF(i = 3, b, i)) FROM {rows}")
    message = "column 2 is a number that JSON does not have"
    failed = {"error": {"kind": "argument", "message": message}}
    assert results == [[1, 1], [2, 2], failed, [4, 4], [5, 5]]
    assert sorted(len(batch) for batch in running.batches("echo")) == [2, 2]
    text = error(running, f"SELECT lambda_batch('echo', i, IF(i = 3, b, i)) FROM {rows}")
    assert text == f"row 3: {message}"


def test_with_function_error_return_of_the_session_only_what_raised_is_returned(running: BatchStack) -> None:
    raised = answering(b'{"errorType": "E", "errorMessage": "bad"}', function_error="Unhandled")
    running.endpoint.answer("raises", raised)
    running.endpoint.answer("fails", FAILED)
    with installed_component(running.stack):
        running.stack.query("SET GLOBAL lambda_udf.function_error = 'return'")
        results = running.results(f"SELECT lambda_batch({options(function='raises')}, i) FROM n WHERE i <= 2")
        message = "Lambda function error: Unhandled: E: bad"
        assert results == [{"error": {"kind": "function", "message": message}}] * 2
        text = error(running, f"SELECT lambda_batch({options(function='fails')}, i) FROM n WHERE i <= 2")
        assert text.startswith("rows 1 to 2: Lambda API returned error: ServiceException")


def test_with_retry_service_errors_a_batch_is_sent_again(running: BatchStack) -> None:
    good = answering(b'{"results": [7]}')
    running.endpoint.answer("weak", FAILED, FAILED, good)
    given = options(function="weak", retry_service_errors=True)
    assert running.results(f"SELECT lambda_batch({given}, 1)") == [7]
    ids = {json.loads(payload)["request_id"] for payload in running.endpoint.payloads("weak")}
    assert len(ids) == 1
    assert len(running.endpoint.payloads("weak")) == 3


def test_a_batch_takes_no_longer_than_its_timeout(running: BatchStack) -> None:
    gate = Gate()
    running.endpoint.answer("silent", held(answering(b"{}"), gate))
    try:
        text = error(
            running,
            f"SELECT lambda_batch({options(function='silent', timeout_ms=300)}, i) FROM n WHERE i <= 3",
        )
    finally:
        gate.open()
    assert text == "rows 1 to 3: timed out after 300 ms"


@pytest.mark.parametrize(
    ("first", "text"),
    [
        ("NULL", "row 1: function is NULL"),
        ("'{}'", "row 1: option function is missing"),
        (
            """'{"function": "echo", "distinct": true}'""",
            "row 1: unknown option 'distinct'; known are batch_bytes, ",
        ),
        (options(contract="athena"), "row 1: option contract must be one of redshift, snowflake, bigquery"),
        (options(batch_rows=0), "row 1: option batch_rows must be a whole number from 1 to 100000"),
        (options(batch_rows=100_001), "row 1: option batch_rows must be a whole number from 1 to 100000"),
        (
            options(batch_bytes=6_291_457),
            "row 1: option batch_bytes must be a whole number from 1 to 6291456",
        ),
        (options(retry_service_errors=1), "row 1: option retry_service_errors must be true or false"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_sent(running: BatchStack, first: str, text: str) -> None:
    assert error(running, f"SELECT lambda_batch({first}, i) FROM n").startswith(text)
    assert running.endpoint.arrivals == []


def test_a_statement_without_a_column_is_refused(running: BatchStack) -> None:
    with pytest.raises(
        mysql.connector.Error, match=r"lambda_batch\(function_or_options, column\[, \.\.\.\]\) takes"
    ):
        running.stack.query("SELECT lambda_batch('echo')")


def test_with_rollup_is_refused(running: BatchStack) -> None:
    assert error(running, "SELECT g, lambda_batch('echo', i) FROM n GROUP BY g WITH ROLLUP") == (
        "it cannot be used WITH ROLLUP"
    )


def test_a_kill_ends_the_statement_and_no_batch_leaves_any_more(running: BatchStack) -> None:
    gate = Gate()
    running.endpoint.answer("silent", held(answering(b"{}"), gate))
    given = options(function="silent", batch_rows=10, concurrency=4)
    ended: list[tuple[int | None, float]] = []
    connection = running.stack.connect()

    def run() -> None:
        try:
            execute(connection, f"SELECT lambda_batch({given}, i) FROM n")
        except mysql.connector.Error as failed:
            ended.append((failed.errno, time.monotonic()))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_until(lambda: len(running.endpoint.of("silent")) == 4)
        began = time.monotonic()
        running.stack.query(f"KILL QUERY {connection.connection_id}")
        thread.join()
    finally:
        gate.open()
    ((errno, at),) = ended
    assert errno == 1317
    assert at - began < BOUND_SECONDS
    assert running.results("SELECT lambda_batch('echo', 1)") == [[1]]
    assert len(running.endpoint.of("silent")) == 4
    connection.close()


# ---- what is asked of every function ----


def test_explain_invokes_nothing(running: BatchStack) -> None:
    running.stack.query("EXPLAIN SELECT lambda_batch('echo', i) FROM n WHERE i = 1")
    assert running.endpoint.arrivals == []


def test_mode_skip_leaves_null_in_each_place_and_deny_refuses(running: BatchStack) -> None:
    with installed_component(running.stack):
        running.stack.query("SET GLOBAL lambda_udf.mode = 'skip'")
        assert running.results("SELECT lambda_batch('echo', i) FROM n WHERE i <= 3") == [None, None, None]
        running.stack.query("SET GLOBAL lambda_udf.mode = 'deny'")
        assert "denied, because lambda_udf.mode is 'deny'" in error(running, "SELECT lambda_batch('echo', 1)")
    assert running.endpoint.arrivals == []


def test_every_row_counts_in_the_status_variable(running: BatchStack) -> None:
    with installed_component(running.stack):
        before = status(running.stack)["calls_batch"]
        running.stack.query("SELECT lambda_batch('echo', i) FROM n WHERE i <= 25")
        assert status(running.stack)["calls_batch"] - before == 25


def test_batch_concurrency_is_a_variable_that_the_option_overrides(running: BatchStack) -> None:
    with installed_component(running.stack):
        running.stack.query("SET GLOBAL lambda_udf.batch_concurrency = 2")
        for given, expected in ((options(function="held", batch_rows=1), 2), (None, 5)):
            gate = Gate()
            running.endpoint.arrivals.clear()
            running.endpoint.most_under_way.clear()
            slow(running, "held", gate, after=expected)
            first = given or options(function="held", batch_rows=1, concurrency=5)
            running.stack.query(f"SELECT lambda_batch({first}, i) FROM n WHERE i <= 20")
            assert running.endpoint.most_under_way["held"] == expected


def test_an_account_without_the_privilege_may_not_call(running: BatchStack) -> None:
    running.stack.query("CREATE USER IF NOT EXISTS nobody@localhost")
    running.stack.query("GRANT SELECT ON test.* TO nobody@localhost")
    connection = running.stack.connect(user="nobody")
    with contextlib.closing(connection), pytest.raises(mysql.connector.Error) as raised:
        execute(connection, "SELECT lambda_batch('echo', i) FROM n")
    assert raised.value.errno == 1227
    assert running.endpoint.arrivals == []

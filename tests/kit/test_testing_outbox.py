"""lambda_sidecar.testing and the outbox: rows that are committed, rows of a test's own transaction, and clean tables.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import runpy
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from tests.support.account import ARN
from tests.support.checkout import FUNCTIONS, ROOT
from tests.support.stack import execute
from tests.support.waiting import wait_until

from lambda_sidecar.testing import ApiError, MySqlLambda

TABLES = ("outbox", "outbox_waiting", "outbox_dead", "outbox_results", "outbox_deduplication")
INSERT = "INSERT INTO lambda_udf.outbox (function_name, payload, options) VALUES (%s, %s, %s)"


@pytest.fixture(scope="module")
def server(mysql_home: Path) -> Iterator[MySqlLambda]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LAMBDA_UDF_MYSQL", str(mysql_home))
        started = MySqlLambda(settings={"outbox": {"max_attempts": 2}}).start()
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def kit(server: MySqlLambda) -> Iterator[MySqlLambda]:
    server.reset()
    yield server
    server.reset()


@pytest.fixture
def transaction(kit: MySqlLambda) -> Iterator[MySQLConnectionAbstract]:
    """Rolled back at the end."""
    with contextlib.closing(kit.connect(autocommit=False)) as connection:
        yield connection
        connection.rollback()


def insert(connection: Any, function: str, payload: Any, **options: Any) -> None:
    text = json.dumps(options) if options else None
    execute(connection, INSERT, (function, json.dumps(payload), text))


def counts(connection: Any) -> dict[str, int]:
    """Rows by table, where there are any."""
    found = {table: execute(connection, f"SELECT COUNT(*) FROM lambda_udf.{table}")[0][0] for table in TABLES}
    return {table: number for table, number in found.items() if number}


def nothing_is_left(kit: MySqlLambda) -> None:
    with contextlib.closing(kit.connect()) as connection:
        wait_until(lambda: counts(connection) == {}, what="an outbox that is empty")


def test_an_event_of_the_outbox_is_a_call_like_any_other_and_its_caller_is_the_account(
    kit: MySqlLambda,
) -> None:
    kit.function("f", lambda event: None)
    with contextlib.closing(kit.connect()) as root:
        for sql in (
            "CREATE USER IF NOT EXISTS 'shöp'@'%' IDENTIFIED BY 'secret'",
            "GRANT AWS_LAMBDA_ACCESS TO 'shöp'@'%'",
            "SET DEFAULT ROLE ALL TO 'shöp'@'%'",
        ):
            execute(root, sql)
    with contextlib.closing(kit.connect(user="shöp", password="secret")) as connection:
        ((accepted,),) = execute(connection, "SELECT lambda_udf.lambda_async('f', '{\"n\": 1}')")
    (call,) = kit.wait_for_calls("f")
    assert (call.function, call.payload, call.caller) == (f"{ARN}f", {"n": 1}, "shöp@%")
    assert call.invocation_type == "Event"
    assert json.loads(accepted)["StatusCode"] == 202
    nothing_is_left(kit)


def test_a_rollback_sends_nothing(kit: MySqlLambda) -> None:
    kit.function("f", lambda event: None)
    with contextlib.closing(kit.connect(autocommit=False)) as connection:
        insert(connection, "f", "rolled back")
        connection.rollback()
        insert(connection, "f", "committed")
        connection.commit()
    kit.wait_for_calls("f")
    nothing_is_left(kit)
    assert [call.payload for call in kit.calls("f")] == ["committed"]


def test_deliver_outbox_runs_the_handlers_on_a_transactions_own_rows_in_order_and_deletes_them(
    kit: MySqlLambda, transaction: MySQLConnectionAbstract
) -> None:
    seen: list[Any] = []
    kit.function("f", seen.append)
    for number in range(3):
        insert(transaction, "f", {"n": number, "text": "Grüße 🐬"}, delay_seconds=3600)
    calls = kit.deliver_outbox(transaction)
    assert seen == [call.payload for call in calls] == [{"n": n, "text": "Grüße 🐬"} for n in range(3)]
    assert calls == kit.calls("f")
    assert {(call.invocation_type, call.caller, call.finished) for call in calls} == {
        ("Event", "root@%", True)
    }
    assert counts(transaction) == {}
    assert kit.deliver_outbox(transaction) == []


def test_deliver_outbox_leaves_what_is_committed_to_the_sidecar(
    kit: MySqlLambda, transaction: MySQLConnectionAbstract
) -> None:
    gate = threading.Event()
    kit.function("f", lambda event: event == "own" or gate.wait(20))
    with contextlib.closing(kit.connect()) as other:
        # With keep_result the row stays until the function has answered.
        insert(other, "f", "committed", keep_result=True)
    wait_until(lambda: len(kit.calls("f")) == 1, what="the sidecar's call")
    insert(transaction, "f", "own")
    assert [call.payload for call in kit.deliver_outbox(transaction)] == ["own"]
    gate.set()
    kit.wait_for_calls("f", 2)


def test_what_a_rollback_takes_back_deliver_outbox_has_not_kept(
    kit: MySqlLambda, transaction: MySQLConnectionAbstract
) -> None:
    kit.function("f", lambda event: event)
    insert(transaction, "f", 1, keep_result=True, deduplication_key="k")
    insert(transaction, "missing", 2)
    with kit.fails("missing"):
        kit.deliver_outbox(transaction)
    assert counts(transaction) == {"outbox_dead": 1, "outbox_results": 1, "outbox_deduplication": 1}
    transaction.rollback()
    assert counts(transaction) == {}


def test_deliver_outbox_keeps_the_answer_of_a_row_with_keep_result(
    kit: MySqlLambda, transaction: MySQLConnectionAbstract
) -> None:
    kit.function("f", lambda event: {"twice": 2 * event})
    insert(transaction, "f", 21, keep_result=True)
    insert(transaction, "f", "x" * 3, keep_result=True)
    insert(transaction, "f", None, keep_result=True)
    with kit.fails("f"):
        (first, _, third) = kit.deliver_outbox(transaction)
    query = "SELECT payload, function_error, request_id FROM lambda_udf.outbox_results ORDER BY outbox_id"
    rows = execute(transaction, query)
    assert rows[0] == ('{"twice": 42}', None, first.request_id)
    assert (json.loads(rows[2][0])["errorType"], rows[2][1]) == ("TypeError", "Unhandled")
    assert third.error is not None
    assert third.error.startswith("TypeError")


def test_deliver_outbox_lets_a_refused_row_wait_and_the_next_time_tries_it_again_before_the_others_of_its_key(
    kit: MySqlLambda, transaction: MySQLConnectionAbstract
) -> None:
    kit.function("f", lambda event: None)
    for payload in ("first", "second"):
        insert(transaction, "f", payload, group_key="g")
    with kit.fails("f", ApiError("TooManyRequestsException", "Rate Exceeded.")):
        (refused,) = kit.deliver_outbox(transaction)
    assert (refused.payload, refused.error) == ("first", "TooManyRequestsException: Rate Exceeded.")
    ((attempts, error),) = execute(transaction, "SELECT attempts, error FROM lambda_udf.outbox_waiting")
    assert (attempts, error) == (1, "Lambda API returned error: TooManyRequestsException: Rate Exceeded.")
    assert [call.payload for call in kit.deliver_outbox(transaction)] == ["first", "second"]
    assert counts(transaction) == {}


def test_deliver_outbox_buries_what_no_function_answers_and_what_has_expired(
    kit: MySqlLambda, transaction: MySQLConnectionAbstract
) -> None:
    kit.function("f", lambda event: pytest.fail("it ran"))
    insert(transaction, "missing", 1)
    insert(transaction, "f", 2, expires_at="2020-01-01T00:00:00Z")
    with kit.fails("missing"):
        (refused,) = kit.deliver_outbox(transaction)
    assert refused.error == f"ResourceNotFoundException: Function not found: {ARN}missing"
    dead = execute(transaction, "SELECT attempts, error FROM lambda_udf.outbox_dead ORDER BY id")
    assert dead == [
        (1, f"Lambda API returned error: ResourceNotFoundException: Function not found: {ARN}missing"),
        (0, "expired: expires_at has passed before Lambda accepted it"),
    ]


async def test_deliver_outbox_runs_a_coroutine_function_also_where_the_test_is_one(
    kit: MySqlLambda, transaction: MySQLConnectionAbstract
) -> None:
    async def handler(event: int) -> int:
        await asyncio.sleep(0)
        return 2 * event

    kit.function("f", handler)
    insert(transaction, "f", 21)
    (call,) = kit.deliver_outbox(transaction)
    assert call.result == 42


def test_deliver_outbox_drops_a_duplicate_and_fills_an_envelope(
    kit: MySqlLambda, transaction: MySQLConnectionAbstract
) -> None:
    kit.function("f", lambda event: None)
    for payload in (1, 2):
        insert(transaction, "f", payload, deduplication_key="once", envelope=True)
    (call,) = kit.deliver_outbox(transaction)
    insert(transaction, "f", 3, deduplication_key="once")
    assert kit.deliver_outbox(transaction) == []
    assert (call.payload["data"], call.payload["attempt"], call.payload["caller"]) == (1, 1, "root@%")
    assert call.payload["specversion"] == "1.0"
    assert counts(transaction) == {"outbox_deduplication": 1}


def test_deliver_outbox_takes_a_connection_of_another_driver_and_of_another_character_set(
    kit: MySqlLambda,
) -> None:
    kit.function("f", lambda event: None)
    connection = pymysql.connect(
        host=kit.host, port=kit.port, user=kit.user, password=kit.password, charset="latin1"
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO lambda_udf.outbox (function_name, payload) VALUES ('f', '{\"100%\": \"Grüße\"}')"
        )
        (call,) = kit.deliver_outbox(connection)
        connection.rollback()
    assert call.payload == {"100%": "Grüße"}


def test_the_example_of_orders_announces_what_is_committed_to_its_function(kit: MySqlLambda) -> None:
    function = runpy.run_path(str(FUNCTIONS / "OrderPlaced/lambda_function.py"))["lambda_handler"]
    kit.function("OrderPlaced", function)
    with contextlib.closing(kit.connect()) as connection:
        execute(connection, "DROP DATABASE IF EXISTS shop")
        execute(connection, "CREATE DATABASE shop")
        script = (ROOT / "examples/outbox/orders.sql").read_text()
        done = kit._stack.mysqld.client(f"--password={kit.password}", "shop", input=script)
        assert done.returncode == 0, done.stderr
        execute(connection, "USE shop")
        execute(connection, "START TRANSACTION")
        execute(connection, "INSERT INTO orders (customer, total) VALUES ('Grace', 10)")
        execute(connection, "ROLLBACK")
        execute(connection, "INSERT INTO orders (customer, total) VALUES ('Ada', 42.50)")
        execute(connection, "UPDATE orders SET total = 40 WHERE customer = 'Ada'")
    calls = sorted(kit.wait_for_calls("OrderPlaced", 2), key=lambda call: -float(call.payload["total"]))
    assert [call.payload for call in calls] == [
        {"order": 2, "customer": "Ada", "total": 42.5},
        {"order": 2, "customer": "Ada", "total": 40},
    ]
    assert {call.result["message"] for call in calls} == {"Thank you, Ada!"}
    nothing_is_left(kit)
    assert len(kit.calls("OrderPlaced")) == 2


def test_reset_empties_the_outbox_and_no_row_of_before_reaches_the_functions_of_after(
    kit: MySqlLambda,
) -> None:
    gate = threading.Event()
    kit.function("slow", lambda event: gate.wait(20))
    with contextlib.closing(kit.connect()) as connection:
        for _ in range(30):
            insert(connection, "slow", 1, keep_result=True)
        for options in ({"delay_seconds": 3600}, {"delay_seconds": 3600, "deduplication_key": "k"}):
            insert(connection, "f", 1, **options)
        with kit.fails("missing"):
            insert(connection, "missing", 1)
            wait_until(lambda: "outbox_dead" in counts(connection), what="the dead row")
        wait_until(lambda: len(kit.calls("slow")) > 1, what="the slow function's calls")
        kit.reset()
        assert counts(connection) == {}
        gate.set()
        kit.function("slow", lambda event: None)
        insert(connection, "slow", "after")
    assert [call.payload for call in kit.wait_for_calls("slow")] == ["after"]
    nothing_is_left(kit)


def test_reset_waits_for_no_transaction_that_was_left_open(
    kit: MySqlLambda, transaction: MySQLConnectionAbstract
) -> None:
    insert(transaction, "f", 1)
    with contextlib.closing(kit.connect()) as connection:
        with kit.fails("missing"):
            insert(connection, "missing", 1)
            wait_until(lambda: counts(connection) == {"outbox_dead": 1}, what="the dead row")
        kit.reset()
        assert counts(connection) == {}


def test_wait_for_calls_says_which_events_the_outbox_still_has_and_why(kit: MySqlLambda) -> None:
    for name in ("f", "g"):  # g's event is tried again
        kit.function(name, lambda event: None)
    with (
        contextlib.closing(kit.connect()) as connection,
        kit.fails("missing"),
        kit.fails("g", ApiError("TooManyRequestsException")),
    ):
        insert(connection, "f", "later", delay_seconds=3600)
        insert(connection, "missing", 1)
        insert(connection, "g", 2)
        refused = (
            "(SELECT error FROM lambda_udf.outbox_waiting UNION ALL SELECT error FROM lambda_udf.outbox_dead)"
        )
        query = f"SELECT COUNT(error) FROM {refused} AS refused"
        wait_until(lambda: execute(connection, query) == [(2,)], what="the rows that were refused")
        with pytest.raises(AssertionError, match="f: 0 of 1 calls") as caught:
            kit.wait_for_calls("f", timeout=0.05)
    first, *lines = caught.value.__notes__[0].splitlines()
    assert first == "In the outbox:"
    said = {line.partition(": ")[0]: line.partition(" returned error: ")[2] for line in lines}
    assert said.pop("missing is dead") == f"ResourceNotFoundException: Function not found: {ARN}missing"
    # It is dead after its second attempt, soon.
    assert list(said.values()) == ["TooManyRequestsException: refused by the test"]
    assert set(said) <= {"g waits", "g is dead"}


def test_another_attempt_at_an_event_whose_refusal_was_expected_is_expected_after_the_block_too(
    kit: MySqlLambda,
) -> None:
    with contextlib.closing(kit.connect()) as connection:
        with kit.fails("nobody", ApiError("ServiceException")):
            insert(connection, "nobody", 1)
            kit.wait_for_calls("nobody")
        wait_until(lambda: counts(connection) == {"outbox_dead": 1}, what="the last attempt")
        kit.check()
        insert(connection, "nobody", 2)
        wait_until(lambda: counts(connection) == {"outbox_dead": 2}, what="another event's only attempt")
        with pytest.raises(AssertionError, match="nobody was called, and no handler answers for it"):
            kit.check()


def test_reset_does_without_an_outbox(kit: MySqlLambda) -> None:
    with contextlib.closing(kit.connect()) as connection:
        execute(connection, "RENAME TABLE lambda_udf.outbox TO lambda_udf.away")
        try:
            kit.reset()
        finally:
            execute(connection, "RENAME TABLE lambda_udf.away TO lambda_udf.outbox")

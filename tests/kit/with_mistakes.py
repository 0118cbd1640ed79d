"""Tests as users write them, many with a mistake: test_testing_mistakes.py runs them, and looks at what pytest says.

Not collected by itself. Knows the kit's fixture only."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Iterator
from typing import Any

import mysql.connector
import pytest

from lambda_sidecar.testing import ApiError, MySqlLambdaKit


@pytest.fixture
def shop(mysql_lambda: MySqlLambdaKit) -> Iterator[Any]:
    with mysql_lambda.connect() as connection, connection.cursor() as cursor:
        yield cursor


def ask(cursor: Any, sql: str) -> Any:
    cursor.execute(sql)
    return cursor.fetchone()[0]


def broken(event: dict[str, int]) -> int:
    return event["no such key"]


def test_an_events_handler_raises(mysql_lambda: MySqlLambdaKit, shop: Any) -> None:
    mysql_lambda.function("order-placed", broken)
    ask(shop, "SELECT lambda_async('order-placed', '{}')")


def test_an_assertion_of_a_handler_is_swallowed_by_the_test(mysql_lambda: MySqlLambdaKit, shop: Any) -> None:
    def handler(event: int) -> None:
        assert event == 2

    mysql_lambda.function("discount", handler)
    with pytest.raises(mysql.connector.Error):
        ask(shop, "SELECT lambda_sync('discount', '1')")


def test_wait_for_calls_of_another_function(mysql_lambda: MySqlLambdaKit, shop: Any) -> None:
    mysql_lambda.function("order-placed", broken)
    mysql_lambda.function("mail", str)
    ask(shop, "SELECT lambda_async('order-placed', '{}')")
    mysql_lambda.wait_for_calls("mail", timeout=60)


def test_an_event_of_the_outbox_that_nobody_answers(mysql_lambda: MySqlLambdaKit, shop: Any) -> None:
    mysql_lambda.function("mail", str)
    ask(shop, "SELECT lambda_udf.lambda_async('male', '1')")


def test_a_row_that_deliver_outbox_delivers(mysql_lambda: MySqlLambdaKit) -> None:
    mysql_lambda.function("mail", broken)
    with mysql_lambda.connect(autocommit=False) as connection, connection.cursor() as cursor:
        ask(cursor, "SELECT lambda_udf.lambda_async('mail', '{}')")
        mysql_lambda.deliver_outbox(connection)
        connection.rollback()


def test_a_result_that_is_no_json(mysql_lambda: MySqlLambdaKit, shop: Any) -> None:
    mysql_lambda.function("set", lambda event: {1})
    ask(shop, "SELECT lambda_async('set', '1')")


def test_a_statement_fails_and_so_the_test(mysql_lambda: MySqlLambdaKit, shop: Any) -> None:
    mysql_lambda.function("order-placed", broken)
    ask(shop, "SELECT lambda_sync('order-placed', '{}')")


def test_calls_of_a_name_with_a_mistake(mysql_lambda: MySqlLambdaKit, shop: Any) -> None:
    mysql_lambda.function("order-placed", lambda event: None)
    ask(shop, "SELECT lambda_async('order-placed', '{}')")
    assert mysql_lambda.calls("oder-placed") == []


def test_a_handler_still_runs(mysql_lambda: MySqlLambdaKit, shop: Any) -> None:
    mysql_lambda.function("hangs", lambda event: threading.Event().wait())
    ask(shop, "SELECT lambda_async('hangs', '1')")


LATE = threading.Event()


def test_a_handler_raises_after_its_test(mysql_lambda: MySqlLambdaKit, shop: Any) -> None:
    def handler(event: int) -> None:
        LATE.wait()
        raise ValueError("too late")

    mysql_lambda.function("late", handler)
    ask(shop, "SELECT lambda_async('late', '1')")


def test_the_test_after_it(mysql_lambda: MySqlLambdaKit, monkeypatch: pytest.MonkeyPatch) -> None:
    reported = threading.Event()
    report = threading.excepthook

    def wait_for(arguments: threading.ExceptHookArgs) -> None:
        report(arguments)
        reported.set()

    monkeypatch.setattr(threading, "excepthook", wait_for)
    LATE.set()
    assert reported.wait(20)


def test_failures_that_are_expected(mysql_lambda: MySqlLambdaKit, shop: Any) -> None:
    mysql_lambda.function("order-placed", broken)
    with mysql_lambda.fails("order-placed"):
        with pytest.raises(mysql.connector.Error, match="Unhandled: KeyError: 'no such key'"):
            ask(shop, "SELECT lambda_sync('order-placed', '{}')")
        ask(shop, "SELECT lambda_async('order-placed', '{}')")
    with mysql_lambda.fails("nobody"), pytest.raises(mysql.connector.Error, match="Function not found"):
        ask(shop, "SELECT lambda_sync('nobody', '{}')")
    with (
        mysql_lambda.fails("nobody", ApiError("TooManyRequestsException")),
        pytest.raises(mysql.connector.Error),
    ):
        ask(shop, "SELECT lambda_async('nobody', '{}')")
    mysql_lambda.wait_for_calls("order-placed", 2)


def test_async_handlers(mysql_lambda: MySqlLambdaKit, shop: Any) -> None:
    async def double(event: int, factor: int = 2) -> int:
        await asyncio.sleep(0)
        return factor * event

    mysql_lambda.function("double", double)
    mysql_lambda.function("treble", functools.partial(double, factor=3))
    assert ask(shop, "SELECT lambda_sync('double', '21')") == "42"
    assert ask(shop, "SELECT lambda_sync('treble', '2')") == "6"


def test_an_async_handler_raises(mysql_lambda: MySqlLambdaKit, shop: Any) -> None:
    async def handler(event: int) -> None:
        raise ValueError("while it waited")

    mysql_lambda.function("waits", handler)
    ask(shop, "SELECT lambda_async('waits', '1')")


def test_only_the_server_is_used(mysql_lambda_server: MySqlLambdaKit) -> None:
    mysql_lambda_server.function("order-placed", broken)
    with mysql_lambda_server.connect() as connection, connection.cursor() as cursor:
        ask(cursor, "SELECT lambda_async('order-placed', '{}')")
    with pytest.raises(AssertionError, match="no such key"):
        mysql_lambda_server.wait_for_calls("order-placed")

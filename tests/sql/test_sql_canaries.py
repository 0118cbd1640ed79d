"""No log holds a payload: a canary travels every way that a call can take, and the logs are searched.

The search is repeated when the whole suite has run (conftest.py)."""

from __future__ import annotations

import contextlib

import mysql.connector
import pytest
from tests.support.stack import CANARY, Stack, execute
from tests.support.waiting import wait_until

GOOD = f'{{"seconds": 0, "message": "m", "canary": "{CANARY}"}}'
BROKEN = f'{{"canary": "{CANARY}"'


@pytest.mark.parametrize("function", ["lambda_sync", "lambda_async"])
def test_a_payload_is_in_no_log_whatever_becomes_of_the_call(stack: Stack, function: str) -> None:
    for name, payload in (
        ("Echo", GOOD),
        ("Echo", BROKEN),
        ("Echo", f'"{CANARY}"' * 2),
        ("Raise", GOOD),
        ("Nowhere", GOOD),
        ("no/name", GOOD),
        ("Echo", GOOD + " " * 6_291_456),
    ):
        with contextlib.suppress(mysql.connector.Error):
            stack.query(f"SELECT {function}(%s, %s)", (name, payload))
    _expect_no_canary(stack)


def test_the_error_of_an_event_which_mysqld_logs_quotes_no_payload(stack: Stack) -> None:
    """mysqld writes the error of an EVENT into its own log."""
    stack.query(
        f"""CREATE EVENT test.soon ON SCHEDULE AT CURRENT_TIMESTAMP
            DO SELECT lambda_sync('Echo', '{BROKEN}') INTO @answer"""
    )
    logged = "payload is not JSON: unexpected end at byte"
    wait_until(lambda: stack.mysqld.log_contains(logged), what="the event's error in mysqld's log")
    _expect_no_canary(stack)


def test_a_killed_call_and_a_sidecar_that_dies_leave_no_payload_behind(stack: Stack) -> None:
    payload = GOOD.replace("0", "30", 1)
    with contextlib.closing(stack.connect()) as connection, pytest.raises(mysql.connector.Error):
        execute(connection, f"SELECT /*+ MAX_EXECUTION_TIME(200) */ lambda_sync('Sleep', '{payload}')")
    stack.sidecar.kill()
    stack.sidecar.start()
    _expect_no_canary(stack)


def _expect_no_canary(stack: Stack) -> None:
    assert not stack.mysqld.log_contains(CANARY)
    assert not stack.sidecar.log_contains(CANARY)

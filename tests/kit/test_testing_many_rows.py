"""lambda_map and lambda_batch in the testing kit, in the local Lambda's record and in `top`: calls like any other.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.account import ARN
from tests.support.stack import execute
from tests.support.waiting import wait_until

from lambda_sidecar.contract.client import monitor
from lambda_sidecar.testing import MySqlLambda

NUMBERS = "(SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3) AS numbers"


@pytest.fixture(scope="module")
def kit(mysql_home: Path) -> Iterator[MySqlLambda]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LAMBDA_UDF_MYSQL", str(mysql_home))
        started = MySqlLambda().start()
    try:
        yield started
    finally:
        started.stop()


def value(kit: MySqlLambda, sql: str) -> Any:
    with contextlib.closing(kit.connect()) as connection:
        ((found,),) = execute(connection, sql)
    return json.loads(found)


def test_each_row_of_lambda_map_is_a_call_that_the_kit_answers_and_remembers(kit: MySqlLambda) -> None:
    kit.function("Double", lambda event: 2 * event)
    assert value(kit, f"SELECT lambda_map('Double', n, n) FROM {NUMBERS}") == [
        {"key": n, "result": 2 * n} for n in (1, 2, 3)
    ]
    calls = kit.calls("Double")
    assert sorted(call.payload for call in calls) == [1, 2, 3]
    assert {(call.function, call.invocation_type, call.error) for call in calls} == {
        (f"{ARN}Double", "RequestResponse", None)
    }


def test_a_batch_of_lambda_batch_is_one_call_with_its_contracts_event(kit: MySqlLambda) -> None:
    kit.function("Sums", lambda event: {"results": [a + b for a, b in event["arguments"]]})
    assert value(kit, f"SELECT lambda_batch('Sums', n, 10) FROM {NUMBERS}") == [11, 12, 13]
    (call,) = kit.calls("Sums")
    assert call.payload["num_records"] == 3
    assert call.payload["arguments"] == [[1, 10], [2, 10], [3, 10]]
    assert call.payload["external_function"] == "Sums"


def test_rows_under_way_are_shown_one_by_one_with_their_session(kit: MySqlLambda) -> None:
    gate = threading.Event()
    kit.function("Held", lambda event: gate.wait(30) and event)
    with contextlib.closing(kit.connect()) as connection, monitor(kit._stack.sidecar.socket) as sidecar:
        ((session,),) = execute(connection, "SELECT CONNECTION_ID()")
        found: list[Any] = []

        def run() -> None:
            found.extend(execute(connection, f"SELECT lambda_map('Held', n) FROM {NUMBERS}"))

        statement = threading.Thread(target=run)
        statement.start()

        def shown() -> set[tuple[str, int]]:
            snapshot = sidecar.snapshot(lambda: True)
            calls = () if snapshot is None else snapshot.calls
            return {(call.subject.function, call.subject.connection_id) for call in calls}

        try:
            wait_until(lambda: len(kit.calls("Held")) == 3, what="all rows at the function")
            assert shown() == {(f"{ARN}Held", session)}
            snapshot = sidecar.snapshot(lambda: True)
            assert snapshot is not None
            assert snapshot.in_flight == 3
        finally:
            gate.set()
            statement.join()
    assert json.loads(found[0][0]) == [1, 2, 3]

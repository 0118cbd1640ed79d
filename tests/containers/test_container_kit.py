"""MySqlLambdaContainer: the kit on the images, with handlers in the test's own process.

Each test's name is the sentence that it proves. `images` (conftest.py) builds the images, or leaves these out."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import mysql.connector
import pytest
from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID
from tests.kit.test_testing_example import CONTAINER, ORDERS, run_pytest
from tests.support.containers import leftovers
from tests.support.stack import execute

from lambda_sidecar.testing import ApiError, MySqlLambdaContainer
from lambda_sidecar.testing.process import ServerError

# What testcontainers, and the kit, put on everything that they make.
LABEL = f"{LABEL_SESSION_ID}={SESSION_ID}"


@pytest.fixture(scope="module")
def server(images: None) -> Iterator[MySqlLambdaContainer]:
    before = leftovers(LABEL)
    with MySqlLambdaContainer(mysqld_options=["--max-connections=77"]) as started:
        yield started
    assert leftovers(LABEL) == before


@pytest.fixture
def kit(server: MySqlLambdaContainer) -> Iterator[MySqlLambdaContainer]:
    server.reset()
    yield server
    server.reset()


def test_callables_of_the_test_answer_calls_from_the_containers(kit: MySqlLambdaContainer) -> None:
    kit.function("f", lambda event: {"got": event})
    with contextlib.closing(kit.connect()) as connection:
        ((sync, accepted),) = execute(connection, "SELECT lambda_sync('f', '[1]'), lambda_async('f', '2')")
        assert execute(connection, "SELECT @@max_connections") == [(77,)]
    assert json.loads(sync) == {"got": [1]}
    calls = kit.wait_for_calls("f", 2)
    assert [(call.payload, call.invocation_type, call.caller) for call in calls] == [
        ([1], "RequestResponse", "root@%"),
        (2, "Event", "root@%"),
    ]
    assert json.loads(accepted)["RequestId"] == calls[1].request_id


def test_events_of_the_outbox_arrive_and_reset_leaves_none_to_the_next_test(
    kit: MySqlLambdaContainer,
) -> None:
    kit.function("f", lambda event: event)
    insert = "INSERT INTO lambda_udf.outbox (function_name, payload) VALUES ('f', '1')"
    with contextlib.closing(kit.connect()) as connection:
        execute(connection, insert)
        (call,) = kit.wait_for_calls("f", timeout=30)
        assert (call.payload, call.caller) == (1, "root@%")
        with kit.fails("f", ApiError("TooManyRequestsException")):
            execute(connection, insert)
            kit.wait_for_calls("f", 2)
            kit.reset()  # which stops the sidecar's container and starts it again
        assert execute(connection, "SELECT * FROM lambda_udf.outbox_status") == []
        kit.function("f", lambda event: event)
        assert execute(connection, "SELECT lambda_sync('f', '2')") == [("2",)]
    assert [call.payload for call in kit.calls("f")] == [2]


def test_fails_reaches_the_statement_and_ends(kit: MySqlLambdaContainer) -> None:
    kit.function("f", lambda event: "fine")
    failures = {
        "Unhandled: KeyError": KeyError("id"),
        "ServiceException: down": ApiError("ServiceException", "down"),
    }
    with contextlib.closing(kit.connect()) as connection:
        for text, failure in failures.items():
            with kit.fails("f", failure), pytest.raises(mysql.connector.Error, match=text):
                execute(connection, "SELECT lambda_sync('f', '1')")
        assert execute(connection, "SELECT lambda_sync('f', '1')") == [('"fine"',)]


def test_it_has_the_details_of_a_connection_and_no_socket(kit: MySqlLambdaContainer) -> None:
    connection = mysql.connector.connect(host=kit.host, port=kit.port, user=kit.user, password=kit.password)
    with contextlib.closing(connection):
        assert connection.is_connected()
    assert kit.socket is None
    with pytest.raises(mysql.connector.Error, match="Access denied"):
        kit.connect(password="")


def test_an_image_that_does_not_exist_and_a_sidecar_that_ends_are_said_and_nothing_is_left(
    images: None,
) -> None:
    before = leftovers(LABEL)
    with pytest.raises(ServerError, match="no-such-image"):
        MySqlLambdaContainer(sidecar_image="lambda-udf/no-such-image:0").start()
    with pytest.raises(ServerError, match="no_such_key"):
        MySqlLambdaContainer(settings={"no_such_key": 1}).start()
    assert leftovers(LABEL) == before


def test_the_example_of_a_trigger_passes_as_written_on_containers(images: None, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONTAINER)
    (tmp_path / "test_orders.py").write_text(ORDERS)
    status, output = run_pytest(tmp_path)
    assert status == 0, output
    assert "3 passed" in output

"""The event that Lambda gets of a row, and what a refusal means for it.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest

from lambda_sidecar.errors import ApiError
from lambda_sidecar.outbox.row import Row, Stored, event, event_id, make_row
from lambda_sidecar.outbox.verdict import Dead, Later, judge


def row(**options: Any) -> Row:
    stored = Stored(17, "f", '{"n":  1}', options, "app@%", 1_700_000_000.25, 9)
    return make_row(stored, is_waiting=False)


def test_without_an_envelope_the_event_is_the_payload_to_the_byte() -> None:
    assert event(row(durable=True), b'{"n":  1}') == b'{"n":  1}'


def test_an_envelope_is_a_cloud_event_with_caller_and_attempt() -> None:
    wrapped = row(envelope=True)
    wrapped.attempts = 2
    assert json.loads(event(wrapped, b'{"n":  1}')) == {
        "specversion": "1.0",
        "id": "17-1700000000250000-" + hashlib.sha256(b'app@%\0f\0{"n":  1}').hexdigest()[:24],
        "source": "/lambda-udf/outbox",
        "type": "lambda-udf.outbox",
        "time": "2023-11-14T22:13:20.250000Z",
        "datacontenttype": "application/json",
        "caller": "app@%",
        "attempt": 3,
        "data": {"n": 1},
    }


def test_with_durable_the_envelope_is_the_same_at_each_attempt_because_lambda_compares_it() -> None:
    wrapped = row(envelope=True, durable=True)
    first = event(wrapped, b"1")
    wrapped.attempts = 5
    assert event(wrapped, b"1") == first
    assert json.loads(first)["attempt"] == 1


def test_an_event_has_one_name_on_every_server_and_whatever_is_tried() -> None:
    """It is what is replicated that makes it: nothing of a server, of a table or of an attempt."""
    first, promoted = row(durable=True), row(durable=True)
    promoted.is_waiting, promoted.attempts, promoted.due = True, 7, 1.0
    assert event_id(first, b"1") == event_id(promoted, b"1")


@pytest.mark.parametrize("what", ["id", "created", "caller", "function_name", "payload"])
def test_no_other_event_has_the_name_of_one_though_ids_come_again(what: str) -> None:
    other, payload = row(), b"1"
    if what == "payload":
        payload = b"2"
    else:
        value = getattr(other, what)
        setattr(other, what, value + 0.000001 if what == "created" else value * 2)
    assert event_id(other, payload) != event_id(row(), b"1")


def test_a_name_is_one_that_a_durable_execution_may_have() -> None:
    largest = row()
    largest.id, largest.created = 2**64 - 1, 2147483647.999999
    assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", event_id(largest, b"{}"))


@pytest.mark.parametrize(
    ("code", "expected"),
    [("DurableExecutionAlreadyStartedException", Dead), ("TooManyRequestsException", Later)],
)
def test_a_durable_name_that_another_event_has_is_not_tried_again(code: str, expected: type) -> None:
    assert type(judge(ApiError(code, "no"), 1, 30, 0.0)) is expected

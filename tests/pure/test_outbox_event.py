"""The event that Lambda gets of a row, and what a refusal means for it.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_sidecar.errors import ApiError
from lambda_sidecar.outbox.row import Row, Stored, event, make_row
from lambda_sidecar.outbox.verdict import Dead, Later, judge

UUID = "c0ffee00-0000-4000-8000-000000000001"


def row(**options: Any) -> Row:
    stored = Stored(17, "f", '{"n":  1}', options, "app@%", 1_700_000_000.25, 9)
    return make_row(stored, is_waiting=False)


def test_without_an_envelope_the_event_is_the_payload_to_the_byte() -> None:
    assert event(row(durable=True), b'{"n":  1}', UUID) == b'{"n":  1}'


def test_an_envelope_is_a_cloud_event_with_caller_and_attempt() -> None:
    wrapped = row(envelope=True)
    wrapped.attempts = 2
    assert json.loads(event(wrapped, b'{"n":  1}', UUID)) == {
        "specversion": "1.0",
        "id": f"{UUID}-17",
        "source": f"urn:uuid:{UUID}",
        "type": "lambda-udf.outbox",
        "time": "2023-11-14T22:13:20.250000Z",
        "datacontenttype": "application/json",
        "caller": "app@%",
        "attempt": 3,
        "data": {"n": 1},
    }


def test_with_durable_the_envelope_is_the_same_at_each_attempt_because_lambda_compares_it() -> None:
    wrapped = row(envelope=True, durable=True)
    first = event(wrapped, b"1", UUID)
    wrapped.attempts = 5
    assert event(wrapped, b"1", UUID) == first
    assert json.loads(first)["attempt"] == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [("DurableExecutionAlreadyStartedException", Dead), ("TooManyRequestsException", Later)],
)
def test_a_durable_name_that_another_event_has_is_not_tried_again(code: str, expected: type) -> None:
    assert type(judge(ApiError(code, "no"), 1, 30, 0.0)) is expected

"""The frames that the local Lambda writes, as botocore's own parser reads them.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json

import botocore.session
import pytest
from botocore.eventstream import EventStreamBuffer, EventStreamMessage

from lambda_sidecar.local import invoke_request
from lambda_sidecar.local.event_stream import PART_MAX, invoke_complete, payload_chunks


def read(stream: bytes) -> list[EventStreamMessage]:
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    return list(buffer)


@pytest.mark.parametrize("size", [1, 100, PART_MAX, PART_MAX + 1, 3 * PART_MAX])
def test_botocore_reads_every_part_with_its_headers_and_both_checksums(size: int) -> None:
    payload = bytes(number % 251 for number in range(size))
    messages = read(b"".join(payload_chunks(payload)))
    assert b"".join(message.payload for message in messages) == payload
    assert len(messages) == -(-size // PART_MAX)
    for message in messages:
        assert message.headers == {
            ":event-type": "PayloadChunk",
            ":content-type": "application/octet-stream",
            ":message-type": "event",
        }


def test_nothing_is_no_part() -> None:
    assert list(payload_chunks(b"")) == []


def test_botocore_reads_the_end_with_its_members() -> None:
    members = {"ErrorCode": "Unhandled", "ErrorDetails": 'ß "😀"\n', "LogResult": "eA=="}
    (message,) = read(invoke_complete(members))
    assert message.headers[":event-type"] == "InvokeComplete"
    assert json.loads(message.payload) == members
    assert json.loads(read(invoke_complete({}))[0].payload) == {}


def test_the_operation_has_the_path_and_the_invocation_types_of_botocores_model() -> None:
    model = botocore.session.get_session().get_service_model("lambda")
    operation = model.operation_model("InvokeWithResponseStream")
    path = operation.http["requestUri"].replace("{FunctionName}", "{name}")
    assert path == invoke_request.STREAM_PATH
    types = model.shape_for("ResponseStreamingInvocationType").enum
    assert tuple(types) == invoke_request.STREAM_INVOCATION_TYPES

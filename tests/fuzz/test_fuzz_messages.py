"""Requests and responses as bytes, beside what protobuf itself makes of them.

Each test's name is the sentence that it proves."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from lambda_sidecar.contract import message
from lambda_sidecar.contract.message import (
    FIELDS_MAX,
    LARGE,
    LargeResponse,
    LargeResult,
    Request,
    Response,
    Result,
    read_request,
    write_response,
)
from lambda_udf.v1 import invoker_pb2

NUMBERS = st.integers(0, 2**64 - 1)
PAYLOADS = st.binary(max_size=300)
REQUESTS = st.builds(
    Request,
    call_id=NUMBERS,
    function=st.text(max_size=40),
    timeout_ms=st.integers(0, 2**32 - 1),
    options_json=st.text(max_size=40),
    caller=st.builds(invoker_pb2.Caller, user=st.text(max_size=9), connection_id=NUMBERS),
    more=st.lists(st.binary(max_size=9), max_size=3),
    result_max=NUMBERS,
    payload=PAYLOADS,
)
# As the library writes them: the payload last.
LAST = REQUESTS.map(
    lambda request: b"".join(
        (
            Request(
                **{field.name: value for field, value in request.ListFields() if field.name != "payload"}
            ).SerializeToString(),
            Request(payload=request.payload).SerializeToString(),
        )
    )
)


def as_protobuf_reads(wire: bytes) -> tuple[Request, bytes] | None:
    """A message without its payload, and that."""
    try:
        made = Request.FromString(wire)
    except DecodeError:
        return None
    payload = made.payload
    made.ClearField("payload")
    return made, payload


def as_we_read(wire: bytes) -> tuple[Request, bytes] | None:
    """The same by the way of large messages."""
    try:
        with patch.object(message, "LARGE", 0):
            taken = read_request(wire)
    except DecodeError:
        return None
    assert taken.size == len(wire)
    taken.message.ClearField("payload")
    return taken.message, taken.payload


@given(LAST | REQUESTS.map(Request.SerializeToString) | st.binary(max_size=200))
def test_any_bytes_are_the_request_that_protobuf_reads_in_them(wire: bytes) -> None:
    assert as_we_read(wire) == as_protobuf_reads(wire)


@given(LAST, LAST, st.binary(max_size=9))
def test_two_requests_and_more_behind_each_other_are_merged_as_protobuf_does(
    a: bytes, b: bytes, c: bytes
) -> None:
    assert as_we_read(a + b + c) == as_protobuf_reads(a + b + c)


def test_a_large_payload_is_not_in_the_message_that_it_came_in() -> None:
    wire = (
        Request(call_id=7, function="f").SerializeToString()
        + Request(payload=b"x" * LARGE).SerializeToString()
    )
    taken = read_request(wire)
    assert (taken.message, taken.payload, taken.size) == (
        Request(call_id=7, function="f"),
        b"x" * LARGE,
        len(wire),
    )


def test_a_message_of_many_fields_is_left_to_protobuf() -> None:
    """Six million of them would hold the loop for seconds."""
    many = Request(call_id=1).SerializeToString() * (FIELDS_MAX + 1)
    wire = many + Request(payload=b"x" * LARGE).SerializeToString()
    assert read_request(wire).message == Request(call_id=1, payload=b"x" * LARGE)


@pytest.mark.parametrize(
    "wire", [b"\xff" * LARGE, b"\x7a" * LARGE, b"\x0a\xff\xff\xff\xff\x7f" + b"x" * LARGE]
)
def test_large_bytes_that_are_no_request_are_refused_as_protobuf_refuses_them(wire: bytes) -> None:
    assert as_protobuf_reads(wire) is None
    with pytest.raises(DecodeError):
        read_request(wire)


@given(
    st.builds(Response, call_id=NUMBERS, queued_us=NUMBERS),
    st.builds(
        Result, status_code=st.integers(0, 2**32 - 1), request_id=st.text(max_size=20), log_tail=PAYLOADS
    ),
    PAYLOADS,
)
def test_a_response_whose_payload_stands_apart_is_the_one_that_has_it(
    response: Response, result: Result, payload: bytes
) -> None:
    wire = write_response(LargeResponse(response, LargeResult(result, payload)))
    result.payload = payload
    response.result.CopyFrom(result)
    assert Response.FromString(wire) == response
    assert write_response(response) == response.SerializeToString()

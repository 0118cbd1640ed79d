"""The check of an answer alone: how long it takes, and what it makes of results that were cut off.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import time

import pytest

from lambda_sidecar.aws.success import check_success, is_stream
from lambda_sidecar.errors import ErrorKind, NotAsLambdaDoes
from lambda_sidecar.http.exchange import Response


def test_the_largest_result_of_an_emulator_is_checked_in_milliseconds() -> None:
    body = b"[" + b'{"a": "0123456789", "b": 1.5e3},' * 195_000 + b"1]"
    took = []
    for _ in range(5):
        began = time.perf_counter()
        check_success(Response(status=200, body=body), "RequestResponse")
        took.append(time.perf_counter() - began)
    assert len(body) > 6_000_000
    assert min(took) < 0.1


@pytest.mark.parametrize(
    "cut",
    [rb'{"a":"\ud83d', rb'{"a":"\ud83d\ude00', rb'{"a":"\ud83dx","b":', rb'{"a":"\ud83dx"} {}'],
)
def test_half_a_surrogate_pair_does_not_hide_that_the_rest_is_missing(cut: bytes) -> None:
    answer = Response(200, "OK", {"x-amzn-requestid": "r"}, cut, until_close=True)
    with pytest.raises(NotAsLambdaDoes, match="no JSON"):
        check_success(answer, "RequestResponse")
    answer.body = rb'{"a":"\ud83dx"}'
    check_success(answer, "RequestResponse")


def test_an_empty_request_id_is_none() -> None:
    """As whoever writes headers anew leaves one."""
    page = Response(200, "OK", {"x-amzn-requestid": ""}, b"<html>")
    with pytest.raises(NotAsLambdaDoes):
        check_success(page, "RequestResponse")
    with pytest.raises(NotAsLambdaDoes):
        is_stream(page, "RequestResponse")


def test_the_error_is_the_apis_and_has_the_sidecars_own_code() -> None:
    with pytest.raises(NotAsLambdaDoes, match="HTTP 200 instead of 202") as raised:
        check_success(Response(status=200), "Event")
    assert (raised.value.kind, raised.value.code) == (ErrorKind.API, "InvalidResponse")

"""Only Lambda's own success for the invocation's type is a success; anything else may have been carried out.

Each test's name is the sentence that it proves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.aws_sidecar import AwsSidecar, aws_sidecar
from tests.support.lambda_endpoint import Answer, Handler, says

from lambda_udf.v1 import invoker_pb2

SYNC = invoker_pb2.INVOCATION_TYPE_REQUEST_RESPONSE
EVENT = invoker_pb2.INVOCATION_TYPE_EVENT
DRY_RUN = invoker_pb2.INVOCATION_TYPE_DRY_RUN
PAGE = b"<!DOCTYPE html><title>Welcome</title>"
HTML = "text/html; charset=utf-8"


def no_framing(handler: Handler) -> None:
    """A result cut off in the middle: its length is nowhere, and the connection ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nx-amzn-RequestId: r\r\n\r\n[1, 2")
    handler.close_connection = True


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsSidecar]:
    with aws_sidecar(tmp_path_factory.mktemp("success")) as shared:
        yield shared


@pytest.mark.parametrize(
    ("invocation_type", "answer", "what"),
    [
        (SYNC, says(200, PAGE, Content_Type=HTML), "an HTML page"),
        (SYNC, says(200, b'"1"', Content_Type=HTML), "an HTML page"),
        (SYNC, says(200, PAGE), "a result that is no JSON"),
        (SYNC, says(200, b"OK"), "a result that is no JSON"),
        (SYNC, says(200, b"NaN"), "a result that is no JSON"),
        (SYNC, says(200, b'{"a": 1} {}'), "a result that is no JSON"),
        (SYNC, says(200, b"[" * 100_000), "a result that is no JSON"),
        (SYNC, says(200), "nothing"),
        (SYNC, says(200, Content_Type=HTML), "an HTML page"),
        (SYNC, no_framing, "a result that is no JSON"),
        (SYNC, says(204), "HTTP 204 instead of 200"),
        (SYNC, says(204, x_amzn_RequestId="r"), "HTTP 204 instead of 200"),
        (SYNC, says(202, b"1", x_amzn_RequestId="r"), "HTTP 202 instead of 200"),
        (SYNC, says(201, b"{}"), "HTTP 201 instead of 200"),
        (SYNC, says(307, Location="http://127.0.0.1:1/"), "HTTP 307 instead of 200"),
        (EVENT, says(200, PAGE, Content_Type=HTML), "HTTP 200 instead of 202"),
        (EVENT, says(200, b"{}", x_amzn_RequestId="r"), "HTTP 200 instead of 202"),
        (EVENT, says(202, PAGE, Content_Type=HTML), "an HTML page"),
        (EVENT, says(202, b"queued"), "a result that is no JSON"),
        (EVENT, says(204), "HTTP 204 instead of 202"),
        (EVENT, says(301, Location="/"), "HTTP 301 instead of 202"),
        (DRY_RUN, says(200, b"{}", x_amzn_RequestId="r"), "HTTP 200 instead of 204"),
        (DRY_RUN, says(202), "HTTP 202 instead of 204"),
        (DRY_RUN, says(304), "HTTP 304 instead of 204"),
    ],
)  # fmt: skip
def test_what_does_not_answer_as_lambda_does_is_an_error_and_never_asked_twice(
    aws: AwsSidecar, invocation_type: int, answer: Answer, what: str
) -> None:
    aws.endpoint.answers[:] = [answer]
    aws.endpoint.paths.clear()
    assert aws.stream.error("f", invocation_type=invocation_type) == (
        f"Lambda API returned error: InvalidResponse: the endpoint did not answer as Lambda does: {what};"
        " the call may have been carried out"
    )
    assert len(aws.endpoint.paths) == 1


@pytest.mark.parametrize(
    ("invocation_type", "answer", "status", "payload"),
    [
        (SYNC, says(200, b'{"a": [1, "\xc3\xa4"]}'), 200, b'{"a": [1, "\xc3\xa4"]}'),  # an emulator
        (SYNC, says(200, b'"\\ud83d"'), 200, b'"\\ud83d"'),
        (SYNC, says(200, b" null\n", Content_Type="text/plain"), 200, b" null\n"),
        (SYNC, says(200, b"", x_amzn_RequestId="r"), 200, b""),  # a custom runtime's answers
        (SYNC, says(200, b"not JSON", x_amzn_RequestId="r"), 200, b"not JSON"),
        (SYNC, says(200, b"<p>", x_amzn_RequestId="r", Content_Type=HTML), 200, b"<p>"),
        (EVENT, says(202, x_amzn_RequestId="r"), 202, b""),
        (EVENT, says(202), 202, b""),  # an emulator, as the next
        (EVENT, says(202, b"{}"), 202, b"{}"),
        (EVENT, says(202, Content_Type=HTML), 202, b""),
        (DRY_RUN, says(204, x_amzn_RequestId="r"), 204, b""),
        (DRY_RUN, says(204), 204, b""),
    ],
)
def test_lambdas_and_emulators_successes_are_successes(
    aws: AwsSidecar, invocation_type: int, answer: Answer, status: int, payload: bytes
) -> None:
    aws.endpoint.answers[:] = [answer]
    result = aws.stream.ask("f", invocation_type=invocation_type).result
    assert (result.status_code, result.payload) == (status, payload)


def test_a_function_error_without_a_request_id_is_the_functions_error(aws: AwsSidecar) -> None:
    aws.endpoint.answers[:] = [says(200, b"went wrong", X_Amz_Function_Error="Unhandled")]
    assert aws.stream.ask("f").result.function_error == "Unhandled"

"""The Invoke call against endpoints that are not ours: moto's server, and one that misbehaves as scripted.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import io
import json
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import boto3
import pytest
from tests.support.invoker_client import InvokerStream, open_stream
from tests.support.lambda_endpoint import Answer, Endpoint, hangs_up, lambda_endpoint, says

from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.sidecar import SidecarProcess

OK = says(200, b'"done"', x_amzn_RequestId="r-1", X_Amz_Executed_Version="$LATEST")
RATE_EXCEEDED = b'{"Reason": "CallerRateLimitExceeded", "message": "Rate Exceeded."}'
THROTTLED = says(429, RATE_EXCEEDED, x_amzn_ErrorType="TooManyRequestsException")
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
}
UNREACHABLE = "Lambda API returned error: Network Connection. Unable to connect to endpoint"


@contextlib.contextmanager
def stream_to(directory: Path, url: str, **environment: str) -> Iterator[InvokerStream]:
    """A sidecar whose calls go to `url`."""
    variables = {**KEYS, "HOME": str(directory), "AWS_ENDPOINT_URL_LAMBDA": url, **environment}
    config = {"region": "us-east-1", "account_id": "123456789012", "log_level": "debug"}
    sidecar = SidecarProcess(directory, config, environment=variables)
    with sidecar, open_stream(sidecar.socket) as stream:
        yield stream


@contextlib.contextmanager
def scripted(directory: Path, *answers: Answer) -> Iterator[tuple[InvokerStream, Endpoint]]:
    with lambda_endpoint(*answers) as endpoint, stream_to(directory, endpoint.url) as stream:
        yield stream, endpoint


def test_a_call_is_one_signed_request_with_the_function_as_one_path_segment(tmp_path: Path) -> None:
    with scripted(tmp_path, OK) as (stream, endpoint):
        result = stream.ask("Echo:live", b"1").result
    assert (result.payload, result.request_id, result.executed_version) == (b'"done"', "r-1", "$LATEST")
    arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3AEcho"
    assert endpoint.paths == [f"/2015-03-31/functions/{arn}/invocations?Qualifier=live"]
    (headers,) = endpoint.headers
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/us-east-1/lambda/aws4_request" in headers["authorization"]
    assert headers["x-amz-invocation-type"] == "RequestResponse"


ECHO_ARN = "arn:aws:lambda:eu-west-1:210987654321:function:Echo"


@pytest.mark.parametrize(
    ("settings", "function", "sent"),
    [
        ({}, "Echo", "Echo"),
        ({}, "Echo:live", "Echo/invocations?Qualifier=live"),
        ({}, ECHO_ARN, ECHO_ARN),
        ({}, "210987654321:function:Echo", ECHO_ARN.replace("eu-west-1", "us-east-1")),
        ({"account_id": "210987654321"}, "Echo", ECHO_ARN.replace("eu-west-1", "us-east-1")),
        ({"function_name_format": "name"}, "Echo", "Echo"),
        ({"function_name_format": "name"}, ECHO_ARN, "Echo"),
        ({"function_name_format": "name"}, f"{ECHO_ARN}:live", "Echo/invocations?Qualifier=live"),
        ({"function_name_format": "name", "account_id": "210987654321"}, "Echo", "Echo"),
    ],
)
def test_a_name_is_sent_as_typed_without_an_account_and_bare_where_that_is_configured(
    tmp_path: Path, settings: dict[str, str], function: str, sent: str
) -> None:
    with lambda_endpoint(OK) as endpoint:
        variables = {**KEYS, "HOME": str(tmp_path), "AWS_ENDPOINT_URL_LAMBDA": endpoint.url}
        sidecar = SidecarProcess(tmp_path, {"region": "us-east-1", **settings}, environment=variables)
        with sidecar, open_stream(sidecar.socket) as stream:
            assert stream.ask(function).result.payload == b'"done"'
    name, _, query = sent.partition("/")
    assert endpoint.paths == [
        f"/2015-03-31/functions/{quote(name, safe='')}/{query or 'invocations'}",
    ]


def test_rules_see_the_arn_where_the_bare_name_is_sent(tmp_path: Path) -> None:
    settings = {
        "region": "us-east-1",
        "account_id": "123456789012",
        "function_name_format": "name",
        "allow": [{"account": "*@*", "function": ECHO_ARN}],
    }
    with lambda_endpoint(OK) as endpoint:
        variables = {**KEYS, "HOME": str(tmp_path), "AWS_ENDPOINT_URL_LAMBDA": endpoint.url}
        sidecar = SidecarProcess(tmp_path, settings, environment=variables)
        with sidecar, open_stream(sidecar.socket) as stream:
            assert stream.ask(ECHO_ARN).result.payload == b'"done"'
            assert "may not invoke arn:aws:lambda:us-east-1:123456789012:function:Echo" in stream.error(
                "Echo"
            )
    assert endpoint.paths == ["/2015-03-31/functions/Echo/invocations"]


def test_connections_are_used_again(tmp_path: Path) -> None:
    clients = []

    def answer(handler: object) -> None:
        clients.append(handler.client_address)  # type: ignore[attr-defined]
        OK(handler)  # type: ignore[arg-type]

    with scripted(tmp_path, answer) as (stream, _):
        for _ in range(5):
            stream.ask("Echo")
    assert len(set(clients)) == 1


def test_a_throttled_call_is_tried_until_it_is_taken_or_its_time_is_nearly_over(tmp_path: Path) -> None:
    with scripted(tmp_path, *[THROTTLED] * 4, OK) as (stream, endpoint):
        assert stream.ask("Echo").result.payload == b'"done"'
        assert len(endpoint.paths) == 5
    with scripted(tmp_path / "2", THROTTLED) as (stream, endpoint):
        text = "Lambda API returned error: TooManyRequestsException: Rate Exceeded. (CallerRateLimitExceeded)"
        assert stream.error("Echo", timeout_ms=1500) == text
        assert len(endpoint.paths) >= 3


def test_a_function_that_has_taken_nothing_for_throttled_seconds_keeps_nobody_waiting(tmp_path: Path) -> None:
    with (
        lambda_endpoint(THROTTLED) as endpoint,
        stream_to(tmp_path, endpoint.url, LAMBDA_SIDECAR_THROTTLED_SECONDS="1") as stream,
    ):
        began = time.monotonic()
        assert "TooManyRequestsException" in stream.error("Echo", timeout_ms=60_000)
        assert 1 <= time.monotonic() - began < 5


@pytest.mark.parametrize("status", [429, 409])
def test_a_retry_after_is_the_shortest_pause_and_the_answer_where_there_is_no_time_for_it(
    tmp_path: Path, status: int
) -> None:
    code = {429: "TooManyRequestsException", 409: "ResourceConflictException"}[status]
    later = says(status, b'{"message": "later"}', x_amzn_ErrorType=code, Retry_After="1")
    with scripted(tmp_path, later, OK) as (stream, endpoint):
        began = time.monotonic()
        assert stream.ask("Echo").result.payload == b'"done"'
        assert 1 <= time.monotonic() - began < 5
        assert len(endpoint.paths) == 2
    with scripted(tmp_path / "2", later) as (stream, endpoint):
        assert stream.error("Echo", timeout_ms=900) == f"Lambda API returned error: {code}: later"
        assert len(endpoint.paths) == 1


def test_a_retry_waits_no_longer_than_the_deadline(tmp_path: Path) -> None:
    passing = says(409, b'{"Message": "not yet"}', x_amzn_ErrorType="ResourceConflictException")
    with scripted(tmp_path, passing) as (stream, _):
        began = time.monotonic()
        assert stream.error("Echo", timeout_ms=150) == "timed out after 150 ms"
        assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("EC2ThrottledException", 502),
        ("ENINotReadyException", 502),
        ("ResourceNotReadyException", 502),
        ("ResourceConflictException", 409),
        ("SnapStartNotReadyException", 409),
        ("CodeArtifactUserPendingException", 409),
    ],
)
def test_named_errors_that_come_before_execution_are_tried_again(
    tmp_path: Path, code: str, status: int
) -> None:
    passing = says(status, b'{"Message": "not yet"}', x_amzn_ErrorType=code)
    with scripted(tmp_path, passing, OK) as (stream, endpoint):
        assert stream.ask("Echo").result.payload == b'"done"'
        assert len(endpoint.paths) == 2


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (says(500, b'{"Message": "oops"}', x_amzn_ErrorType="ServiceException"), "ServiceException: oops"),
        (says(500), "HTTP 500: Internal Server Error"),
        (says(502, b"<html>bad</html>"), "HTTP 502: Bad Gateway"),
        (says(503), "HTTP 503: Service Unavailable"),
        (says(504), "HTTP 504: Gateway Timeout"),
        (
            says(403, b'{"Message": "User: x is not authorized"}', x_amzn_ErrorType="AccessDeniedException"),
            "AccessDeniedException: User: x is not authorized",
        ),
        (
            says(403, b'{"message": "The security token is invalid."}', x_amzn_ErrorType="UnrecognizedClientException:http://x"),
            "UnrecognizedClientException: The security token is invalid.",
        ),
        (says(404, b'{"__type": "com.aws#ResourceNotFoundException", "message": "no"}'), "ResourceNotFoundException: no"),
        (says(418, b'{"message": "lone \\ud800"}', x_amzn_ErrorType="Odd"), "Odd: lone ?"),
        (says(200, b"\xff", x_amzn_RequestId="r"), "InvalidResponse: the function's result is not UTF-8 at byte 0"),
        (says(200, b"x" * 6_291_557), "ResponseTooLarge: the endpoint sent more than 6291556 bytes"),
    ],
)  # fmt: skip
def test_other_errors_are_never_tried_again(tmp_path: Path, answer: Answer, text: str) -> None:
    with scripted(tmp_path, answer) as (stream, endpoint):
        assert stream.error("Echo") == f"Lambda API returned error: {text}"
        assert len(endpoint.paths) == 1


def test_a_connection_lost_after_sending_is_never_tried_again(tmp_path: Path) -> None:
    with scripted(tmp_path, hangs_up) as (stream, endpoint):
        assert stream.error("Echo") == (
            "Lambda API returned error: Network Connection. The endpoint closed the connection;"
            " the call may have been carried out"
        )
        assert len(endpoint.paths) == 1


def test_a_function_error_of_any_form_becomes_one_sentence(tmp_path: Path) -> None:
    documents = {
        b'{"errorType": "E", "errorMessage": "m"}': "Unhandled: E: m",
        b'{"errorMessage": "only"}': "Unhandled: only",
        b'{"errorType": "\\ud800", "errorMessage": "\\udfff"}': "Unhandled: ?: ?",
        b'"text"': "Unhandled",
        b"not json": "Unhandled",
        b'{"errorType": "E", "errorMessage": "%s"}' % (b"\xc3\xa9" * 200): "Unhandled: E: " + "é" * 100,
    }
    answers = [says(200, body, X_Amz_Function_Error="Unhandled") for body in documents]
    with scripted(tmp_path, *answers) as (stream, _):
        for body, text in documents.items():
            result = stream.ask("Echo").result
            assert (result.payload, result.function_error_text) == (body, text)


def test_an_endpoint_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with stream_to(tmp_path, f"http://127.0.0.1:{free_port()}") as stream:
        assert stream.error("Echo") == UNREACHABLE


def test_an_endpoint_without_a_name_is_unreachable(tmp_path: Path) -> None:
    with stream_to(tmp_path, "http://lambda.invalid:9") as stream:
        assert stream.error("Echo") == UNREACHABLE


def test_without_credentials_the_error_is_auroras_and_comes_at_once_the_second_time(tmp_path: Path) -> None:
    missing = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "")
    with lambda_endpoint(OK) as endpoint, stream_to(tmp_path, endpoint.url, **missing) as stream:
        expected = "Lambda API returned error: Missing Credentials: Cannot instantiate Lambda Client"
        began = time.monotonic()
        assert stream.error("Echo") == expected
        assert time.monotonic() - began < 5
        again = time.monotonic()
        assert stream.error("Echo") == expected
        assert time.monotonic() - again < 0.5
        assert endpoint.paths == []


@pytest.mark.parametrize(
    ("payload", "invocation_type", "text"),
    [
        (b"", 1, "payload is empty; JSON is expected, {} at least"),
        (b"\xef\xbb\xbf{}", 1, "payload is not JSON: invalid character at byte 0"),
        (b'{"a": 1', 1, "payload is not JSON: unexpected end at byte 7"),
        (b'"\x00"', 1, "payload is not JSON: invalid character at byte 1"),
        (b'"\xff"', 1, "payload is not UTF-8: invalid start byte at byte 1"),
        (b"[" * 100_000, 1, "payload is not JSON that can be checked: nested too deeply"),
        (b"-Infinity", 1, "payload is not JSON: -Infinity is not a JSON number at byte 0"),
        (b'"' + b"x" * 6_291_455 + b'"', 1, "payload too large: it has 6291457 bytes, Lambda takes at most 6291456 for RequestResponse"),
        (b'"' + b"x" * 1_048_575 + b'"', 2, "payload too large: it has 1048577 bytes, Lambda takes at most 1048576 for Event"),
        (b"{}", 0, "unknown invocation type"),
    ],
    ids=lambda value: repr(value)[:24],
)  # fmt: skip
def test_a_bad_payload_is_refused_before_anything_is_sent(
    shared_scripted: tuple[InvokerStream, Endpoint], payload: bytes, invocation_type: int, text: str
) -> None:
    stream, endpoint = shared_scripted
    endpoint.paths.clear()
    assert stream.error("Echo", payload, invocation_type=invocation_type) == text
    assert endpoint.paths == []


@pytest.mark.parametrize(
    "payload", [b"1" * 5000, b" \n{}\t", b'"\\ud83d"', "ключ".encode().join([b'"', b'"'])]
)
def test_unusual_but_valid_json_is_sent(
    shared_scripted: tuple[InvokerStream, Endpoint], payload: bytes
) -> None:
    stream, _ = shared_scripted
    assert stream.ask("Echo", payload).result.status_code == 200


@pytest.fixture(scope="module")
def shared_scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[InvokerStream, Endpoint]]:
    with scripted(tmp_path_factory.mktemp("scripted"), OK) as pair:
        yield pair


def _answer_without_docker(url: str) -> None:
    """From now on moto answers every invocation itself, whatever the function's name."""
    settings = json.dumps({"lambda": {"use_docker": False}}).encode()
    urllib.request.urlopen(f"{url}/moto-api/config", settings, timeout=10).close()  # noqa: S310


def _create_function(url: str) -> None:
    options = {
        "region_name": "us-east-1",
        "endpoint_url": url,
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    iam = boto3.client("iam", **options)
    role = iam.create_role(RoleName="lambda", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("lambda_function.py", "def lambda_handler(event, context):\n    return event\n")
    client = boto3.client("lambda", **options)
    client.create_function(
        FunctionName="Known",
        Runtime="python3.11",
        Role=role,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": archive.getvalue()},
    )
    for made in (iam, client):
        made.close()


def test_motos_lambda_answers_and_its_errors_come_as_in_the_table(tmp_path: Path, moto_url: str) -> None:
    _create_function(moto_url)
    with stream_to(tmp_path, moto_url) as stream:
        unknown = stream.error("Unknown", b"{}")
        assert unknown.startswith(
            "Lambda API returned error: ResourceNotFoundException: Function not found: "
        )
        _answer_without_docker(moto_url)
        result = stream.ask("arn:aws:lambda:us-east-1:123456789012:function:Known", b'{"a": 1}').result
        assert (result.status_code, result.function_error) == (200, "")
        accepted = stream.ask("Known", b"{}", invocation_type=2).result
        assert accepted.status_code == 202


@pytest.mark.parametrize(
    "environment",
    [
        {"AWS_REGION": "eu-west-1"},
        {"AWS_DEFAULT_REGION": "eu-west-1"},
        {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-west-2"},
    ],
    ids=lambda environment: "+".join(environment),
)
def test_the_region_comes_from_the_environment_where_neither_name_nor_configuration_tells_one(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with lambda_endpoint(OK) as endpoint:
        variables = {**KEYS, "HOME": str(tmp_path), "AWS_ENDPOINT_URL_LAMBDA": endpoint.url, **environment}
        sidecar = SidecarProcess(tmp_path, {"account_id": "123456789012"}, environment=variables)
        with sidecar, open_stream(sidecar.socket) as stream:
            assert stream.ask("Echo", b"1").result.payload == b'"done"'
    (headers,) = endpoint.headers
    assert "/eu-west-1/lambda/aws4_request" in headers["authorization"]

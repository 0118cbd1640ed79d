"""Our Signature Version 4 beside botocore's own, for every form that a request takes."""

from __future__ import annotations

import calendar
import time

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.access.function_name import FunctionName
from lambda_sidecar.aws.configuration import Endpoint
from lambda_sidecar.aws.lambda_api import Invocation, _head, _target
from lambda_sidecar.aws.payload_hash import payload_hash
from lambda_sidecar.aws.signing import canonical_uri, sign

PATH = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3AEcho/invocations"
PLAIN = {"content-type": "application/json", "x-amz-invocation-type": "RequestResponse"}


@pytest.mark.parametrize(
    ("host", "path", "query", "headers", "payload", "region", "token"),
    [
        ("lambda.us-east-1.amazonaws.com", PATH, "", PLAIN, b"{}", "us-east-1", None),
        ("lambda.us-east-1.amazonaws.com", PATH, "", PLAIN, b"{}", "us-east-1", "a+token/with=signs=="),
        ("lambda.us-east-1.amazonaws.com", PATH, "Qualifier=%24LATEST", PLAIN, b"[1]", "us-east-1", None),
        ("127.0.0.1:3001", "/a/prefix" + PATH, "Qualifier=7", PLAIN, '{"é": 1}'.encode(), "eu-west-1", "t"),
        (
            "lambda.cn-north-1.amazonaws.com.cn",
            "/2015-03-31/functions/Echo_1-x/invocations",
            "",
            PLAIN | {"x-amz-log-type": "Tail", "x-amz-client-context": "eyJhIjoxfQ=="},
            b'"' + b"x" * 100_000 + b'"',
            "cn-north-1",
            None,
        ),
    ],
)
def test_the_signature_is_the_one_that_botocore_makes(
    host: str,
    path: str,
    query: str,
    headers: dict[str, str],
    payload: bytes,
    region: str,
    token: str | None,
) -> None:
    credentials = ReadOnlyCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
    url = f"https://{host}{path}" + (f"?{query}" if query else "")
    theirs = AWSRequest(method="POST", url=url, data=payload, headers={"host": host, **headers})
    SigV4Auth(credentials, "lambda", region).add_auth(theirs)
    moment = calendar.timegm(time.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))

    ours = {"host": host, **headers}
    sign(
        ours,
        payload_hash(payload),
        uri=canonical_uri(path),
        query=query,
        region=region,
        credentials=credentials,
        seconds=moment,
    )
    assert ours == {name.lower(): value for name, value in theirs.headers.items()}


def test_botocore_signs_a_request_with_a_trace_as_we_do() -> None:
    """It leaves X-Amzn-Trace-Id out of the signature (SIGNED_HEADERS_BLACKLIST), and sends it."""
    credentials = ReadOnlyCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token")
    function = FunctionName("aws", "us-east-1", "123456789012", "Echo", None)
    trace = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"
    target = _target(Endpoint("https://lambda.us-east-1.amazonaws.com", None), function, False, False)
    head = _head(target, Invocation(function, b"{}", "RequestResponse", xray=trace), credentials).decode()
    sent = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    assert sent["x-amzn-trace-id"] == trace

    ours = sent.pop("authorization")
    theirs = AWSRequest(method="POST", url=f"https://{sent['host']}{PATH}", data=b"{}", headers=sent)
    del theirs.headers["content-length"]
    theirs.context["timestamp"] = sent["x-amz-date"]
    signer = SigV4Auth(credentials, "lambda", "us-east-1")
    canonical = signer.canonical_request(theirs)
    assert "x-amzn-trace-id" not in canonical
    assert ours.endswith(signer.signature(signer.string_to_sign(theirs, canonical), theirs))

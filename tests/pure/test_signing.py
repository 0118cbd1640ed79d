"""Our Signature Version 4 beside botocore's own, for every form that a request takes."""

from __future__ import annotations

import calendar
import time

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

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
        payload,
        uri=canonical_uri(path),
        query=query,
        region=region,
        credentials=credentials,
        seconds=moment,
    )
    assert ours == {name.lower(): value for name, value in theirs.headers.items()}

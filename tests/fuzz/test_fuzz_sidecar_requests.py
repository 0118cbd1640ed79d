"""Requests as a client of the socket may send them, any field of any value: each gets one answer, and reaches
Lambda at most once, whatever Lambda answers.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.pure.test_trace import GOOD
from tests.support.answered import answered

from lambda_sidecar.access.function_name import Defaults
from lambda_sidecar.access.rules import AccessRules
from lambda_sidecar.access.settings import AccessSettings, AllowRule
from lambda_sidecar.aws.answer import InvocationResult, read_answer
from lambda_sidecar.aws.credentials import PlaceholderCredentials
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.concurrency.slots import Concurrency
from lambda_sidecar.contract.message import MESSAGE_MAX
from lambda_sidecar.contract.service import LambdaInvoker
from lambda_udf.v1 import invoker_pb2

Request = invoker_pb2.InvokeRequest
Response = invoker_pb2.InvokeResponse
DEFAULTS = Defaults(partitions={"us-east-1": "aws"}, region="us-east-1", account_id="123456789012")
POLICY = Policy(DEFAULTS, AccessRules(AccessSettings(allow=(AllowRule(account="a*@%"),)), DEFAULTS))


@dataclass
class Lambda:
    """An endpoint that answers as it is asked to, and keeps what came."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    came: list[Invocation] = field(default_factory=list)

    async def invoke(self, invocation: Invocation, _credentials: object) -> InvocationResult:
        self.came.append(invocation)
        return read_answer(self.status, "Reason", self.headers, self.body)


HEADER = re.compile(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01]")
TEXT = st.text(max_size=20)
NUMBER32 = st.sampled_from([0, 1, 1000, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
NUMBER64 = st.sampled_from([0, 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
DEADLINE = NUMBER64 | st.integers(-5_000, 50_000).map(lambda ms: max(0, int(time.monotonic() * 1000) + ms))
OPTIONS = st.sampled_from(
    [
        "",
        "{}",
        '{"log_type": "Tail"}',
        '{"timeout_ms": 1}',
        '{"invocation_type": "Event"}',
        "[",
        '{"region": "x"}',
        '{"client_context": {"a": 1}}',
        '{"role": "x"}',
        '{"invocation_type": "DryRun"}',
        '{"qualifier": "\\u0000"}',
        '{"traceparent": "\\r\\n"}',
    ]
)
REQUESTS = st.builds(
    Request,
    call_id=NUMBER64,
    function=st.sampled_from(["f", "f:live", "arn:aws:lambda:us-east-1:123456789012:function:f", "", "é"])
    | TEXT,
    invocation_type=st.integers(-1, 6),
    timeout_ms=NUMBER32,
    caller=st.builds(
        invoker_pb2.Caller,
        user=st.sampled_from(["app", "a"]) | TEXT,
        host=st.just("%") | TEXT,
        schema=TEXT,
        connection_id=NUMBER64,
    ),
    options_json=OPTIONS | TEXT,
    deadline_ms=DEADLINE,
    traceparent=st.sampled_from(["", GOOD]) | st.text(max_size=55),
    payload=st.sampled_from([b"{}", b"", b"1", b'"\xff"', b'"\\ud800"', b"[" * 5000, b"NaN"])
    | st.binary(max_size=30),
)
HEADER_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20) | st.just("\udcff")
LAMBDAS = st.builds(
    Lambda,
    status=st.sampled_from([100, 200, 202, 204, 301, 400, 403, 404, 429, 500, 502, 599, 999]),
    headers=st.dictionaries(
        st.sampled_from(
            [
                "x-amzn-requestid",
                "x-amz-executed-version",
                "x-amz-function-error",
                "x-amz-log-result",
                "x-amzn-errortype",
                "x-amz-durable-execution-arn",
                "reason",
                "retry-after",
                "content-type",
            ]
        ),
        HEADER_TEXT | st.sampled_from(["Unhandled", "bG9n", "=", "TooManyRequestsException:http://x"]),
    ),
    body=st.sampled_from(
        [
            b"",
            b"{}",
            b'{"errorMessage": "a\\u202eb", "errorType": 7}',
            b'{"message": null}',
            b"\xff",
            b'{"Reason": "\\ud800"}',
            b'{"Reason": "CallerRateLimitExceeded"}',
        ]
    )
    | st.binary(max_size=40),
)


def run(work: Coroutine[Any, Any, Response]) -> Response:
    return asyncio.run(asyncio.wait_for(work, 30))


def steers(text: str) -> bool:
    return any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u2028\u2029\u200b\ufeff" for c in text)


@given(REQUESTS, LAMBDAS)
def test_any_request_gets_one_answer_and_reaches_lambda_once_at_most(
    request: Request, endpoint: Lambda
) -> None:
    pipeline = Pipeline(endpoint.invoke, PlaceholderCredentials(), POLICY, Concurrency(2, 1))
    response = run(answered(LambdaInvoker(pipeline), request))
    assert response.call_id == request.call_id
    assert response.WhichOneof("outcome") in ("result", "error")
    assert response.error.kind != invoker_pb2.ERROR_KIND_INTERNAL, "a defect of the sidecar"
    assert Response.FromString(response.SerializeToString()) == response
    assert response.ByteSize() <= MESSAGE_MAX
    assert len(endpoint.came) <= 1
    assert all(each.xray == "" or HEADER.fullmatch(each.xray) for each in endpoint.came)
    assert pipeline.defect() is None
    assert pipeline.concurrency.running == pipeline.concurrency.waiting == 0
    assert not pipeline.traffic.in_flight
    is_ping = request.invocation_type == invoker_pb2.INVOCATION_TYPE_PING and not request.options_json
    if is_ping:  # the sidecar's own answer, whoever asks
        assert response.HasField("result")
        assert (endpoint.came, sum(pipeline.traffic.totals())) == ([], 0)
    elif response.HasField("result"):
        assert len(endpoint.came) == 1
        assert (request.caller.user[:1], request.caller.host) == ("a", "%")
    if response.HasField("error"):
        assert response.error.message
        assert not steers(response.error.message)


@given(st.binary(max_size=80), st.binary(max_size=20))
def test_bytes_that_protobuf_takes_for_a_request_are_answered_too(wire: bytes, more: bytes) -> None:
    try:
        request = Request.FromString(
            wire + Request(function="f", payload=b"{}", timeout_ms=100).SerializeToString() + more
        )
    except Exception:  # gRPC answers those itself
        return
    endpoint = Lambda()
    pipeline = Pipeline(endpoint.invoke, PlaceholderCredentials(), POLICY, Concurrency(2, 1))
    response = run(answered(LambdaInvoker(pipeline), request))
    assert response.call_id == request.call_id
    assert response.error.kind != invoker_pb2.ERROR_KIND_INTERNAL
    assert len(endpoint.came) <= 1

"""Requests as a client of the socket may send them, any field of any value: each gets one answer in its time, and
Lambda lets it in at most once, whatever Lambda answers.

On a clock of its own, because a call may have weeks. Each test's name is the sentence that it proves."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.pure.test_trace import GOOD
from tests.support.answered import answered
from tests.support.permuting_loop import BEGINNING, run_in_order

from lambda_sidecar.access.function_name import Defaults
from lambda_sidecar.access.rules import AccessRules
from lambda_sidecar.access.settings import AccessSettings, AllowRule
from lambda_sidecar.aws.answer import InvocationResult, read_answer
from lambda_sidecar.aws.credentials import PlaceholderCredentials
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.calls.pipeline import CANCEL_SECONDS, Pipeline
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
    """An endpoint that throttles so often, then answers as it is asked to, and keeps what came. It may be asked to
    throttle for ever."""

    refusals: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    came: list[Invocation] = field(default_factory=list)

    async def invoke(self, invocation: Invocation, _credentials: object) -> InvocationResult:
        self.came.append(invocation)
        status = 429 if len(self.came) <= self.refusals else self.status
        return read_answer(status, "Reason", self.headers, self.body)

    def let_in(self) -> int:
        """How many requests: 429 says that the function has not run."""
        return 0 if self.status == 429 else max(0, len(self.came) - self.refusals)


HEADER = re.compile(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01]")
TEXT = st.text(max_size=20)
NUMBER32 = st.sampled_from([0, 1, 1000, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
NUMBER64 = st.sampled_from([0, 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
DEADLINE = NUMBER64 | st.integers(-5_000, 50_000).map(lambda ms: max(0, int(BEGINNING * 1000) + ms))
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
FUNCTION = st.sampled_from(["f", "f:live", "arn:aws:lambda:us-east-1:123456789012:function:f"])
PAYLOAD = st.sampled_from([b"{}", b"1", b'"\\ud800"'])


def requests(
    function: SearchStrategy[str],
    caller: SearchStrategy[invoker_pb2.Caller],
    options: SearchStrategy[str],
    traceparent: SearchStrategy[str],
    payload: SearchStrategy[bytes],
) -> SearchStrategy[Request]:
    return st.builds(
        Request,
        call_id=NUMBER64,
        function=function,
        invocation_type=st.integers(-1, 6),
        timeout_ms=NUMBER32,
        caller=caller,
        options_json=options,
        deadline_ms=DEADLINE,
        traceparent=traceparent,
        payload=payload,
    )


ANY = requests(
    FUNCTION | st.sampled_from(["", "é"]) | TEXT,
    st.builds(
        invoker_pb2.Caller,
        user=st.sampled_from(["app", "a"]) | TEXT,
        host=st.just("%") | TEXT,
        schema=TEXT,
        connection_id=NUMBER64,
    ),
    OPTIONS | TEXT,
    st.sampled_from(["", GOOD]) | st.text(max_size=55),
    PAYLOAD | st.sampled_from([b"", b'"\xff"', b"[" * 5000, b"NaN"]) | st.binary(max_size=30),
)
# Most of those fail before Lambda is asked; few of these do.
PLAUSIBLE = requests(
    FUNCTION, st.just(invoker_pb2.Caller(user="app", host="%")), OPTIONS, st.sampled_from(["", GOOD]), PAYLOAD
)
SEEDS = st.integers(0, 2**32 - 1)
HEADER_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20) | st.just("\udcff")
LAMBDAS = st.builds(
    Lambda,
    refusals=st.integers(0, 3),
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
        HEADER_TEXT | st.sampled_from(["Unhandled", "bG9n", "=", "TooManyRequestsException:http://x", "2"]),
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


def run(pipeline: Pipeline, request: Request, seed: int) -> tuple[Response, float]:
    """The answer, and after how many seconds it came."""

    async def main() -> tuple[Response, float]:
        response = await answered(LambdaInvoker(pipeline), request)
        return response, time.monotonic() - BEGINNING

    return run_in_order(main, seed)


def time_of(request: Request) -> float:
    """Seconds that it may take; its deadline is on the clock's milliseconds, 0 where it has none."""
    seconds = request.timeout_ms / 1000
    return min(seconds, request.deadline_ms / 1000 - BEGINNING) if request.deadline_ms else seconds


def steers(text: str) -> bool:
    return any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u2028\u2029\u200b\ufeff" for c in text)


@given(ANY | PLAUSIBLE, LAMBDAS, SEEDS)
def test_any_request_gets_one_answer_in_its_time_and_lambda_lets_it_in_once_at_most(
    request: Request, endpoint: Lambda, seed: int
) -> None:
    pipeline = Pipeline(endpoint.invoke, PlaceholderCredentials(), POLICY, Concurrency(2, 1))
    response, seconds = run(pipeline, request, seed)
    assert seconds <= max(time_of(request), CANCEL_SECONDS)
    assert response.call_id == request.call_id
    assert response.WhichOneof("outcome") in ("result", "error")
    assert response.error.kind != invoker_pb2.ERROR_KIND_INTERNAL, "a defect of the sidecar"
    assert Response.FromString(response.SerializeToString()) == response
    assert response.ByteSize() <= MESSAGE_MAX
    assert endpoint.let_in() <= 1
    assert len(endpoint.came) <= 20 + 2 * seconds, "what is throttled rests, though less towards its end"
    assert all(each.xray == "" or HEADER.fullmatch(each.xray) for each in endpoint.came)
    assert pipeline.defect() is None
    assert pipeline.concurrency.running == pipeline.concurrency.waiting == 0
    assert not pipeline.traffic.in_flight
    is_ping = request.invocation_type == invoker_pb2.INVOCATION_TYPE_PING and not request.options_json
    if is_ping:  # the sidecar's own answer, whoever asks
        assert response.HasField("result")
        assert (endpoint.came, sum(pipeline.traffic.totals())) == ([], 0)
    elif response.HasField("result"):
        assert endpoint.let_in() == 1
        assert (request.caller.user[:1], request.caller.host) == ("a", "%")
    if response.HasField("error"):
        assert response.error.message
        assert not steers(response.error.message)


@given(st.binary(max_size=80), st.binary(max_size=20), SEEDS)
def test_bytes_that_protobuf_takes_for_a_request_are_answered_too(
    wire: bytes, more: bytes, seed: int
) -> None:
    try:
        request = Request.FromString(
            wire + Request(function="f", payload=b"{}", timeout_ms=100).SerializeToString() + more
        )
    except Exception:  # gRPC answers those itself
        return
    endpoint = Lambda()
    pipeline = Pipeline(endpoint.invoke, PlaceholderCredentials(), POLICY, Concurrency(2, 1))
    response, _ = run(pipeline, request, seed)
    assert response.call_id == request.call_id
    assert response.error.kind != invoker_pb2.ERROR_KIND_INTERNAL
    assert len(endpoint.came) <= 1

"""A batch of several attempts: its failure never says that nothing was sent where an attempt may have run the function.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import uuid

import pytest
from botocore.credentials import ReadOnlyCredentials
from tests.pure.test_throttling import DEFAULTS
from tests.support.permuting_loop import run_in_order

from lambda_sidecar.access.account import Account
from lambda_sidecar.access.rules import AccessRules
from lambda_sidecar.access.settings import AccessSettings
from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.aws.credentials import PlaceholderCredentials
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.calls.batch import attempts
from lambda_sidecar.calls.batch.attempts import Contract
from lambda_sidecar.calls.batch.batch import Batch, query_of
from lambda_sidecar.calls.call import Call
from lambda_sidecar.calls.lambda_map import MapOptions
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.concurrency.slots import Concurrency, Share
from lambda_sidecar.errors import (
    ApiError,
    BatchAnswerInvalid,
    CallTimeout,
    ConnectionLost,
    EndpointUnreachable,
    InvokeFailure,
    NotAsLambdaDoes,
    Throttled,
)

DOUBT = "; the call may have been carried out"
LOST = ConnectionLost("The endpoint closed the connection")
INVALID = NotAsLambdaDoes("an HTML page")
OF_SERVICE = ApiError("ServiceException", "oh", of_service=True, status=500)
UNREACHABLE = EndpointUnreachable()
THROTTLED = Throttled("TooManyRequestsException", "Rate Exceeded.")
REFUSED = ApiError("AccessDeniedException", "no", status=403)
NO_ENI = ApiError("ENILimitReachedException", "no", of_service=True, status=502)
AT_WORK = InvocationResult(200, b'{"statusCode": 202, "body": "{}"}', "r", "1", "", b"")
DONE = InvocationResult(200, b'{"success": true, "results": [1]}', "r", "1", "", b"")
BROKEN = InvocationResult(200, b'{"success": true, "results": []}', "r", "1", "", b"")

Answer = InvocationResult | InvokeFailure


def run(contract: Contract, answers: list[Answer], *, retry_service_errors: bool) -> Answer:
    """What ends a batch whose attempts are answered so, the last of them again and again. It has five seconds."""
    left = list(answers)

    async def invoke(_: Invocation, __: ReadOnlyCredentials) -> InvocationResult:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, InvokeFailure):
            raise answer
        return answer

    def new_call(event: bytes, milliseconds: int) -> Call:
        options = MapOptions("", "", "", "")
        return Call(Account("a", "%"), "f", event, options=options, timeout_ms=milliseconds, share=Share())

    async def main() -> Answer:
        policy = Policy(DEFAULTS, AccessRules(AccessSettings(), DEFAULTS))
        pipeline = Pipeline(invoke, PlaceholderCredentials(), policy, Concurrency(1, None))
        batch = Batch(
            rows=1,
            query=query_of(uuid.UUID(int=1).hex),
            number=0,
            signature="(a NUMBER)",
            function="f",
            user="a@%",
            machine="m",
            schema="s",
            connection_id=1,
            retry_service_errors=retry_service_errors,
        )
        rows = b"[0,1]" if contract is Contract.SNOWFLAKE else b"[1]"
        answer, _ = await attempts.run(pipeline, contract, batch, rows, timeout_ms=5000, new_call=new_call)
        return answer

    return run_in_order(main, 1)


@pytest.mark.parametrize("first", [LOST, OF_SERVICE])
@pytest.mark.parametrize("last", [UNREACHABLE, THROTTLED, REFUSED])
def test_after_an_attempt_in_doubt_the_last_failure_says_so(
    first: InvokeFailure, last: InvokeFailure
) -> None:
    answer = run(Contract.REDSHIFT, [first, last], retry_service_errors=True)
    assert isinstance(answer, InvokeFailure)
    assert answer.text == last.text + DOUBT
    assert (answer.kind, answer.code) == (last.kind, last.code)
    assert DOUBT not in last.text, "it is of other calls, too"


@pytest.mark.parametrize("last", [UNREACHABLE, THROTTLED, REFUSED])
def test_after_a_function_that_is_at_work_the_last_failure_says_so(last: InvokeFailure) -> None:
    answer = run(Contract.SNOWFLAKE, [AT_WORK, last], retry_service_errors=False)
    assert isinstance(answer, InvokeFailure)
    assert answer.text == last.text + DOUBT


@pytest.mark.parametrize("last", [LOST, INVALID])
def test_what_says_so_itself_says_it_once(last: InvokeFailure) -> None:
    answer = run(Contract.REDSHIFT, [LOST, last], retry_service_errors=True)
    assert isinstance(answer, InvokeFailure)
    assert answer.text == last.text
    assert answer.text.count(DOUBT) == 1


@pytest.mark.parametrize("answers", [[UNREACHABLE], [UNREACHABLE, REFUSED], [NO_ENI, REFUSED], [THROTTLED]])
def test_without_an_attempt_in_doubt_nothing_is_added(answers: list[Answer]) -> None:
    answer = run(Contract.REDSHIFT, answers, retry_service_errors=True)
    assert isinstance(answer, InvokeFailure)
    assert isinstance(answers[-1], InvokeFailure)
    assert answer.text == answers[-1].text


def test_a_function_at_work_for_ever_times_out_and_an_answer_that_breaks_the_contract_stays_one() -> None:
    timeout = run(Contract.SNOWFLAKE, [AT_WORK], retry_service_errors=False)
    assert isinstance(timeout, CallTimeout)
    assert timeout.text == "timed out after 5000 ms"
    broken = run(Contract.REDSHIFT, [LOST, BROKEN], retry_service_errors=True)
    assert isinstance(broken, BatchAnswerInvalid)
    assert DOUBT not in broken.text, "that the function has run it says itself"


def test_an_attempt_in_doubt_that_is_followed_by_an_answer_leaves_no_trace() -> None:
    answer = run(Contract.REDSHIFT, [LOST, DONE], retry_service_errors=True)
    assert isinstance(answer, InvocationResult)
    assert answer.payload == b"1"

"""Names as long as a message may be, from a client of the socket: nothing of them stays behind.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest
from tests.support.answered import answered

from lambda_sidecar.access.function_name import Defaults
from lambda_sidecar.access.rules import AccessRules
from lambda_sidecar.access.settings import AccessSettings
from lambda_sidecar.aws.answer import InvocationResult, read_answer
from lambda_sidecar.aws.credentials import PlaceholderCredentials
from lambda_sidecar.calls.pipeline import Pipeline
from lambda_sidecar.calls.policy import Policy
from lambda_sidecar.concurrency.slots import Concurrency
from lambda_sidecar.contract.service import LambdaInvoker
from lambda_udf.v1.invoker_pb2 import (
    ANSWER_FORM_JSON,
    BATCH_CONTRACT_SNOWFLAKE,
    ERROR_KIND_INVALID,
    INVOCATION_TYPE_REQUEST_RESPONSE,
    Batch,
    Caller,
    InvokeRequest,
)

DEFAULTS = Defaults(partitions={"us-east-1": "aws"}, region="us-east-1", account_id="123456789012")
CALLS, LENGTH = 100, 200_000
LEFT_MAX = 2_000_000
"""Bytes; what is remembered of each call would be ten times as much."""
PLAIN: dict[str, Any] = {
    "function": "f",
    "payload": b"1",
    "timeout_ms": 9000,
    "invocation_type": INVOCATION_TYPE_REQUEST_RESPONSE,
}
MAP = {**PLAIN, "answer_form": ANSWER_FORM_JSON}
BATCH: dict[str, Any] = {
    "contract": BATCH_CONTRACT_SNOWFLAKE,
    "rows": 1,
    "query_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "signature": "(a1 NUMBER)",
}


async def _invoke(*_: object) -> InvocationResult:
    return read_answer(200, "OK", {}, b"{}")


@pytest.fixture
def service() -> LambdaInvoker:
    """Every account may invoke everything: nothing is refused by a rule."""
    policy = Policy(DEFAULTS, AccessRules(AccessSettings(), DEFAULTS))
    return LambdaInvoker(Pipeline(_invoke, PlaceholderCredentials(), policy, Concurrency(10, None)))


def request(field: str, text: str) -> InvokeRequest:
    """One of its texts is this."""
    fields: dict[str, Any] = dict(PLAIN if field in ("options_json", "function") else MAP)
    caller: dict[str, Any] = {"user": "app", "host": "%", "schema": "shop"}
    batch = dict(BATCH)
    place, _, name = field.rpartition(".")
    {"": fields, "caller": caller, "batch": batch}[place][name] = text
    if place == "batch" or name == "schema":
        fields["batch"] = Batch(**batch)
    return InvokeRequest(**fields, caller=Caller(**caller))


@pytest.mark.parametrize(
    "field",
    [
        "function",
        "options_json",
        "qualifier",
        "region",
        "role",
        "tenant_id",
        "caller.user",
        "caller.host",
        "caller.schema",
        "batch.query_id",
        "batch.signature",
    ],
)
async def test_a_text_of_any_length_in_a_request_is_forgotten_with_its_call(
    service: LambdaInvoker, field: str
) -> None:
    async def answer(number: int) -> None:
        asked = request(field, f"{number}".ljust(LENGTH, "x"))
        response = await answered(service, asked)
        assert response.WhichOneof("outcome")

    await answer(0)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(CALLS):
            await answer(number)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < LEFT_MAX
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("user", "host"), [("u" * 33, "%"), ("u", "h" * 256)])
async def test_an_account_longer_than_mysqls_is_refused(service: LambdaInvoker, user: str, host: str) -> None:
    refused = InvokeRequest(**PLAIN, caller=Caller(user=user, host=host))
    error = (await answered(service, refused, b"1")).error
    assert (error.kind, error.message) == (
        ERROR_KIND_INVALID,
        "the account's name is longer than MySQL's are",
    )
    longest = InvokeRequest(**PLAIN, caller=Caller(user=user[:32], host=host[:255]))
    assert (await answered(service, longest, b"1")).result.payload == b"{}"

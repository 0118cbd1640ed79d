"""Results of invocations, as tests of what is made of them need them.

Knows the sidecar's own type; nothing of AWS."""

from __future__ import annotations

import json
from typing import Any

from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.calls.lambda_invoke import document
from lambda_sidecar.contract.message import RESULT_MAX
from lambda_sidecar.text.pacer import at_once


def result(payload: bytes, **fields: Any) -> InvocationResult:
    given = {
        "status_code": 200,
        "request_id": "r-1",
        "executed_version": "1",
        "function_error": "",
        "log_tail": b"",
    }
    return InvocationResult(payload=payload, **{**given, **fields})


def payload_in_document(payload: bytes) -> Any:
    """What lambda_invoke's document has of it, for a parser that takes what MySQL takes."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    text = at_once(document(result(payload), RESULT_MAX)).decode()
    return json.loads(text, parse_constant=refuse)["Payload"]

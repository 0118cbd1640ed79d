"""Checks that an answer is the success that its call asked for, from something that answers as Lambda does.

Pure; does not know how the answer came. answer.py reads it."""

from __future__ import annotations

from lambda_sidecar.aws.response_stream import CONTENT_TYPE
from lambda_sidecar.errors import NotAsLambdaDoes
from lambda_sidecar.http.exchange import Response
from lambda_sidecar.text.json_text import NestedTooDeeply, NotJson, check_steps
from lambda_sidecar.text.pacer import at_once

# Lambda API reference, Invoke, StatusCode.
SUCCESS = {"RequestResponse": 200, "Event": 202, "DryRun": 204}


def check_success(response: Response, invocation_type: str) -> None:
    """Raises NotAsLambdaDoes for a success or a redirection that is not Lambda's for this type of invocation:
    a load balancer's page, a proxy's empty answer. Errors (4xx, 5xx) pass, for read_answer."""
    if not _is_success(response, invocation_type):
        return
    # Lambda always sends it. A body that only the connection's end delimits may be cut off nevertheless.
    if response.headers.get("x-amzn-requestid") and not response.until_close:
        return
    _check_likeness(response, may_be_empty=response.status != 200)


def is_stream(response: Response, invocation_type: str) -> bool:
    """Whether an answer to InvokeWithResponseStream is the stream; if not, it is an error (4xx, 5xx) or
    DryRun's success. Raises NotAsLambdaDoes for what is none of them."""
    if not _is_success(response, invocation_type) or response.status != 200:
        return False
    # By the model Content-Type is "the type of data the stream is returning" (ResponseStreamContentType)
    # and has no set value: whether Lambda's own answer is a stream is what the checksums in it say.
    if response.headers.get("x-amzn-requestid"):
        return True
    if response.headers.get("content-type", "").partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise NotAsLambdaDoes("a result that is no event stream")
    return True


def _is_success(response: Response, invocation_type: str) -> bool:
    """False: an error. Raises NotAsLambdaDoes for another success than that type's, and for a redirection."""
    if response.status >= 400:
        return False
    if response.status != (expected := SUCCESS[invocation_type]):
        raise NotAsLambdaDoes(f"HTTP {response.status} instead of {expected}")
    return True


def _check_likeness(response: Response, *, may_be_empty: bool) -> None:
    """Raises NotAsLambdaDoes. Not every emulator sends a request id (the runtime interface emulator,
    serverless-offline and SAM's do not), but their results are JSON. Lambda's own header marks the answer of
    a function that failed, which is no success."""
    if may_be_empty and not response.body:
        return
    if response.headers.get("content-type", "").lstrip().lower().startswith("text/html"):
        raise NotAsLambdaDoes("an HTML page")
    if "x-amz-function-error" in response.headers and not response.until_close:
        return
    if not _is_json(response.body):
        raise NotAsLambdaDoes("a result that is no JSON" if response.body else "nothing")


def _is_json(text: bytes) -> bool:
    """Takes 13 ms for 6 MB, and several times as long with half a surrogate pair in it. That passes: no page
    has one, and Lambda's runtimes take it. The rest must be JSON too: it may be cut off."""
    try:
        at_once(check_steps(text))
    except (NotJson, NestedTooDeeply):
        return False
    return True

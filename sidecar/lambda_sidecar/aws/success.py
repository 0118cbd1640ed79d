"""Whether an answer is the success that a call asked for, and from something that answers as Lambda does.

Pure; knows nothing of how the answer came. How it is read is answer.py's."""

from __future__ import annotations

from lambda_sidecar.errors import NotAsLambdaDoes
from lambda_sidecar.http.exchange import Response
from lambda_sidecar.text.json_text import NestedTooDeeply, NotJson, check_steps
from lambda_sidecar.text.pacer import at_once

# Lambda API reference, Invoke, StatusCode.
SUCCESS = {"RequestResponse": 200, "Event": 202, "DryRun": 204}


def check_success(response: Response, invocation_type: str) -> None:
    """Raises NotAsLambdaDoes for a success or a redirection that is not Lambda's for this type of invocation:
    a load balancer's page, a proxy's empty answer. Errors (4xx, 5xx) pass, for read_answer."""
    expected = SUCCESS[invocation_type]
    if response.status >= 400:
        return
    if response.status != expected:
        raise NotAsLambdaDoes(f"HTTP {response.status} instead of {expected}")
    # Lambda always sends it. A body that only the connection's end delimits may be cut off nevertheless.
    if "x-amzn-requestid" in response.headers and not response.until_close:
        return
    _check_likeness(response, may_be_empty=expected != 200)


def _check_likeness(response: Response, *, may_be_empty: bool) -> None:
    """Emulators do not all send a request id (the runtime interface emulator, serverless-offline and SAM's do
    not); their results are JSON. A failed function is told by Lambda's own header, and is no success."""
    if may_be_empty and not response.body:
        return
    if response.headers.get("content-type", "").lstrip().lower().startswith("text/html"):
        raise NotAsLambdaDoes("an HTML page")
    if "x-amz-function-error" in response.headers and not response.until_close:
        return
    if not _is_json(response.body):
        raise NotAsLambdaDoes("a result that is no JSON" if response.body else "nothing")


def _is_json(text: bytes) -> bool:
    """Takes 13 ms for 6 MB. Half a surrogate pair passes, in some times as long: no page has one, and
    Lambda's runtimes take it. What comes behind it has to be JSON too: the text may be cut off."""
    try:
        at_once(check_steps(text))
    except (NotJson, NestedTooDeeply):
        return False
    return True

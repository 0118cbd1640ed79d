"""One call of a function as the kit received it, and the errors of the Lambda API that a test can ask for.

Pure data; knows neither HTTP nor which functions there are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session

from lambda_sidecar.local import errors


@dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """One call of a function, and what became of it.

    function: the ARN that was invoked, with the qualifier if there was one.
    payload: the second argument of SQL, parsed.
    invocation_type: RequestResponse (lambda_sync), Event (lambda_async) or DryRun.
    caller: the MySQL account, as CURRENT_USER() gives it: app@%. A trigger's is its definer.
    client_context: option client_context of lambda_invoke, parsed; None without.
    request_id: the RequestId of lambda_async's answer.
    finished: whether the handler has returned or raised, or the call was refused.
    result: what the handler returned.
    error: "ValueError: …" if it raised, "TooManyRequestsException: …" if the call was refused.
    traceback: what the handler raised, as Python prints it; None if it did not.
    """

    function: str
    payload: Any
    invocation_type: str
    caller: str
    client_context: Any
    request_id: str
    finished: bool = False
    result: Any = None
    error: str | None = None
    traceback: str | None = None


class ApiError(errors.ApiError):
    """An error of the Lambda API, for `fails`: the call is refused and the function never runs.

    The sidecar tries again where Lambda has certainly not run the function, so such a statement takes a
    second or two, and each attempt is a call. A function that has throttled (TooManyRequestsException) is
    called once a second, until it takes a call."""

    def __init__(self, code: str, message: str = "refused by the test", *, status: int | None = None) -> None:
        """`code` is one that the Invoke operation can give; another one needs its HTTP `status`."""
        known = _invoke_errors()
        if status is None and code not in known:
            raise ValueError(f"the Lambda API has no {code}: name its HTTP status, or one of {sorted(known)}")
        usual, key = known.get(code, (0, "message"))
        super().__init__(status or usual, code, message, message_key=key)


@cache
def _invoke_errors() -> dict[str, tuple[int, str]]:
    """Code to HTTP status and the member that carries the text, from botocore's model of Lambda."""
    model = botocore.session.Session().get_service_model("lambda")
    return {
        shape.name: (
            shape.metadata["error"]["httpStatusCode"],
            "Message" if "Message" in shape.members else "message",
        )
        for shape in model.operation_model("Invoke").error_shapes
    }

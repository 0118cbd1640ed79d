"""Every failure of the local Lambda: at its start, and in the Invoke API, where the texts are Lambda's own.
Knows neither HTTP servers nor workers."""

from __future__ import annotations

import json


class LocalLambdaError(Exception):
    """The local Lambda cannot start, or a function's folder cannot be used; the text says what to change."""


class FunctionConfigError(LocalLambdaError):
    """A function's folder or its function.toml is broken; the text names the file and the key."""


class ApiError(Exception):
    """An error answer of the Invoke API.

    code: the exception's name in botocore's model lambda/2015-03-31/service-2.json.
    status: its httpStatusCode there.
    message_key: the member that carries the text there, "message" or "Message", exception by exception.
    """

    def __init__(
        self, status: int, code: str, message: str, *, message_key: str = "message", reason: str | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self._members: dict[str, str] = {"Type": "Service" if status >= 500 else "User", message_key: message}
        if reason is not None:
            self._members["Reason"] = reason

    def body(self) -> bytes:
        """The JSON document of the answer."""
        return json.dumps(self._members).encode()


def not_found(arn: str) -> ApiError:
    """There is no folder of that name."""
    return ApiError(404, "ResourceNotFoundException", f"Function not found: {arn}", message_key="Message")


def invalid_parameter(message: str) -> ApiError:
    """A function name, qualifier or header that Lambda does not take."""
    return ApiError(400, "InvalidParameterValueException", message)


def invalid_content(message: str) -> ApiError:
    """A payload or client context that is not JSON."""
    return ApiError(400, "InvalidRequestContentException", message)


def already_started(name: str) -> ApiError:
    """The name of a durable execution that another payload has."""
    return ApiError(
        409,
        "DurableExecutionAlreadyStartedException",
        f"Durable execution already started with a different payload: {name}",
    )


def too_large(message: str) -> ApiError:
    """A payload above Lambda's quota."""
    return ApiError(413, "RequestTooLargeException", message)


def throttled(reason: str) -> ApiError:
    """No concurrency left; reason is one of Lambda's ThrottleReason values."""
    return ApiError(429, "TooManyRequestsException", "Rate Exceeded.", reason=reason)


def broken_function(error: FunctionConfigError) -> ApiError:
    """A function whose folder became unusable after the start."""
    return ApiError(502, "InvalidRuntimeException", str(error), message_key="Message")


def service_error(message: str) -> ApiError:
    """The local Lambda itself failed, or is stopping."""
    return ApiError(500, "ServiceException", message, message_key="Message")


def forbidden(code: str, message: str) -> ApiError:
    """The guard does not let the request pass."""
    return ApiError(403, code, message)

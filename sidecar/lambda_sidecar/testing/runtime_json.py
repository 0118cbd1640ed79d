"""JSON as a function's runtime reads and writes it, by the code of AWS's own runtime client.

Imports that client only when it is needed: it is not among the sidecar's dependencies. Knows no handlers."""

from __future__ import annotations

import functools
import sys
import traceback
from types import ModuleType, TracebackType
from typing import Any


@functools.cache
def _runtime_client() -> tuple[ModuleType, ModuleType, Any]:
    """awslambdaric's modules of marshalling and of exceptions, and a marshaller."""
    try:
        from awslambdaric import lambda_runtime_exception, lambda_runtime_marshaller
    except ImportError as missing:
        raise ImportError(
            f"functions of a test need awslambdaric: pip install 'lambda-udf[testing]' ({missing})"
        ) from None
    marshaller = lambda_runtime_marshaller.LambdaMarshaller()
    # It goes by AWS_EXECUTION_ENV, which Lambda sets: its runtimes of Python 3.12 and newer leave characters
    # as they are, the older ones escape what is not ASCII.
    marshaller.jsonEncoder.ensure_ascii = sys.version_info < (3, 12)
    return lambda_runtime_marshaller, lambda_runtime_exception, marshaller


def look_for_runtime_client() -> None:
    """Raises ImportError where it is not installed."""
    _runtime_client()


def read_event(event: bytes) -> Any:
    """The event, parsed: the first argument of a handler."""
    return _runtime_client()[2].unmarshal_request(event)


def write_result(result: Any) -> bytes:
    """A handler's result as it is sent: JSON, or bytes as they are. Raises what `describe` describes."""
    written, _ = _runtime_client()[2].marshal_response(result)
    return written if isinstance(written, bytes) else written.encode()


def is_fault(error: BaseException) -> bool:
    """Whether the runtime client itself has raised it, because the result cannot be written."""
    return isinstance(error, _runtime_client()[1].FaultException)


def describe(error: BaseException, frames: TracebackType | None) -> tuple[str, str, list[str]]:
    """errorType, errorMessage and stackTrace of what was raised; `frames` are the handler's own."""
    if is_fault(error):
        fault: Any = error
        return fault.exception_type, fault.msg, fault.trace or []
    return type(error).__name__, str(error), traceback.format_list(traceback.extract_tb(frames))


def error_document(name: str, text: str, stack: list[str], request_id: str) -> bytes:
    """The document that awslambdaric's bootstrap.make_error would make."""
    document = {"errorMessage": text, "errorType": name, "requestId": request_id, "stackTrace": stack}
    written: str = _runtime_client()[0].to_json(document)
    return written.encode()

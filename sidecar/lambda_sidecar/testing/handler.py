"""Runs a Python callable as a Lambda function: its arguments, and the result of its answer or its exception.

Knows nothing of HTTP, or of names."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any

from lambda_sidecar.local.invocation import Invocation, Outcome, too_large_document
from lambda_sidecar.quotas import MEMORY_DEFAULT_MB, RESPONSE_MAX, TIMEOUT_MAX_SECONDS
from lambda_sidecar.testing import runtime_json
from lambda_sidecar.testing.call import Call

Handler = Callable[..., Any]

# Between this file and a handler that is a coroutine function there are only the event loop's frames.
_NOT_THE_HANDLERS = (__file__, f"{Path(asyncio.__file__).parent}/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The second argument of a handler that has one: the part of Lambda's context object that means something
    here. Source: "Using the Lambda context object to retrieve Python function information"."""

    function_name: str
    invoked_function_arn: str
    aws_request_id: str
    client_context: SimpleNamespace | None
    function_version: str = "$LATEST"
    memory_limit_in_mb: str = str(MEMORY_DEFAULT_MB)
    _began: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """The rest of Lambda's longest timeout: the kit itself ends no handler."""
        return max(0, int((TIMEOUT_MAX_SECONDS - (time.monotonic() - self._began)) * 1000))


def wants_context(handler: Handler) -> bool:
    """Whether it takes (event, context), not (event) alone. Raises TypeError for what can be no handler."""
    if not callable(handler):
        raise TypeError(f"a handler must be callable, not {handler!r}")
    try:
        parameters = inspect.signature(handler).parameters.values()
    except ValueError:  # built-in, without a signature
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [one for one in parameters if one.default is one.empty and one.kind in positional]
    if len(required) > 2:
        raise TypeError(f"a handler takes (event) or (event, context), {handler!r} takes {len(required)}")
    return len(required) == 2


def run(handler: Handler, invocation: Invocation, call: Call) -> Outcome:
    """Calls the handler. Whatever it raises becomes a function error, as AWS's runtime client words it. The
    handler gets an event of its own: changes that it makes there do not show in `call`."""
    try:
        event = runtime_json.read_event(invocation.event)
        arguments = (event, _context(invocation)) if wants_context(handler) else (event,)
        result = handler(*arguments)
        call.result = _wait_for(result) if inspect.isawaitable(result) else result
        payload = runtime_json.write_result(call.result)
    except BaseException as error:  # pytest.fail() and its like too: there is a statement to be answered
        frames = _frames(error)
        name, text, stack = runtime_json.describe(error, frames)
        call.error = f"{name}: {text}"
        if not runtime_json.is_fault(error):
            call.traceback = "".join(traceback.format_exception(type(error), error, frames))
        document = runtime_json.error_document(name, text, stack, call.request_id)
        return Outcome(payload=document, function_error=True)
    if len(payload) > RESPONSE_MAX:
        call.error = "Function.ResponseSizeTooLarge"
        return Outcome(payload=too_large_document(), function_error=True)
    return Outcome(payload=payload)


def _context(invocation: Invocation) -> Context:
    custom = None if invocation.client_context is None else json.loads(invocation.client_context)
    known = {} if custom is None else {key: custom.get(key) for key in ("custom", "env", "client")}
    return Context(
        function_name=invocation.target.name,
        invoked_function_arn=invocation.target.arn,
        aws_request_id=invocation.request_id,
        client_context=None if custom is None else SimpleNamespace(**known),
    )


def _wait_for(result: Awaitable[Any]) -> Any:
    """The result of an `async def`, which runs in an event loop of its own."""

    async def wait() -> Any:
        return await result

    if not _in_a_loop():
        return asyncio.run(wait())
    # deliver_outbox, in a test that is a coroutine itself: the loop of this thread is busy with the test.
    with ThreadPoolExecutor(1, thread_name_prefix="lambda-function") as thread:
        return thread.submit(asyncio.run, wait()).result()


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _frames(error: BaseException) -> TracebackType | None:
    """The traceback from the handler's first frame on; all of it where the handler has none."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_NOT_THE_HANDLERS):
        frames = frames.tb_next
    return frames or error.__traceback__

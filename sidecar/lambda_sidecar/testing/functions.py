"""The functions of one test: the callables by their names, the failures that the test wants, and the calls.

The test's thread and the endpoint's threads use it; knows nothing of HTTP or of MySQL."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lambda_sidecar.local import errors
from lambda_sidecar.local.invocation import Invocation, Outcome
from lambda_sidecar.local.target import Target, resolve
from lambda_sidecar.testing import handler as handlers
from lambda_sidecar.testing import runtime_json
from lambda_sidecar.testing.call import ApiError, Call
from lambda_sidecar.testing.handler import Handler

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"  # AWS's example account

Failure = BaseException | type[BaseException]


@dataclass(frozen=True, slots=True)
class Name:
    """A function as a test names it. A plain name means every function of that name, an ARN (or a partial
    one) only its region and account; with a version or alias, only that."""

    name: str
    arn: str | None
    qualifier: str | None

    def matches(self, target: Target) -> bool:
        return (
            self.name == target.name
            and self.arn in (None, target.unqualified_arn)
            and self.qualifier in (None, target.qualifier)
        )

    @property
    def precision(self) -> tuple[bool, bool]:
        """Of two that match, the greater one counts."""
        return (self.qualifier is not None, self.arn is not None)


def read_name(text: str) -> Name:
    """Raises ValueError for a text that is no function's name to Lambda."""
    try:
        target = resolve(text, None, region=REGION, account_id=ACCOUNT_ID)
    except errors.ApiError:
        raise ValueError(f"{text!r} is no function name, partial ARN or ARN") from None
    arn = target.unqualified_arn if ":function:" in text else None
    return Name(target.name, arn, target.qualifier)


class Functions:
    """Empty at first. When a test has ended, those of its calls that still run keep its Functions."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._handlers: dict[Name, Handler] = {}
        self._failures: list[tuple[Name, Failure]] = []
        self._calls: list[tuple[Target, Call]] = []

    def function(self, name: str, handler: Handler) -> None:
        """Lets `handler` answer for `name`. Raises ValueError for what is no name, TypeError for what can be
        no handler, and ImportError without the runtime client."""
        runtime_json.look_for_runtime_client()
        handlers.wants_context(handler)
        with self._changed:
            self._handlers[read_name(name)] = handler

    @contextmanager
    def fails(self, name: str, error: Failure) -> Iterator[None]:
        """Within it, calls of `name` fail with `error`. Raises ValueError for what is no name."""
        entry = (read_name(name), error)
        with self._changed:
            self._failures.append(entry)
        try:
            yield
        finally:
            with self._changed:
                self._failures.remove(entry)

    def calls(self, name: str) -> list[Call]:
        """The calls of `name` so far, in the order of arrival."""
        wanted = read_name(name)
        with self._changed:
            return [call for target, call in self._calls if wanted.matches(target)]

    def wait_for_calls(self, name: str, count: int, seconds: float) -> list[Call]:
        """Waits until `count` calls have finished, and returns all. Raises AssertionError if too few have."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                calls = self.calls(name)
                finished = sum(call.finished for call in calls)
                if finished >= count:
                    return calls
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(
                        f"{name}: {finished} of {count} calls have finished within {seconds:g} s"
                        f" ({len(calls) - finished} still run)"
                    )

    def receive(self, invocation: Invocation, caller: str) -> tuple[Call, Handler]:
        """Records a call and finds its handler. Raises ApiError where the call is refused."""
        target = invocation.target
        context = invocation.client_context
        call = Call(
            function=target.arn,
            payload=runtime_json.read_event(invocation.event),
            invocation_type=invocation.invocation_type,
            caller=caller,
            client_context=None if context is None else json.loads(context),
            request_id=invocation.request_id,
        )
        with self._changed:
            self._calls.append((target, call))
            try:
                return call, self._find(target)
            except errors.ApiError as refusal:
                self.finish(call, str(refusal))
                raise

    def run(self, handler: Handler, invocation: Invocation, call: Call) -> Outcome:
        """Runs the handler in this thread."""
        outcome = handlers.run(handler, invocation, call)
        self.finish(call, call.error)
        return outcome

    def finish(self, call: Call, error: str | None = None) -> None:
        """Records the end of a call."""
        with self._changed:
            call.error = error
            call.finished = True
            self._changed.notify_all()

    def _find(self, target: Target) -> Handler:
        for name, failure in reversed(self._failures):
            if name.matches(target):
                if isinstance(failure, ApiError):
                    raise failure
                return _raiser(failure)
        matching = [name for name in self._handlers if name.matches(target)]
        if not matching:
            raise errors.not_found(target.arn)
        return self._handlers[max(matching, key=lambda name: name.precision)]


def _raiser(failure: Failure) -> Handler:
    def fail(_event: object) -> None:
        raise failure

    return fail

"""The functions of one test: the callables by their names, the failures that the test wants, and the calls.

The test's thread and the endpoint's threads use it; knows nothing of HTTP or of MySQL."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from lambda_sidecar.local import errors
from lambda_sidecar.local.invocation import Invocation, Outcome
from lambda_sidecar.local.target import Target
from lambda_sidecar.testing import handler as handlers
from lambda_sidecar.testing import runtime_json
from lambda_sidecar.testing.call import ApiError, Call
from lambda_sidecar.testing.function_name import ACCOUNT_ID, REGION, Name, read_name
from lambda_sidecar.testing.handler import Handler

Failure = BaseException | type[BaseException]
_USUAL = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:"


class Functions:
    """Empty at first. When a test has ended, those of its calls that still run keep its Functions."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._handlers: dict[Name, Handler] = {}
        self._failures: list[tuple[Name, Failure | None]] = []
        self._calls: list[tuple[Target, Call]] = []
        self._named: dict[Name, str] = {}  # every name that the test has used, as it has written it
        self._excused: set[Call] = set()  # may fail: a `fails` expects it, or it has been reported
        self._over = False

    def function(self, name: str, handler: Handler) -> None:
        """Lets `handler` answer for `name`. Raises ValueError for what is no name, TypeError for what can be
        no handler, and ImportError without the runtime client."""
        runtime_json.look_for_runtime_client()
        handlers.wants_context(handler)
        with self._changed:
            self._handlers[self._name(name)] = handler

    @contextmanager
    def fails(self, name: str, error: Failure | None) -> Iterator[None]:
        """Within it, calls of `name` fail with `error`, or without one may fail by themselves. Raises
        ValueError for what is no name."""
        with self._changed:
            entry = (self._name(name), error)
            self._failures.append(entry)
        try:
            yield
        finally:
            with self._changed:
                self._failures.remove(entry)

    def calls(self, name: str) -> list[Call]:
        """The calls of `name` so far, in the order of arrival. Raises LookupError for a name that the test
        has never used and nothing has called."""
        __tracebackhide__ = True
        wanted = read_name(name)
        with self._changed:
            calls = [call for target, call in self._calls if wanted.matches(target)]
            if not calls and not any(wanted.overlaps(known) for known in self._named):
                raise LookupError(
                    f"{name} is no function of this test, and nothing has called it."
                    f" {self._with_handlers()}; {self._arrived()}"
                )
            return calls

    def wait_for_calls(self, name: str, count: int, seconds: float) -> list[Call]:
        """Waits until `count` calls have finished, and returns all. Raises AssertionError if too few have,
        or as soon as any call of the test has failed that should not; LookupError as `calls` does."""
        __tracebackhide__ = True
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                if failed := self._unexpected():
                    raise AssertionError(self._report(failed))
                calls = self.calls(name)
                finished = sum(call.finished for call in calls)
                if finished >= count:
                    return calls
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(
                        f"{name}: {finished} of {count} calls have finished within {seconds:g} s"
                        f" ({len(calls) - finished} still run); {self._arrived()}"
                    )

    def wait_for_all(self, seconds: float) -> str:
        """Waits until every call has finished, and says which still run after `seconds`, if any."""
        with self._changed:
            self._changed.wait_for(lambda: all(call.finished for _, call in self._calls), seconds)
            return _counted(call for _, call in self._calls if not call.finished)

    def take_failures(self) -> str:
        """Each call that has failed and should not have, in words, and only once. Empty if there is none."""
        with self._changed:
            failed = self._unexpected()
            self._excused.update(call for _, call in failed)
            return self._report(failed)

    def end(self) -> str:
        """The same, when nobody will ask again: failures from now on are those of a thread to Python."""
        with self._changed:
            self._over = True
            return self.take_failures()

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
            wanted = [failure for name, failure in self._failures if name.matches(target)]
            if wanted:
                self._excused.add(call)
            try:
                return call, self._find(target, wanted[-1] if wanted else None)
            except errors.ApiError as refusal:
                if self._is_tried_again(call):
                    self._excused.add(call)
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
            late = self.take_failures() if self._over else ""
        if late:
            _raise_in_thread(AssertionError(f"after the end of its test, {late}"))

    def _name(self, text: str) -> Name:
        name = read_name(text)
        self._named[name] = text
        return name

    def _find(self, target: Target, failure: Failure | None) -> Handler:
        if isinstance(failure, ApiError):
            raise failure
        if failure is not None:
            return _raiser(failure)
        matching = [name for name in self._handlers if name.matches(target)]
        if not matching:
            raise errors.not_found(target.arn)
        return self._handlers[max(matching, key=lambda name: name.precision)]

    def _is_tried_again(self, call: Call) -> bool:
        """Whether it is an event that was refused before, and was excused: the outbox tries it again when the
        `fails` that has expected this may have ended."""
        return call.invocation_type == "Event" and any(
            (before.invocation_type, before.function, before.payload)
            == (call.invocation_type, call.function, call.payload)
            for before in self._excused
            if before.error is not None
        )

    def _unexpected(self) -> list[tuple[Target, Call]]:
        return [
            (target, call)
            for target, call in self._calls
            if call.finished and call.error is not None and call not in self._excused
        ]

    def _report(self, failed: list[tuple[Target, Call]]) -> str:
        return "\n".join(self._describe(target, call) for target, call in failed)

    def _describe(self, target: Target, call: Call) -> str:
        name = target.arn.removeprefix(_USUAL)
        if call.traceback is not None:
            return f"the handler of {name} has raised what no `fails` expects:\n{call.traceback.rstrip()}"
        if not any(known.matches(target) for known in self._handlers):
            return f"{name} was called, and no handler answers for it. {self._with_handlers()}."
        return f"a call of {name} has failed, which no `fails` expects: {call.error}"

    def _with_handlers(self) -> str:
        names = sorted(self._named[name] for name in self._handlers)
        return f"This test has handlers for {', '.join(names)}" if names else "This test has no handlers"

    def _arrived(self) -> str:
        counted = _counted(call for _, call in self._calls)
        return f"arrived: {counted}" if counted else "no call of any function has arrived"


def _counted(calls: Iterable[Call]) -> str:
    counts = Counter(call.function.removeprefix(_USUAL) for call in calls)
    return ", ".join(f"{number} of {name}" for name, number in counts.items())


def _raiser(failure: Failure) -> Handler:
    def fail(_event: object) -> None:
        raise failure

    return fail


def _raise_in_thread(error: BaseException) -> None:
    """As if this thread had ended with it: Python prints it, and pytest warns of it."""
    threading.excepthook(threading.ExceptHookArgs((type(error), error, None, threading.current_thread())))

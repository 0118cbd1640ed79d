"""The traffic of a sidecar: the calls under way, counts by function and outcome, the slowest calls.

Plain numbers on one event loop, kept for a microsecond per call; nothing of who reads
them (monitoring/metrics.py, contract/monitor.py)."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter

from lambda_sidecar.calls import call_log, call_span
from lambda_sidecar.calls.call import SENT, Call, Outcome
from lambda_sidecar.calls.slow_calls import SlowCalls
from lambda_sidecar.errors import InvokeFailure

# Upper bounds in seconds: from a function that does nothing to Lambda's limit of 15 minutes.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
# Functions that are counted by name. Each is 28 lines of /metrics; so many hold the event loop for 15 ms.
FUNCTIONS_MAX = 100
# Lambda's model names some 40 exceptions; anything may stand where they do.
CODES_MAX = 100
# Stands for all the others; no function and no exception can be called so.
OTHER = "(other)"

_SUCCESS, _FUNCTION_ERROR, _CANCELLED = Outcome.SUCCESS, Outcome.FUNCTION_ERROR, Outcome.CANCELLED


class FunctionTraffic:
    """The counts of one function, its versions and aliases together."""

    __slots__ = ("buckets", "calls", "seconds", "throttled")

    def __init__(self) -> None:
        self.calls = [0] * len(Outcome)
        """By Outcome: calls that have ended."""
        self.buckets = [0] * (len(BUCKETS) + 1)
        """Calls that were sent, by duration; not cumulative, and the last is for those beyond all bounds."""
        self.seconds = 0.0
        """All durations of calls that were sent."""
        self.throttled = 0
        """Lambda's answers that it takes no call now (429); one call may have several."""


class Traffic:
    """For each call `begin`, and one of `answered`, `failed` and `cancelled` at its end."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.in_flight: dict[Call, None] = {}
        """The oldest first."""
        self.functions: dict[str, FunctionTraffic] = {}
        self.other = FunctionTraffic()
        self.api_errors: Counter[str] = Counter()
        """By the Lambda API's own names."""
        self.sent_bytes = 0
        self.received_bytes = 0
        self.waited = 0
        """Calls that waited for a slot, and for how long."""
        self.waited_us = 0
        self.repeated = 0
        """Attempts of calls that Lambda had throttled before."""
        self.slow = SlowCalls()

    def begin(self, call: Call) -> None:
        self.in_flight[call] = None

    def answered(self, call: Call) -> None:
        """Lambda has answered; `call.result` says what."""
        function, result = call.function, call.result
        assert function is not None  # noqa: S101  the types cannot say that an answer comes after them
        assert result is not None  # noqa: S101
        counts = self.functions.get(function.name) or self._first_answer(function.name)
        self.received_bytes += len(result.payload) if result.streamed is None else result.streamed.size
        if not result.function_error:
            self._end(call, counts, _SUCCESS)
        else:
            self._end(call, counts, _FUNCTION_ERROR, code=result.function_error)

    def failed(self, call: Call, failure: InvokeFailure) -> None:
        if failure.code:
            known = failure.code in self.api_errors or len(self.api_errors) < CODES_MAX
            self.api_errors[failure.code if known else OTHER] += 1
        self._end(
            call,
            self._counts(call),
            Outcome(failure.kind),
            code=failure.code,
            request_id=failure.request_id,
            reason=failure.reason,
        )

    def throttled(self, call: Call) -> None:
        """Lambda's answer is 429. The call goes on, or fails."""
        self._counts(call).throttled += 1

    def cancelled(self, call: Call) -> None:
        """Nobody waits for its answer any more."""
        self._end(call, self._counts(call), _CANCELLED)

    def totals(self) -> list[int]:
        """By Outcome: the calls of all functions that have ended."""
        every = (self.other, *self.functions.values())
        return [sum(each) for each in zip(*(counts.calls for counts in every), strict=True)]

    def _first_answer(self, name: str) -> FunctionTraffic:
        """A function is counted by name from its first answer on: Lambda knows it. What somebody merely
        writes in SQL takes no place."""
        if len(self.functions) >= FUNCTIONS_MAX:
            return self.other
        counts = self.functions[name] = FunctionTraffic()
        return counts

    def _counts(self, call: Call) -> FunctionTraffic:
        return self.other if call.function is None else self.functions.get(call.function.name, self.other)

    def _end(
        self,
        call: Call,
        counts: FunctionTraffic,
        outcome: Outcome,
        *,
        code: str = "",
        request_id: str = "",
        reason: str = "",
    ) -> None:
        now = time.monotonic()
        seconds = now - call.began
        del self.in_flight[call]
        counts.calls[outcome] += 1
        was_sent = call.phase is SENT or (call.repeats is not None and call.repeats.in_doubt)
        if was_sent and (invocation := call.invocation) is not None:
            counts.buckets[bisect_left(BUCKETS, seconds)] += 1
            counts.seconds += seconds
            self.sent_bytes += len(invocation.payload)
        if call.queued_us:
            self.waited += 1
            self.waited_us += call.queued_us
        if seconds > self.slow.floor or now >= self.slow.window_ends:
            self.slow.note(call, outcome, seconds, now)
        if call.span is not None:
            call_span.end(call, call.span, outcome, code=code, request_id=request_id)
        if outcome is not _SUCCESS or call_log.is_debug():
            call_log.log_call(call, outcome, seconds, code=code, request_id=request_id, reason=reason)

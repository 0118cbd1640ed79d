"""Faults that were there once, each as the small change that would bring it back: to see which tests would notice.

Knows the code by its text; neither runs a test nor writes a file. Each must fit the code of today."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from tests.support.checkout import ROOT

PACKAGE = ROOT / "sidecar/lambda_sidecar"


@dataclass(frozen=True)
class Fault:
    """`file` below sidecar/lambda_sidecar/, and texts in it, each of which is there once, with what takes its place.
    The names of test files below tests/pure/: `examples` of the part, and the `machine` that is led through it."""

    name: str
    file: str
    edits: tuple[tuple[str, str], ...]
    examples: tuple[str, ...]
    machine: str | None = None

    def planted(self) -> str:
        """The file's text with the fault in it. Raises ValueError if it is not the text that it was."""
        text = (PACKAGE / self.file).read_text()
        for before, after in self.edits:
            if text.count(before) != 1:
                raise ValueError(f"{self.name}: {text.count(before)} times in {self.file}: {before!r}")
            text = text.replace(before, after)
        return text


class Tests(TypedDict):
    """Of one part."""

    examples: tuple[str, ...]
    machine: str


SLOTS: Tests = {"examples": ("test_slot_order", "test_slots"), "machine": "test_slots_machine"}
THROTTLES: Tests = {
    "examples": ("test_slot_order", "test_throttling"),
    "machine": "test_slots_machine",
}
STREAM: Tests = {"examples": ("test_stream",), "machine": "test_stream_machine"}
POOL: Tests = {
    "examples": ("test_http_reuse", "test_http_pieces", "test_http_idle", "test_http_exchange"),
    "machine": "test_pool_machine",
}
CREDENTIALS: Tests = {"examples": ("test_credentials",), "machine": "test_credentials_machine"}

OUTBOX: Tests = {"examples": ("test_outbox_deliverer", "test_outbox_scan"), "machine": "test_outbox_machine"}

FAULTS = (
    Fault(
        "a slot is handed to a call that waits no more, and is gone",
        "concurrency/slots.py",
        (
            (
                "        if waiting.let_in.done():\n            self._queue.leave(place)\n        elif left <= 0",
                "        if left <= 0",
            ),
        ),
        **SLOTS,
    ),
    Fault(
        "a call that is cancelled as it is let in keeps its slot",
        "concurrency/slots.py",
        (
            (
                "            if not let_in.cancelled() and let_in.done() and let_in.exception() is None:\n"
                "                self.give_back(let_in.result())\n",
                "",
            ),
        ),
        **SLOTS,
    ),
    Fault(
        "a slot that was given back is given back once more",
        "concurrency/slots.py",
        (
            (
                "            return\n        self._held.remove(slot)",
                "            pass\n        self._held.discard(slot)",
            ),
        ),
        **SLOTS,
    ),
    Fault(
        "a call begins that cannot end in its time",
        "concurrency/slots.py",
        (("elif left <= 0 or not waiting.need.is_met(left, now):", "elif False:"),),
        **SLOTS,
    ),
    Fault(
        "accounts and streams do not take turns",
        "concurrency/fair_queue.py",
        (("                node.party.take_turn()\n", "                pass\n"),),
        **SLOTS,
    ),
    Fault(
        "nothing wakes a function that throttles at its next turn",
        "concurrency/throttles.py",
        (("        self._wake(function, throttle, now, due)\n", ""),),
        **THROTTLES,
    ),
    Fault(
        "a turn of a function that throttles leaves its other calls aside",
        "concurrency/slots.py",
        (
            (
                "        self._queue.take_back(function)\n        self._let_in()\n\n    def _hold",
                "        self._let_in()\n\n    def _hold",
            ),
        ),
        **THROTTLES,
    ),
    Fault(
        "a call that is throttled keeps its slot while it waits",
        "calls/pipeline.py",
        (
            (
                "or call.is_repeated:\n                    raise\n",
                "or call.is_repeated:\n                    raise\n"
                "                await self.waits.rest(call, refusal, attempts)\n",
            ),
            (
                "            if refusal is not None:\n                await self.waits.rest(call, refusal, attempts)\n            else:\n",
                "            if refusal is None:\n",
            ),
        ),
        examples=("test_throttling",),
    ),
    Fault(
        "who finds a free slot passes by those that wait for the pace",
        "concurrency/slots.py",
        (("        if self._throttled and function in self._throttled:\n            return None\n", ""),),
        **THROTTLES,
    ),
    Fault(
        "a refused call counts as one that was taken",
        "concurrency/slots.py",
        (("            start, slot.start = slot.start, None\n", "            start = slot.start\n"),),
        examples=("test_throttling",),
    ),
    Fault(
        "a throttled call comes after those of its stream that came later",
        "concurrency/fair_queue.py",
        (("(-1, again_since, number)", "(number, again_since, number)"),),
        **SLOTS,
    ),
    Fault(
        "a throttled call pays for a second turn",
        "concurrency/fair_queue.py",
        (("= None if place.had_turn else place", "= place"),),
        **SLOTS,
    ),
    Fault(
        "those that wait for a function that is stopped wait for ever",
        "concurrency/slots.py",
        (("                place.item.let_in.set_exception(Shed())\n", "                pass\n"),),
        **THROTTLES,
    ),
    Fault(
        "a call that is safe to repeat keeps its slot while it rests",
        "calls/pipeline.py",
        (
            (
                "call.repeats.pause_after(failure)\n",
                "call.repeats.pause_after(failure)\n                await self.waits.pause(call, pause)\n",
            ),
        ),
        examples=("test_repeats",),
    ),
    Fault(
        "a call in doubt that gets no slot any more does not say so",
        "calls/pipeline.py",
        (("            failure = call.repeats.last(failure)\n", "            pass\n"),),
        examples=("test_repeats",),
    ),
    Fault(
        "a try that was given up shows that a function works again",
        "concurrency/slots.py",
        (("        if is_taken and self._throttled and ", "        if self._throttled and "),),
        examples=("test_throttling",),
    ),
    Fault(
        "what Lambda throttles is sent again before its Retry-After",
        "calls/waits.py",
        (("await self.pause(call, max(asked, pause))", "await self.pause(call, pause)"),),
        examples=("test_throttling",),
    ),
    Fault(
        "what Lambda throttles is sent until its last moment, and has no time for the answer",
        "calls/waits.py",
        (("(call.deadline - call.began)", "(call.deadline - time.monotonic())"),),
        examples=("test_throttling",),
    ),
    Fault(
        "health does not see that calls wait beside free slots",
        "calls/pipeline.py",
        (("        if self.concurrency.is_stuck():", "        if False:"),),
        examples=("test_health_watch",),
    ),
    Fault(
        "a stream is read however many of its calls wait",
        "contract/stream.py",
        (
            (
                "return len(self._calls) >= UNANSWERED_MAX or self._bytes >= UNANSWERED_BYTES_MAX",
                "return False",
            ),
        ),
        **STREAM,
    ),
    Fault(
        "a client that leaves as its answer is written leaves a defect in the log",
        "contract/stream.py",
        (("        if isinstance(error, grpc.aio.BaseError):", "        if False:"),),
        **STREAM,
    ),
    Fault(
        "the end of a connection is the answer of the request before once more",
        "http/connection.py",
        (
            (
                "        self._reusable = True\n",
                "        self._reusable = True\n        self._last: Response | None = None\n",
            ),
            (
                "        if self._exchange is not None:\n            self._exchange.end()\n",
                "        if self._exchange is not None:\n"
                "            if self._last is not None and not self._exchange.response.status:\n"
                "                self._exchange.response, self._exchange.finished = self._last, True\n"
                "            self._exchange.end()\n",
            ),
            (
                "        self._answered.set_result(response)\n",
                "        self._answered.set_result(response)\n        self._last = response\n",
            ),
        ),
        **POOL,
    ),
    Fault(
        "a success counts though the request has not left",
        "http/connection.py",
        (("        if failure is None and self.transport.get_write_buffer_size():", "        if False:"),),
        **POOL,
    ),
    Fault(
        "a connection whose body was left in the middle carries the next request",
        "http/connection.py",
        (
            (
                "            if not exchange.finished or exchange.failure is not None:\n                self.close()\n",
                "",
            ),
        ),
        examples=("test_http_streamed",),
        machine="test_pool_machine",
    ),
    Fault(
        "a body that nobody takes is read on",
        "http/connection.py",
        (("exchange.held > HELD_MAX", "False"),),
        examples=("test_http_streamed",),
    ),
    Fault(
        "a part that is being written ends with its call",
        "contract/stream.py",
        (("await asyncio.shield(self._write_part(part))", "await self._write_part(part)"),),
        examples=("test_stream",),
    ),
    Fault(
        "the events of one piece leave nobody else a turn",
        "aws/response_stream.py",
        (("            await asyncio.sleep(0)\n", ""),),
        examples=("test_response_stream",),
    ),
    Fault(
        "a reset makes an answer of half a body",
        "http/connection.py",
        (("            self._exchange.break_off(error)\n", "            self._exchange.end()\n"),),
        **POOL,
    ),
    Fault(
        "a trailer passes for a header",
        "http/exchange.py",
        (("        if not self._head_complete:  # RFC 9110", "        if True:  # RFC 9110"),),
        **POOL,
    ),
    Fault(
        "a connection is used though its end has come",
        "http/client.py",
        (
            (
                "((just_used and connection.is_open) or connection.is_quiet())",
                "(just_used or connection.is_open)",
            ),
        ),
        **POOL,
    ),
    Fault(
        "the other side's Keep-Alive is not heeded",
        "http/connection.py",
        (("            self._heed(hint)\n", "            pass\n"),),
        **POOL,
    ),
    Fault(
        "a connection that ended as it was made counts as one that may have carried the request",
        "http/client.py",
        (("        if not made.is_open:  # its end", "        if False:  # its end"),),
        **POOL,
    ),
    Fault(
        "a request is sent after its deadline",
        "http/client.py",
        (
            (
                "        if time.monotonic() >= deadline:\n            raise TimeoutError\n        connection =",
                "        connection =",
            ),
            (
                "            if time.monotonic() >= deadline:\n                self._give",
                "            if False:\n                self._give",
            ),
        ),
        **POOL,
    ),
    Fault(
        "a header may be endless",
        "http/exchange.py",
        (("        if self._since_body > HEADERS_MAX:", "        if False:"),),
        examples=("test_http_bounds", "test_http_pieces"),
    ),
    Fault(
        "a name that an older question failed on is forgotten twice",
        "http/name_lookup.py",
        (("        if self._asked.get(key, (None, 0.0))[0] is not asked:\n            return\n", ""),),
        examples=("test_name_lookup",),
    ),
    Fault(
        "any status below 300 is a success",
        "aws/success.py",
        (
            (
                "    if response.status != (expected := SUCCESS[invocation_type]):",
                "    if (expected := SUCCESS[invocation_type]) and response.status >= 300:",
            ),
        ),
        examples=("test_check_success",),
    ),
    Fault(
        "an HTML page is an accepted event",
        "aws/success.py",
        (("    _check_likeness(response, may_be_empty=response.status != 200)\n", ""),),
        examples=("test_check_success",),
    ),
    Fault(
        "a caller that has no more time takes the renewal with it",
        "aws/kept_credentials.py",
        (("await asyncio.shield(fetching)", "await fetching"),),
        **CREDENTIALS,
    ),
    Fault(
        "each call asks again though asking has just failed",
        "aws/kept_credentials.py",
        (
            (
                "        if self._failure is not None and asyncio.get_running_loop()",
                "        if False and asyncio.get_running_loop()",
            ),
        ),
        **CREDENTIALS,
    ),
    Fault(
        "calls wait for a renewal though the old credentials serve",
        "aws/kept_credentials.py",
        (("        if session is not None and now < self._usable_until:", "        if False:"),),
        **CREDENTIALS,
    ),
    Fault(
        "credentials are fetched as often as there are callers",
        "aws/kept_credentials.py",
        (("        if self._fetching is not None:\n            return\n", ""),),
        **CREDENTIALS,
    ),
    Fault(
        "credentials are given out until the moment in which they expire",
        "aws/kept_credentials.py",
        ((" - min(UNUSABLE_SECONDS, left * UNUSABLE_PART)", ""),),
        **CREDENTIALS,
    ),
    Fault(
        "what the credential chain raises is an internal failure",
        "aws/credentials.py",
        (("            raise MissingCredentials(reason) from None", "            raise"),),
        **CREDENTIALS,
    ),
    Fault(
        "a row that was sent is taken back when its slot is free",
        "outbox/sending.py",
        (("and call.phase is not SENT:", "and call.slot is None:"),),
        **OUTBOX,
    ),
    Fault(
        "rows are begun though the lock is lost",
        "outbox/deliverer.py",
        (
            (
                "        return self._candidacy.may_begin and not self._stopping",
                "        return not self._stopping",
            ),
        ),
        **OUTBOX,
    ),
    Fault(
        "a row that waits for a slot is sent though the lease is over by then",
        "calls/pipeline.py",
        (("        if lease is not None and time.monotonic() >= lease():", "        if False:"),),
        examples=("test_outbox_deliverer", "test_call_lease"),
    ),
    Fault(
        "a row is sent though the lease is over when there is a connection",
        "aws/lambda_api.py",
        (("        if invocation.lease is not None:", "        if False:"),),
        examples=("test_call_lease",),
    ),
    Fault(
        "rows are begun as long as some end, however many are not settled",
        "outbox/sending.py",
        (("        while self._may_begin() and not self._is_full():", "        while self._may_begin():"),),
        examples=("test_outbox_deliverer",),
    ),
    Fault(
        "a row that was settled while it was being read is sent again",
        "outbox/held.py",
        ((" and row.id not in self._lately", ""),),
        **OUTBOX,
    ),
    Fault(
        "large texts hold the event loop",
        "calls/pipeline.py",
        (
            (
                "return await self._pacer.run(work) if size > AT_ONCE else at_once(work)",
                "return at_once(work)",
            ),
        ),
        examples=("test_pacer", "test_json_text", "test_slow_calls", "test_invoke_document"),
    ),
    Fault(
        "a request that lay unread begins before a KILL behind it is read",
        "calls/pipeline.py",
        (("                if call.late > LATE_SECONDS:", "                if False:"),),
        examples=("test_deadline", "test_slow_calls"),
    ),
    Fault(
        "what lambda_invoke answers may be no JSON",
        "calls/lambda_invoke.py",
        (("        check(payload)\n    except", "        pass\n    except"),),
        examples=("test_invoke_document",),
    ),
    Fault(
        "rules that have vanished from the file are no more in force",
        "reload.py",
        (("            _refuse_what_vanished(old, wanted)\n", ""),),
        examples=("test_reload_parts",),
    ),
    Fault(
        "a log that nobody reads holds whoever logs",
        "log/writer.py",
        (
            (
                "            self._put(data)\n\n    def flush",
                '            self._write(data + b"\\n")\n\n    def flush',
            ),
        ),
        examples=("test_log_writer",),
    ),
    Fault(
        "other people's text stands raw in the log",
        "log/format.py",
        (("    return text if plain else json.dumps(text)", "    return text"),),
        examples=("test_log_format",),
    ),
    Fault(
        "an error's type may have megabytes",
        "aws/error_document.py",
        (
            ("bytes(whole[: most * _BYTES_PER_BYTE + 1])", "bytes(whole)"),
            ('.encode(errors="replace")[:most]', '.encode(errors="replace")'),
        ),
        examples=("test_documents", "test_invoke_document"),
    ),
    Fault(
        "a deliverer whose connector loses the cancellation never ends",
        "outbox/ending.py",
        (("    while left:", "    if left:"),),
        examples=("test_outbox_ending",),
    ),
    Fault(
        "a connection to MySQL that does not come about keeps its descriptor",
        "outbox/session.py",
        (
            (
                "    except BaseException:\n        await connection.shutdown()\n",
                "    except BaseException:\n",
            ),
        ),
        examples=("test_outbox_connect",),
    ),
    Fault(
        "the event loop waits for a process of the connector's at each connection",
        "outbox/session.py",
        (('        "client_flags": _CLIENT_FLAGS,\n', ""),),
        examples=("test_outbox_connect",),
    ),
    Fault(
        "a connector that fails where locks are looked for ends the settlement",
        "outbox/writer.py",
        (
            (
                "            await self.close()\n        return unknown",
                "            raise\n        return unknown",
            ),
        ),
        examples=("test_outbox_deliverer",),
    ),
    Fault(
        "each look copies all keys that wait for a function's room",
        "outbox/groups.py",
        (("list(itertools.islice(keys, rows))", "list(keys)[:rows]"),),
        examples=("test_outbox_groups",),
    ),
    Fault(
        "ten elections a second while each look is refused",
        "outbox/deliverer.py",
        (
            (
                '                await self._look(session)\n                self._candidacy.becomes("delivers")',
                '                self._candidacy.becomes("delivers")\n                await self._look(session)',
            ),
        ),
        examples=("test_outbox_deliverer",),
    ),
    Fault(
        "events are sent again after each restart where they may not be deleted",
        "outbox/deliverer.py",
        (("        await self._look_at_rights(session)\n", ""),),
        examples=("test_outbox_deliverer",),
    ),
    Fault(
        "a sidecar without memory says that the endpoint speaks no HTTP",
        "http/exchange.py",
        (("if isinstance(error.__context__, MemoryError):", "if False:"),),
        examples=("test_http_exchange",),
    ),
    Fault(
        "a call that is cancelled while it connects is sent",
        "http/client.py",
        (("            with cancellation_kept():\n", "            with contextlib.nullcontext():\n"),),
        examples=("test_connecting_cancelled",),
    ),
    Fault(
        "a callback that is cancelled while it connects is sent",
        "aws/bounded_http.py",
        (("        with cancellation_kept():\n", "        if True:\n"),),
        examples=("test_connecting_cancelled",),
    ),
    Fault(
        "a connection that a late request has taken is young again",
        "http/client.py",
        (
            (
                "        if time.monotonic() >= deadline:\n            raise TimeoutError\n        connection =",
                "        connection =",
            ),
            (
                "            if time.monotonic() >= deadline:\n                self._give(origin, connection)\n                raise TimeoutError\n",
                "        if time.monotonic() >= deadline:\n            self._give(origin, connection)\n            raise TimeoutError\n",
            ),
        ),
        examples=("test_http_reuse",),
    ),
    Fault(
        "a batch forgets that an attempt may have run the function",
        "calls/batch/attempts.py",
        (
            ("            in_doubt |= leaves_open(answer)\n", "            in_doubt = leaves_open(answer)\n"),
            ("            answer = answer.perhaps_done()\n", "            pass\n"),
        ),
        examples=("test_batch_doubt",),
    ),
    Fault(
        "who waits for a slot when its function begins to throttle has no time for that answer",
        "calls/waits.py",
        (("                turn.reschedule(loop.time())\n", "                pass\n"),),
        examples=("test_throttling",),
    ),
    Fault(
        "an event that has no slot in time dies of it",
        "outbox/verdict.py",
        (("isinstance(failure, Throttled | CallTimeout)", "isinstance(failure, Throttled)"),),
        examples=("test_outbox_unsent",),
    ),
)

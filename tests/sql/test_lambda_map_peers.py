"""lambda_map against what listens on the socket: answers in any order, restarts, broken and hostile peers. The host
program runs under sanitizers, and fails on a leak.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.support.contract_server import Echo, each, serve
from tests.support.host_program import (
    ER_QUERY_INTERRUPTED,
    ER_QUERY_TIMEOUT,
    ER_UDF_ERROR,
    ME_FATALERROR,
    QUERY_KILLED,
    QUERY_TIMEOUT,
    VIO_SOCKET,
    Answer,
    Concat,
    Host,
    build,
)
from tests.support.hostile_peer import DATA, Connection, Peer, Script, data, message, result, trailers
from tests.support.waiting import wait_until

from lambda_udf.v1.invoker_pb2 import (
    ANSWER_FORM_JSON,
    ERROR_KIND_API,
    ERROR_KIND_INTERNAL,
    ERROR_KIND_TIMEOUT,
    InvokeError,
    InvokeRequest,
    InvokeResponse,
    InvokeResult,
)
from lambda_udf.v1.invoker_pb2_grpc import LambdaInvokerServicer

TIMEOUT_MS = 3000
# A KILL is seen within 100 ms; the rest is for a machine that does other things as well.
KILL_MS = 100 + 100
NUMBERS = Concat("")
CARRIED_OUT = "the call was under way and may have been carried out"


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    build()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "peer.sock"


def options(**given: object) -> str:
    return json.dumps({"function": "f", **given})


def failed(answer: Answer) -> str:
    assert (answer.outcome, answer.errno) == ("error", ER_UDF_ERROR), answer
    return answer.message.removeprefix("lambda_map|")


def values(answer: Answer) -> list[object]:
    """Of a result that the host program shows whole."""
    assert answer.outcome == "ok", answer
    found: list[object] = json.loads(answer.text)
    return found


class Shuffled(LambdaInvokerServicer):
    """Takes all `rows` before it answers the first, in an order of its own, and with sizes of its own."""

    def __init__(self, rows: int, seed: int) -> None:
        self._rows = rows
        self._random = random.Random(seed)  # noqa: S311  the same order each time

    def Invoke(
        self, request_iterator: Iterator[InvokeRequest], context: grpc.ServicerContext
    ) -> Iterator[InvokeResponse]:
        context.send_initial_metadata(())
        taken = each(request_iterator)
        requests = [next(taken) for _ in range(self._rows)]
        self._random.shuffle(requests)
        for request in requests:
            filler = b" " * self._random.randrange(3)
            answer = InvokeResult(status_code=200, payload=filler + request.payload)
            yield InvokeResponse(call_id=request.call_id, result=answer)


@pytest.mark.parametrize("seed", range(5))
def test_answers_in_any_order_stand_in_the_order_of_the_rows(path: Path, seed: int) -> None:
    with serve(Shuffled(90, seed), path), Host(path) as host:
        assert values(host.map("f", NUMBERS, count=90)) == list(range(1, 91))


def test_rows_are_sent_while_others_are_read_and_no_more_than_the_width_are_under_way(
    path: Path,
) -> None:
    def script(peer: Connection) -> None:
        peer.open()
        waiting: list[int] = []
        for _ in range(20):
            waiting.append(peer.read_request().call_id)
            if len(waiting) == 4:
                assert peer.has_no_more()
                peer.send(good(waiting.pop(2)))
        peer.send(*map(good, waiting))
        peer.hold()

    with Peer(path, script), Host(path) as host:
        assert values(host.map(options(concurrency=4), NUMBERS, count=20)) == list(range(1, 21))


def test_the_request_says_what_the_options_said_and_asks_for_json(path: Path) -> None:
    asked: list[InvokeRequest] = []

    def script(peer: Connection) -> None:
        peer.open()
        asked.append(peer.read_request())
        peer.send(data(message(result(1, b""))))
        peer.hold()

    given = {"qualifier": "q", "region": "r", "role": "o", "tenant_id": "t", "timeout_ms": 700}
    with Peer(path, script), Host(path, timeout_ms=TIMEOUT_MS) as host:
        assert host.map(options(**given), NUMBERS, count=1).text == b"[null]"
    (request,) = asked
    assert (request.function, request.payload, request.answer_form) == ("f", b"1", ANSWER_FORM_JSON)
    assert (request.qualifier, request.region, request.role, request.tenant_id) == ("q", "r", "o", "t")
    assert 0 < request.timeout_ms <= 700


def test_thousands_of_calls_leave_no_leak_and_no_open_descriptor(path: Path) -> None:
    with serve(Echo(), path), Host(path) as host:
        for _ in range(10):
            assert host.map("Echo", NUMBERS, count=500).outcome == "ok"
        assert host.map("Echo", NUMBERS, count=0).text == b"[]"


def test_equal_rows_invoke_once_also_those_under_way(path: Path) -> None:
    servicer = Echo()
    with serve(servicer, path), Host(path) as host:
        answer = host.map(options(distinct=True), '"same"', count=300)
        assert answer.text.startswith(b'["same", "same"')
        assert answer.length == 300 * len('"same", ')
    assert servicer.payloads == [b'"same"']


# ---- failures of calls ----


def opens_and_holds(peer: Connection) -> None:
    peer.open()
    peer.hold()


def error(call_id: int, kind: int, text: str = "why") -> bytes:
    failure = InvokeError(kind=kind, message=text)  # type: ignore[arg-type]  # a number of the enumeration
    return data(message(InvokeResponse(call_id=call_id, error=failure).SerializeToString()))


def raised(call_id: int) -> bytes:
    answer = InvokeResult(
        status_code=200,
        function_error="Unhandled",
        function_error_text='Unhandled: E: "boom"',
        payload=b'{"errorType": "E"}',
    )
    return data(message(InvokeResponse(call_id=call_id, result=answer).SerializeToString()))


def answers(*chunks: bytes) -> Script:
    """A peer that reads as many requests as it gives answers, and then gives them."""

    def script(peer: Connection) -> None:
        peer.open()
        for _ in chunks:
            peer.read_request()
        peer.send(*chunks)
        peer.hold()

    return script


def good(call_id: int) -> bytes:
    return data(message(result(call_id, b"%d" % call_id)))


def test_the_first_failure_names_its_row_and_ends_everything(path: Path) -> None:
    cancelled = threading.Event()

    def script(peer: Connection) -> None:
        answers(good(2), error(3, ERROR_KIND_API), good(1))(peer)

    def watching(peer: Connection) -> None:
        try:
            script(peer)
        finally:
            cancelled.set()

    with Peer(path, watching), Host(path) as host:
        assert failed(host.map("f", NUMBERS, count=3)) == "row 3: why"
        wait_until(cancelled.is_set, what="the end of the connection")


def test_a_function_that_raised_names_its_row(path: Path) -> None:
    with Peer(path, answers(good(1), raised(2))), Host(path) as host:
        assert failed(host.map("f", NUMBERS, count=2)) == 'row 2: Lambda function error: Unhandled: E: "boom"'


def test_with_function_error_return_each_failing_row_holds_its_error_and_the_others_go_on(path: Path) -> None:
    script = answers(error(1, ERROR_KIND_API), good(2), raised(3), error(4, ERROR_KIND_TIMEOUT))
    with Peer(path, script), Host(path) as host:
        found = values(host.map(options(function_error="return", timeout_ms=900), NUMBERS, count=4))
    message_of_function = 'Lambda function error: Unhandled: E: "boom"'
    assert found == [
        {"error": {"kind": "api", "message": "why"}},
        2,
        {"error": {"kind": "function", "message": message_of_function, "document": {"errorType": "E"}}},
        {"error": {"kind": "timeout", "message": "timed out after 900 ms"}},
    ]


def test_a_row_that_times_out_holds_its_error_though_the_peer_says_nothing_and_a_late_answer_is_dropped(
    path: Path,
) -> None:
    def script(peer: Connection) -> None:
        peer.open()
        peer.read_request()
        second = peer.read_request()  # which comes when the first has timed out
        peer.send(good(1), good(second.call_id))
        peer.hold()

    given = options(function_error="return", timeout_ms=300, concurrency=1)
    with Peer(path, script), Host(path) as host:
        assert values(host.map(given, NUMBERS, count=2)) == [
            {"error": {"kind": "timeout", "message": "timed out after 300 ms"}},
            2,
        ]


def test_a_defect_of_the_sidecar_ends_the_statement_in_any_case(path: Path) -> None:
    script = answers(good(1), error(2, ERROR_KIND_INTERNAL, "broken"))
    with Peer(path, script), Host(path) as host:
        assert failed(host.map(options(function_error="return"), NUMBERS, count=2)) == "row 2: broken"


def test_a_row_that_cannot_be_begun_in_its_time_fails_the_statement_and_is_named(path: Path) -> None:
    """Nobody can tell that the next one could be."""

    def accepts_and_holds(peer: Connection) -> None:
        peer.hold()

    with Peer(path, accepts_and_holds), Host(path) as host:
        answer = host.map(options(function_error="return", timeout_ms=200), NUMBERS, count=3)
        assert failed(answer) == "row 1: timed out after 200 ms"


def test_the_deadline_of_the_earliest_call_ends_the_wait(path: Path) -> None:
    with Peer(path, opens_and_holds), Host(path) as host:
        answer = host.map(options(timeout_ms=400), NUMBERS, count=3)
        assert failed(answer) == "row 1: timed out after 400 ms"
        assert 400 <= answer.milliseconds <= 400 + KILL_MS


def test_no_sidecar_is_the_first_rows_failure(path: Path) -> None:
    with Host(path, connect_timeout_ms=100) as host:
        expected = f"row 1: sidecar unavailable: {path}: No such file or directory"
        assert failed(host.map("f", NUMBERS, count=3)) == expected
        assert failed(host.map(options(function_error="return"), NUMBERS, count=3)) == expected


# ---- KILL, max_execution_time, the end of the client ----

ENDS = [(QUERY_KILLED, ER_QUERY_INTERRUPTED), (QUERY_TIMEOUT, ER_QUERY_TIMEOUT)]


@pytest.mark.parametrize(("status", "errno"), ENDS)
@pytest.mark.parametrize("concurrency", [2, 100], ids=["while adding", "while waiting"])
def test_a_kill_ends_it_and_cancels_what_is_under_way(
    path: Path, concurrency: int, status: int, errno: int
) -> None:
    cancelled = threading.Event()

    def script(peer: Connection) -> None:
        try:
            peer.open()
            peer.hold()
        finally:
            cancelled.set()

    with Peer(path, script), Host(path) as host:
        host.interrupt(status, 200)
        answer = host.map(options(concurrency=concurrency, function_error="return"), NUMBERS, count=20)
        assert (answer.outcome, answer.errno, answer.flags) == ("error", errno, ME_FATALERROR)
        assert 200 <= answer.milliseconds <= 200 + KILL_MS
        wait_until(cancelled.is_set, what="the end of the connection")


def test_a_client_that_goes_ends_it(path: Path) -> None:
    with Peer(path, opens_and_holds), Host(path) as host:
        host.client(VIO_SOCKET, 200, "close")
        answer = host.map("f", NUMBERS, count=20)
        assert failed(answer) == "the client has gone away"
        assert answer.flags == ME_FATALERROR
        assert 200 <= answer.milliseconds <= 200 + KILL_MS


def test_a_killed_session_invokes_nothing(path: Path) -> None:
    with serve(servicer := Echo(), path), Host(path) as host:
        host.interrupt(QUERY_KILLED, 0)
        assert host.map("f", NUMBERS, count=3).errno == ER_QUERY_INTERRUPTED
    assert servicer.payloads == []


# ---- a sidecar that stops in the middle ----


class Stopping(LambdaInvokerServicer):
    """Its first stream takes so many requests, answers the odd ones and says that it is stopping; those after it
    echo."""

    def __init__(self, taken: int, *, answers_all: bool) -> None:
        self._taken = taken
        self._answers_all = answers_all
        self.streams: list[list[bytes]] = []

    def Invoke(
        self, request_iterator: Iterator[InvokeRequest], context: grpc.ServicerContext
    ) -> Iterator[InvokeResponse]:
        context.send_initial_metadata(())
        payloads: list[bytes] = []
        self.streams.append(payloads)
        for request in each(request_iterator):
            payloads.append(request.payload)
            if self._answers_all or request.call_id % 2 == 1 or len(self.streams) > 1:
                answer = InvokeResult(status_code=200, payload=request.payload)
                yield InvokeResponse(call_id=request.call_id, result=answer)
            if len(self.streams) == 1 and len(payloads) == self._taken:
                context.set_trailing_metadata((("lambda-udf-last-call-id", str(self._taken)),))
                context.set_code(grpc.StatusCode.UNAVAILABLE)
                return


def test_rows_that_a_stopping_sidecar_never_took_are_sent_again_and_only_those(path: Path) -> None:
    servicer = Stopping(6, answers_all=True)
    with serve(servicer, path), Host(path) as host:
        assert values(host.map("f", NUMBERS, count=20)) == list(range(1, 21))
    first, *others = servicer.streams
    assert len(first) == 6
    assert sorted(int(payload) for stream in others for payload in stream) == list(range(7, 21))


def test_a_row_that_may_have_been_carried_out_fails_the_statement_as_with_lambda_sync(path: Path) -> None:
    servicer = Stopping(3, answers_all=False)
    with serve(servicer, path), Host(path) as host:
        text = failed(host.map(options(function_error="return"), NUMBERS, count=20))
    assert text == f"row 2: sidecar unavailable: {path}: the sidecar is stopping; {CARRIED_OUT}"
    assert len(servicer.streams) == 1


def test_a_sidecar_that_takes_nothing_again_and_again_is_given_up(path: Path) -> None:
    def script(peer: Connection) -> None:
        peer.open()
        peer.read_request()
        peer.send(trailers("14", ("lambda-udf-last-call-id", "0")))
        peer.hold()

    with Peer(path, script) as peer, Host(path) as host:
        assert failed(host.map("f", NUMBERS, count=3)) == (
            f"row 1: sidecar unavailable: {path}: the sidecar is stopping"
        )
        assert peer.connections == 5


# ---- peers that lie ----

LIES = {
    "to no call": good(9),
    "to call 0": good(0),
    "to call 2^64-1": data(message(result(2**64 - 1))),
    "twice": good(2),
    "with garbage": data(message(b"\xff\xff\xff")),
    "with nothing": data(message(b"")),
    "compressed": data(message(b"x", flag=1)),
    "with 4 GB": data(message(b"x", length=2**32 - 1)),
}


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_an_answer_that_cannot_be_fails_the_statement(path: Path, lie: str) -> None:
    def script(peer: Connection) -> None:
        peer.open()
        for _ in range(3):
            peer.read_request()
        peer.send(good(2), LIES[lie])
        peer.hold()

    with Peer(path, script), Host(path, timeout_ms=TIMEOUT_MS) as host:
        assert "sidecar unavailable: " in (text := failed(host.map("f", NUMBERS, count=3))), text
        assert "malformed answer" in text, text


def test_answers_behind_the_last_that_is_owed_are_not_read_and_their_channel_is_not_used_again(
    path: Path,
) -> None:
    def script(peer: Connection) -> None:
        peer.open()
        for _ in range(3):
            peer.read_request()
        peer.send(*(good(n) for n in (3, 1, 2, 4, 5, 6)))
        peer.hold()

    with Peer(path, script) as peer, Host(path, timeout_ms=TIMEOUT_MS) as host:
        assert values(host.map("f", NUMBERS, count=3)) == [1, 2, 3]
        assert values(host.map("f", NUMBERS, count=3)) == [1, 2, 3]
        assert peer.connections == 2


WINDOW = 65_535  # of DATA on a stream before the first WINDOW_UPDATE, RFC 9113 section 6.9.2


@pytest.mark.parametrize("count", range(66, 78, 4))
def test_answers_to_rows_that_have_not_reached_the_peer_and_its_end_do_not_shake_the_library(
    path: Path, count: int
) -> None:
    """The last rows are held back for each other, and then stick halfway: no call is left to wait for. Where a row
    comes so late that it is not held, its answer is one to nothing, and it goes to another connection."""
    rows = Concat('"' + "x" * 960, '"')
    begun: list[Connection] = []

    def script(peer: Connection) -> None:
        peer.open()
        begun.append(peer)
        came = 0
        while len(begun) == 1 and came < WINDOW:
            kind, _, _, payload = peer.read_frame()
            came += len(payload) if kind == DATA else 0
        if len(begun) == 1:
            peer.send(*(good(n) for n in range(1, count + 1)))
            return
        while True:
            late = peer.read_request()
            row = late.payload.strip(b'"x')
            peer.send(data(message(result(late.call_id, row))))

    with Peer(path, script), Host(path, timeout_ms=TIMEOUT_MS) as host:
        given = options(concurrency=1000)
        assert values(host.map(given, rows, count=count)) == list(range(1, count + 1))


def test_a_flood_of_answers_ends_the_statement(path: Path) -> None:
    def script(peer: Connection) -> None:
        peer.open()
        peer.read_request()
        peer.flood(good(7) * 100)

    with Peer(path, script), Host(path, timeout_ms=TIMEOUT_MS) as host:
        assert "malformed answer" in failed(host.map("f", NUMBERS, count=50))


def test_a_peer_that_reads_nothing_ends_it_at_the_deadline(path: Path) -> None:
    def script(peer: Connection) -> None:
        peer.open()
        peer.hold_unread()

    with Peer(path, script), Host(path) as host:
        answer = host.map(options(timeout_ms=600, concurrency=1000), Concat('"', '"', 2000), count=900)
        assert failed(answer).endswith("timed out after 600 ms")
        assert answer.milliseconds <= 600 + 1000


def test_requests_and_answers_that_fill_both_directions_do_not_wait_for_each_other(path: Path) -> None:
    """Megabytes go both ways at once, over a socket that holds some hundred KB."""
    with serve(servicer := Echo(), path), Host(path, timeout_ms=60_000) as host:
        answer = host.map(options(concurrency=100), Concat('"', '"', 20_000), count=60)
        assert answer.outcome == "ok", answer
    assert len(servicer.payloads) == 60
    assert answer.length == sum(len(payload) + 2 for payload in servicer.payloads)


def test_a_session_without_a_name_may_not_invoke(path: Path) -> None:
    with serve(servicer := Echo(), path), Host(path) as host:
        host.command("super", "0")
        assert host.map("f", NUMBERS, count=2).errno == 1227
    assert servicer.payloads == []

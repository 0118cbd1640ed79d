"""lambda_batch against what listens on the socket: what it sends, restarts, broken and hostile peers. The host program
runs under sanitizers, and fails on a leak.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from tests.support.contract_server import Echo, each, serve
from tests.support.host_program import ER_QUERY_INTERRUPTED, QUERY_KILLED, Answer, Concat, Host, build

from lambda_udf.v1 import invoker_pb2
from lambda_udf.v1.invoker_pb2 import InvokeError, InvokeRequest, InvokeResponse, InvokeResult
from lambda_udf.v1.invoker_pb2_grpc import LambdaInvokerServicer

NUMBERS = Concat("")
Reply = Callable[[InvokeRequest], InvokeResult | InvokeError]


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    build()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "peer.sock"


class Replying(LambdaInvokerServicer):
    """Answers each request as `reply` says, and keeps it."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.requests: list[InvokeRequest] = []

    def Invoke(
        self, request_iterator: Iterator[InvokeRequest], context: grpc.ServicerContext
    ) -> Iterator[InvokeResponse]:
        context.send_initial_metadata(())
        for request in each(request_iterator):
            self.requests.append(request)
            reply = self._reply(request)
            if isinstance(reply, InvokeError):
                yield InvokeResponse(call_id=request.call_id, error=reply)
            else:
                yield InvokeResponse(call_id=request.call_id, result=reply)


class Stopping(LambdaInvokerServicer):
    """Its first stream takes two requests and ends; the others go on."""

    def __init__(self) -> None:
        self.streams: list[list[int]] = []

    def Invoke(
        self, request_iterator: Iterator[InvokeRequest], context: grpc.ServicerContext
    ) -> Iterator[InvokeResponse]:
        context.send_initial_metadata(())
        taken: list[int] = []
        self.streams.append(taken)
        first = len(self.streams) == 1
        for request in each(request_iterator):
            taken.append(request.batch.number)
            yield InvokeResponse(call_id=request.call_id, result=InvokeResult(payload=request.payload))
            if first and len(taken) == 2:
                context.set_trailing_metadata((("lambda-udf-last-call-id", "2"),))
                context.set_code(grpc.StatusCode.UNAVAILABLE)
                return


def rows_of(request: InvokeRequest) -> InvokeResult:
    return InvokeResult(status_code=200, payload=request.payload)


def options(**given: object) -> str:
    return json.dumps({"function": "f", **given})


def values(answer: Answer) -> list[object]:
    assert answer.outcome == "ok", answer
    found: list[object] = json.loads(answer.text)
    return found


def failed(answer: Answer) -> str:
    assert answer.outcome == "error", answer
    return answer.message.removeprefix("lambda_batch|")


def test_a_request_says_everything_about_its_batch(path: Path) -> None:
    servicer = Replying(rows_of)
    given = options(
        batch_rows=2, retry_service_errors=True, qualifier="live", region="eu-west-1", tenant_id="t"
    )
    with serve(servicer, path), Host(path) as host:
        assert values(host.batch(given, NUMBERS, count=3)) == [["1"], ["2"], ["3"]]
    first, second = servicer.requests
    assert (first.payload, second.payload) == (b'["1"],["2"]', b'["3"]')
    assert [request.batch.rows for request in servicer.requests] == [2, 1]
    assert [request.batch.number for request in servicer.requests] == [0, 1]
    assert first.batch.query_id == second.batch.query_id
    assert uuid.UUID(first.batch.query_id).version == 4
    assert first.batch.signature == "(a1 VARCHAR)"
    assert first.batch.contract == invoker_pb2.BATCH_CONTRACT_REDSHIFT
    assert first.batch.retry_service_errors
    assert first.answer_form == invoker_pb2.ANSWER_FORM_JSON
    assert first.invocation_type == invoker_pb2.INVOCATION_TYPE_ROW
    assert (first.function, first.qualifier, first.region, first.tenant_id) == ("f", "live", "eu-west-1", "t")


@pytest.mark.parametrize(
    ("contract", "number", "payload"),
    [
        ("redshift", invoker_pb2.BATCH_CONTRACT_REDSHIFT, b'["1"],["2"]'),
        ("snowflake", invoker_pb2.BATCH_CONTRACT_SNOWFLAKE, b'[0,"1"],[1,"2"]'),
        ("bigquery", invoker_pb2.BATCH_CONTRACT_BIGQUERY, b'["1"],["2"]'),
    ],
)
def test_each_contract_has_its_number_and_snowflakes_rows_have_theirs(
    path: Path, contract: str, number: int, payload: bytes
) -> None:
    servicer = Replying(rows_of)
    with serve(servicer, path), Host(path) as host:
        values(host.batch(options(contract=contract, batch_rows=2), NUMBERS, count=4))
    assert [request.batch.contract for request in servicer.requests] == [number, number]
    assert servicer.requests[0].payload == payload
    assert servicer.requests[1].payload.startswith(payload[:4].replace(b"1", b"3"))


def test_two_statements_have_two_query_ids(path: Path) -> None:
    servicer = Replying(rows_of)
    with serve(servicer, path), Host(path) as host:
        host.batch("f", NUMBERS, count=1)
        host.batch("f", NUMBERS, count=1)
    first, second = servicer.requests
    assert first.batch.query_id != second.batch.query_id


def test_batches_that_a_stopping_sidecar_never_took_are_sent_again_and_only_those(path: Path) -> None:
    servicer = Stopping()
    with serve(servicer, path), Host(path) as host:
        found = values(host.batch(options(batch_rows=3), NUMBERS, count=30))
    assert found == [[str(number)] for number in range(1, 31)]
    first, *others = servicer.streams
    assert first == [0, 1]
    assert sorted(number for stream in others for number in stream) == list(range(2, 10))


def test_a_thousand_batches_leave_no_leak_and_no_open_descriptor(path: Path) -> None:
    with serve(Echo(), path), Host(path) as host:
        for _ in range(10):
            assert host.batch(options(batch_rows=5), NUMBERS, count=500).outcome == "ok"
        assert host.batch("f", NUMBERS, count=0).text == b"[]"


@pytest.mark.parametrize("payload", [b"", b"\xff\x00", b"]]]", b"[" * 5000, b"1, 2, 3, 4, 5"])
def test_whatever_a_peer_gives_for_results_stays_its_own(path: Path, payload: bytes) -> None:
    """The sidecar has counted and checked them; another peer's are passed on as lambda_sync passes them on."""
    with serve(Replying(lambda _: InvokeResult(status_code=200, payload=payload)), path), Host(path) as host:
        answer = host.batch("f", NUMBERS, count=2)
    assert answer.outcome == "ok"
    assert answer.length == len(payload) + 2


def test_a_failure_names_its_rows_and_frees_all_that_is_under_way(path: Path) -> None:
    def reply(request: InvokeRequest) -> InvokeResult | InvokeError:
        if request.batch.number == 2:
            return InvokeError(kind=invoker_pb2.ERROR_KIND_API, message="why")
        return rows_of(request)

    with serve(Replying(reply), path), Host(path) as host:
        for _ in range(20):
            answer = host.batch(options(batch_rows=10, concurrency=50), NUMBERS, count=400)
            assert failed(answer) == "rows 21 to 30: why"
        given = options(batch_rows=3, function_error="return")
        found = values(host.batch(given, NUMBERS, count=10))
    error = {"error": {"kind": "api", "message": "why"}}
    assert found[5:] == [["6"], error, error, error, ["10"]]


def test_a_function_that_failed_leaves_its_words_in_each_of_its_rows(path: Path) -> None:
    def reply(request: InvokeRequest) -> InvokeResult:
        text = 'Handled: "bad"'
        return InvokeResult(
            status_code=200, function_error="Handled", function_error_text=text, payload=b"{}"
        )

    with serve(Replying(reply), path), Host(path) as host:
        found = values(host.batch(options(function_error="return"), NUMBERS, count=2))
        text = failed(host.batch("f", NUMBERS, count=2))
    assert found == [{"error": {"kind": "function", "message": 'Lambda function error: Handled: "bad"'}}] * 2
    assert text == 'rows 1 to 2: Lambda function error: Handled: "bad"'


@pytest.mark.parametrize("count", [1, 5])
def test_rows_that_are_refused_hold_their_error_and_nothing_is_sent(path: Path, count: int) -> None:
    servicer = Replying(rows_of)
    bad = Concat("\udcff")
    with serve(servicer, path), Host(path) as host:
        text = failed(host.batch("f", bad, count=count))
        found = values(host.batch(options(function_error="return"), bad, count=count))
    assert text == "row 1: column 1 is not UTF-8"
    assert found == [{"error": {"kind": "argument", "message": "column 1 is not UTF-8"}}] * count
    assert servicer.requests == []


def test_a_kill_while_it_waits_is_seen_at_once_and_frees_everything(path: Path) -> None:
    class Silent(LambdaInvokerServicer):
        def Invoke(
            self, request_iterator: Iterator[InvokeRequest], context: grpc.ServicerContext
        ) -> Iterator[InvokeResponse]:
            context.send_initial_metadata(())
            yield from ()
            for _ in each(request_iterator):
                pass

    with serve(Silent(), path), Host(path) as host:
        host.interrupt(QUERY_KILLED, 100)
        answer = host.batch(options(batch_rows=2, concurrency=3), NUMBERS, count=100)
    assert (answer.outcome, answer.errno) == ("error", ER_QUERY_INTERRUPTED)
    assert answer.milliseconds < 100 + 200

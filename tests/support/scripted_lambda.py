"""A Lambda endpoint for the outbox: it records what arrives, in order, and answers each function as a test scripts it.

Real sockets, on an event loop in a thread of its own; knows nothing of the sidecar or of tables."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.http_answerer import HttpConnection, http_answerer

# Lambda API reference, Invoke, StatusCode.
_SUCCESS = {"RequestResponse": 200, "Event": 202, "DryRun": 204}
_FUNCTION = re.compile(r"/functions/(?:arn:[^/]*:function:)?([^/:]+)(?::[^/]*)?/invocations")
# Region of a signature: AWS4-HMAC-SHA256 Credential=KEY/20260101/REGION/lambda/aws4_request, …
_REGION = re.compile(r"Credential=[^/]+/\d+/([^/]+)/")


@dataclass(frozen=True)
class Arrival:
    """One request: each attempt is one."""

    function: str
    """Its bare name."""
    payload: bytes
    headers: dict[str, str]
    """Names in lower case."""
    query: str
    at: float
    """On time.monotonic()'s clock."""

    @property
    def invocation_type(self) -> str:
        return self.headers["x-amz-invocation-type"]

    @property
    def region(self) -> str:
        found = _REGION.search(self.headers["authorization"])
        assert found is not None
        return found[1]

    @property
    def access_key(self) -> str:
        return self.headers["authorization"].partition("Credential=")[2].partition("/")[0]

    @property
    def qualifier(self) -> str | None:
        return parse_qs(self.query).get("Qualifier", [None])[0]


class Gate:
    """Answers wait behind it until it is opened; it stays open then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Callable[[], object]] = []
        self._open = False

    def open(self) -> None:
        with self._lock:
            self._open = True
            waiting, self._waiting = self._waiting, []
        for each in waiting:
            each()

    def pass_by(self, then: Callable[[], object]) -> None:
        """Calls `then` now, or in the thread that opens the gate."""
        with self._lock:
            if not self._open:
                self._waiting.append(then)
                return
        then()


@dataclass(frozen=True)
class Answer:
    """`status` None: the success of the invocation type. `behind`: it waits for that gate. `hang_up`: the connection
    is closed instead."""

    status: int | None = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    behind: Gate | None = None
    hang_up: bool = False


ACCEPTED = Answer()
FAILED = Answer(500, b'{"message": "scripted failure"}', {"x-amzn-errortype": "ServiceException"})
NOT_FOUND = Answer(404, b'{"Message": "no such function"}', {"x-amzn-errortype": "ResourceNotFoundException"})
HANG_UP = Answer(hang_up=True)


def throttled(retry_after: int | None = None) -> Answer:
    """As Lambda does when a function's concurrency is used up."""
    headers = {"x-amzn-errortype": "TooManyRequestsException"}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return Answer(
        429, b'{"Reason": "ConcurrentInvocationLimitExceeded", "message": "Rate Exceeded."}', headers
    )


def answering(body: bytes, *, function_error: str = "", version: str = "7") -> Answer:
    """A function's own answer."""
    headers = {"x-amz-executed-version": version}
    if function_error:
        headers["x-amz-function-error"] = function_error
    return Answer(200, body, headers)


Script = Callable[[Arrival], Answer]


class ScriptedLambda:
    """Answers ACCEPTED to every function that `script` or `answer` has not named."""

    def __init__(self) -> None:
        self.url = ""
        self.arrivals: list[Arrival] = []
        self.under_way: Counter[str] = Counter()
        """Requests by function that have no answer yet."""
        self.most_under_way: Counter[str] = Counter()
        self.executions: Counter[str] = Counter()
        """By X-Amz-Durable-Execution-Name: Lambda starts one execution of a name, however often it is asked."""
        self._scripts: dict[str, Script] = {}
        self._lock = threading.Lock()

    def script(self, function: str, script: Script) -> None:
        """`script` decides each answer of that function; it runs on the endpoint's event loop."""
        self._scripts[function] = script

    def answer(self, function: str, *answers: Answer) -> None:
        """These in turn, the last one for ever."""
        left = list(answers)
        self.script(function, lambda _arrival: left.pop(0) if len(left) > 1 else left[0])

    def of(self, function: str) -> list[Arrival]:
        """In order of arrival."""
        return [arrival for arrival in list(self.arrivals) if arrival.function == function]

    def payloads(self, function: str) -> list[bytes]:
        return [arrival.payload for arrival in self.of(function)]

    def receive(self, arrival: Arrival) -> Answer:
        with self._lock:
            self.arrivals.append(arrival)
            self.under_way[arrival.function] += 1
            most = max(self.most_under_way[arrival.function], self.under_way[arrival.function])
            self.most_under_way[arrival.function] = most
        script = self._scripts.get(arrival.function)
        answer = ACCEPTED if script is None else script(arrival)
        name = arrival.headers.get("x-amz-durable-execution-name")
        if name is not None and not answer.hang_up and (answer.status or 200) < 300:
            self.executions[name] += 1
        return answer

    def answered(self, arrival: Arrival) -> None:
        with self._lock:
            self.under_way[arrival.function] -= 1


class _Connection(HttpConnection):
    def __init__(self, endpoint: ScriptedLambda) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()

    def received(self, target: str, headers: dict[str, str], body: bytes) -> None:
        url = urlsplit(target)
        found = _FUNCTION.search(unquote(url.path))
        assert found is not None, target
        arrival = Arrival(found[1], body, headers, url.query, time.monotonic())
        answer = self._endpoint.receive(arrival)
        if answer.behind is None:
            self._reply(arrival, answer)
        else:
            reply = functools.partial(self._reply, arrival, answer)
            answer.behind.pass_by(functools.partial(self._loop.call_soon_threadsafe, reply))

    def _reply(self, arrival: Arrival, answer: Answer) -> None:
        self._endpoint.answered(arrival)
        if answer.hang_up:
            self.hang_up()
            return
        status = answer.status or _SUCCESS[arrival.invocation_type]
        body = answer.body
        if answer.status is None and status == 200:
            body = b"null"
        headers = {"x-amzn-requestid": str(uuid.uuid4()), "content-length": str(len(body)), **answer.headers}
        if status == 204:
            del headers["content-length"]
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.write(f"HTTP/1.1 {status} Scripted\r\n{head}\r\n".encode() + body)


@contextlib.contextmanager
def scripted_lambda() -> Iterator[ScriptedLambda]:
    """Serves on a free loopback port."""
    endpoint = ScriptedLambda()
    with http_answerer(lambda: _Connection(endpoint)) as endpoint.url:
        yield endpoint


def held(answer: Answer, gate: Gate) -> Answer:
    """The same answer, once the gate is open."""
    return dataclasses.replace(answer, behind=gate)

"""A Lambda that keeps a book: which event it took, when, from which sidecar, and what it started.

Real sockets, its own thread; knows HTTP and the Invoke operation's headers, nothing of the outbox."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from tests.support.http_answerer import HttpConnection, http_answerer

# In an event of lambda_batch a row's object may be a string.
_EVENT = re.compile(rb'\\?"event\\?"\s*:\s*\\?"([^"\\]+)')
_PATH = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
_SIDECAR = re.compile(r"Credential=([^/]+)/")


@dataclass(frozen=True, slots=True)
class Request:
    """`events` are the payload's own ids, of which only lambda_batch sends several; `sidecar` the access key that
    signed, another for each process."""

    events: tuple[str, ...]
    function: str
    sidecar: str
    body: bytes
    durable_name: str
    invocation_type: str

    @property
    def event(self) -> str:
        return self.events[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """After `seconds`. `hangs_up`: the connection is closed instead. `takes` is whether the event counts as
    accepted, which a Lambda may do whose answer is never heard."""

    status: int = 202
    seconds: float = 0.0
    headers: str = ""
    hangs_up: bool = False
    takes: bool = True


TAKEN = Answer()
THROTTLED = Answer(
    429, headers="x-amzn-ErrorType: TooManyRequestsException\r\nRetry-After: 1\r\n", takes=False
)
FAILED = Answer(500, headers="x-amzn-ErrorType: ServiceException\r\n", takes=False)
HANGS_UP = Answer(hangs_up=True, takes=False)
TAKES_AND_HANGS_UP = Answer(hangs_up=True)

Policy = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class Accepted:
    """One event that was taken; `moment` is time.monotonic()."""

    event: str
    function: str
    sidecar: str
    moment: float
    was_heard: bool
    """Whether the answer was written; not that it was read."""


class Endpoint:
    """What was accepted, in its order. Read from any thread."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.url = ""
        self.accepted: list[Accepted] = []
        self.bodies: dict[str, set[bytes]] = {}
        self.refused: Counter[int] = Counter()
        """By status; 0 stands for a connection that was closed before anything was accepted."""
        self.starts: Counter[str] = Counter()
        """By event: how often something would run, for a durable name runs once."""
        self._names: dict[str, bytes] = {}

    def times_accepted(self) -> Counter[str]:
        return Counter(each.event for each in self.accepted)

    def decide(self, request: Request) -> Answer:
        """Also refuses a durable execution's name that another payload has, as Lambda does."""
        known = self._names.get(request.durable_name)
        if known is not None and known != request.body:
            headers = "x-amzn-ErrorType: DurableExecutionAlreadyStartedException\r\n"
            return Answer(409, headers=headers, takes=False)
        return self.policy(request)

    def take(self, request: Request, answer: Answer) -> None:
        """Writes down what becomes of the request, at the moment when it does."""
        if not answer.takes:
            self.refused[0 if answer.hangs_up else answer.status] += 1
            return
        for event in request.events:
            self.bodies.setdefault(event, set()).add(request.body)
        if not request.durable_name or request.durable_name not in self._names:
            self.starts[request.event] += 1
            if request.durable_name:
                self._names[request.durable_name] = request.body
        now, is_heard = time.monotonic(), not answer.hangs_up
        self.accepted += [
            Accepted(event, request.function, request.sidecar, now, is_heard) for event in request.events
        ]


class _Connection(HttpConnection):
    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint

    def received(self, target: str, headers: dict[str, str], body: bytes) -> None:
        request = _request(target, headers, body)
        answer = self._endpoint.decide(request)
        if answer.seconds:
            asyncio.get_running_loop().call_later(answer.seconds, self._reply, request, answer)
        else:
            self._reply(request, answer)

    def _reply(self, request: Request, answer: Answer) -> None:
        """A sidecar that has died meanwhile takes nothing back."""
        self._endpoint.take(request, answer)
        if answer.hangs_up:
            self.hang_up()
            return
        status = answer.status if answer.status != 202 or request.invocation_type == "Event" else 200
        body = _body(status, request)
        version = "X-Amz-Executed-Version: $LATEST\r\n"
        head = (
            f"HTTP/1.1 {status} As-Scripted\r\n{version}{answer.headers}Content-Length: {len(body)}\r\n\r\n"
        )
        self.write(head.encode() + body)


def _body(status: int, request: Request) -> bytes:
    """As lambda_batch's first contract wants it, where its rows were asked for."""
    if status != 200:
        return b"" if status == 202 else b'{"message":"as scripted"}'
    if b'"arguments"' in request.body:
        return b'{"success":true,"results":[%s]}' % b",".join([b"1"] * len(request.events))
    return b'{"taken":true}'


def _request(target: str, headers: dict[str, str], body: bytes) -> Request:
    function, events = _PATH.match(target), _EVENT.findall(body)
    sidecar = _SIDECAR.search(headers["authorization"])
    assert function is not None and events and sidecar is not None, target
    return Request(
        events=tuple(event.decode() for event in events),
        function=unquote(function[1]).rpartition(":")[2],
        sidecar=sidecar[1],
        body=body,
        durable_name=headers.get("x-amz-durable-execution-name", ""),
        invocation_type=headers["x-amz-invocation-type"],
    )


@contextlib.contextmanager
def counting_endpoint(policy: Policy) -> Iterator[Endpoint]:
    """Serves on a free loopback port."""
    endpoint = Endpoint(policy)
    with http_answerer(lambda: _Connection(endpoint)) as endpoint.url:
        yield endpoint

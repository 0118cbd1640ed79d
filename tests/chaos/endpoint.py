"""A Lambda that keeps a book: which event it took, when, from which sidecar, and what it started.

Real sockets, its own thread; knows HTTP and the Invoke operation's headers, nothing of the outbox."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

_EVENT = re.compile(rb'"event"\s*:\s*"([^"]+)"')
_PATH = re.compile(rb"POST /2015-03-31/functions/([^/]+)/invocations")
_SIDECAR = re.compile(r"Credential=([^/]+)/")


@dataclass(frozen=True, slots=True)
class Request:
    """`event` is the payload's own id; `sidecar` the access key that signed, another for each process."""

    event: str
    function: str
    sidecar: str
    body: bytes
    durable_name: str
    invocation_type: str


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
        self.bodies.setdefault(request.event, set()).add(request.body)
        if not request.durable_name or request.durable_name not in self._names:
            self.starts[request.event] += 1
            if request.durable_name:
                self._names[request.durable_name] = request.body
        self.accepted.append(
            Accepted(request.event, request.function, request.sidecar, time.monotonic(), not answer.hangs_up)
        )


class _Connection(asyncio.Protocol):
    """One request after the other."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end])
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        headers = {name.lower(): value for name, value in fields.items()}
        length = end + 4 + int(headers["content-length"])
        if len(self._buffer) < length:
            return
        body = bytes(self._buffer[end + 4 : length])
        del self._buffer[:length]
        self._answer(_request(head, headers, body))

    def _answer(self, request: Request) -> None:
        answer = self._endpoint.decide(request)
        if answer.seconds:
            asyncio.get_running_loop().call_later(answer.seconds, self._reply, request, answer)
        else:
            self._reply(request, answer)

    def _reply(self, request: Request, answer: Answer) -> None:
        """A sidecar that has died meanwhile takes nothing back."""
        self._endpoint.take(request, answer)
        assert self._transport is not None
        if answer.hangs_up:
            self._transport.abort()
            return
        status = answer.status if answer.status != 202 or request.invocation_type == "Event" else 200
        body = b"" if status == 202 else b'{"taken":true}' if status == 200 else b'{"message":"as scripted"}'
        version = "X-Amz-Executed-Version: $LATEST\r\n"
        head = (
            f"HTTP/1.1 {status} As-Scripted\r\n{version}{answer.headers}Content-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)


def _request(head: bytes, headers: dict[str, str], body: bytes) -> Request:
    function, event = _PATH.match(head), _EVENT.search(body)
    sidecar = _SIDECAR.search(headers["authorization"])
    assert function is not None and event is not None and sidecar is not None, head
    return Request(
        event=event[1].decode(),
        function=unquote(function[1].decode()).rpartition(":")[2],
        sidecar=sidecar[1],
        body=body,
        durable_name=headers.get("x-amz-durable-execution-name", ""),
        invocation_type=headers["x-amz-invocation-type"],
    )


@contextlib.contextmanager
def counting_endpoint(policy: Policy) -> Iterator[Endpoint]:
    """Serves on a free loopback port."""
    endpoint = Endpoint(policy)
    loop = asyncio.new_event_loop()
    defects: list[str] = []
    loop.set_exception_handler(lambda _, context: defects.append(str(context)))
    server = loop.run_until_complete(
        loop.create_server(lambda: _Connection(endpoint), "127.0.0.1", 0, backlog=1024)
    )
    endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield endpoint
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert not defects, defects

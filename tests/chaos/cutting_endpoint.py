"""A Lambda that honours durable executions' names, and cuts connections at a random byte: of the request, or of its answer.

Real sockets, its own thread; knows HTTP and the Invoke operation's headers. Counts what it starts."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import threading
import uuid
from collections import Counter
from collections.abc import Iterator

from tests.support.http_answerer import HttpConnection, http_answerer

# Shares of connections that are cut within their first request, and of answers to those who ask again.
REQUESTS_CUT, LATER_ANSWERS_CUT = 0.2, 0.25
# A request has some 750 bytes: a cut that lies behind it does not happen.
REQUEST_BYTES = 700
_NUMBER = re.compile(rb'"order": ?(\d+)')


class CuttingEndpoint:
    """The first answer to each name is cut; the rest is left to chance. `executions` counts by name what was started.
    While it `holds`, what comes is started and not answered."""

    def __init__(self, seed: int) -> None:
        self.url = ""
        self.choices = random.Random(f"{seed} endpoint")
        self.executions: Counter[str] = Counter()
        self.requests = 0
        self.cuts: Counter[str] = Counter()
        self.cuts_answers = True
        self._answers: dict[str, tuple[bytes, bytes]] = {}
        self._asked: Counter[str] = Counter()
        self._holds = False
        self._held: list[tuple[_Connection, bytes]] = []
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        return len(self._held)

    def hold(self) -> None:
        self._holds = True

    def release(self) -> None:
        """Answers what was held, to whoever is still there; from any thread."""
        with self._lock:
            self._holds, held, self._held = False, self._held, []
        for connection, answer in held:
            connection.loop.call_soon_threadsafe(connection.write, answer)

    def take(self, connection: _Connection, name: str, payload: bytes) -> None:
        """A request that has come whole."""
        with self._lock:
            self.requests += 1
            self._asked[name] += 1
            answer = self._answer(name, payload)
            if self._holds:
                self._held.append((connection, answer))
                return
        is_first = self._asked[name] == 1
        if self.cuts_answers and (is_first or self.choices.random() < LATER_ANSWERS_CUT):
            self.cuts["answer"] += 1
            connection.write_and_cut(answer, self.choices.randrange(len(answer)), self.choices.random() < 0.5)
        else:
            connection.write(answer)

    def _answer(self, name: str, payload: bytes) -> bytes:
        """The one of the execution that is there, or of a new one; a name belongs to one payload."""
        known = self._answers.get(name)
        if known is not None and known[0] != payload:
            head = "HTTP/1.1 409 Conflict\r\nx-amzn-ErrorType: DurableExecutionAlreadyStartedException\r\n"
            return f"{head}Content-Length: 15\r\n\r\n".encode() + b'{"message":"m"}'
        if known is None:
            self.executions[name] += 1
            found = _NUMBER.search(payload)
            assert found is not None, payload
            body = b'{"done": %s, "by": "%s"}' % (found[1], str(uuid.uuid4()).encode())
            head = (
                f"HTTP/1.1 200 OK\r\nx-amzn-RequestId: {uuid.uuid4()}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            known = self._answers[name] = payload, head.encode() + body
        return known[1]


class _Connection(HttpConnection):
    def __init__(self, endpoint: CuttingEndpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self.loop = asyncio.get_running_loop()
        self._reads: int | None = None
        """So many bytes more are read, and then it is cut."""
        if endpoint.cuts_answers and endpoint.choices.random() < REQUESTS_CUT:
            self._reads = endpoint.choices.randrange(REQUEST_BYTES)

    def data_received(self, data: bytes) -> None:
        if self._reads is not None:
            self._reads -= len(data)
            if self._reads < 0:
                self._endpoint.cuts["request"] += 1
                self.hang_up()
                return
        super().data_received(data)

    def received(self, target: str, headers: dict[str, str], body: bytes) -> None:
        self._reads = None
        self._endpoint.take(self, headers["x-amz-durable-execution-name"], body)

    def write_and_cut(self, answer: bytes, at: int, politely: bool) -> None:
        """The beginning of it, and the connection's end: in order, or by a reset."""
        self.write(answer[:at])
        if politely and self.transport is not None:
            self.transport.close()
        else:
            self.hang_up()


@contextlib.contextmanager
def cutting_endpoint(seed: int) -> Iterator[CuttingEndpoint]:
    """Serves on a free loopback port."""
    endpoint = CuttingEndpoint(seed)
    with http_answerer(lambda: _Connection(endpoint)) as endpoint.url:
        yield endpoint

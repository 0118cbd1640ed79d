"""Faults of the endpoint and of its name.

Knows what it does; nothing of how it is judged."""

from __future__ import annotations

import contextlib
import gzip
import socket
from collections.abc import Callable

from tests.faults import talks
from tests.faults.row import ATTEMPTS, SIDECAR_CONNECT, Row
from tests.faults.sessions import Seen
from tests.faults.stage import Stage
from tests.faults.talks import answers, closes, page, resets, response, says, without_reading
from tests.support.http_peer import Talk

THROTTLED = response(
    b'{"Reason":"ConcurrentInvocationLimitExceeded","message":"Rate Exceeded."}',
    "429 Too Many Requests",
    "x-amzn-ErrorType: TooManyRequestsException",
)
THROTTLED_FOR_LONG = response(
    b'{"Reason":"ConcurrentInvocationLimitExceeded","message":"Rate Exceeded."}',
    "429 Too Many Requests",
    "x-amzn-ErrorType: TooManyRequestsException\r\nRetry-After: 60",
)
UNAVAILABLE = response(
    b'{"message":"Service is unavailable."}',
    "503 Service Unavailable",
    "x-amzn-ErrorType: ServiceUnavailableException",
)


def at(talk: Talk, certificate: str = "") -> Callable[[Stage], Seen]:
    """The row's statement, at an endpoint that talks like this."""

    def play(stage: Stage) -> Seen:
        with stage.endpoint(talk, certificate):
            return stage.call()

    return play


def nowhere(stage: Stage) -> Seen:
    return stage.call()


def accepts_nothing(stage: Stage) -> Seen:
    """The kernel's queue of connections is full, and drops who comes."""
    with contextlib.ExitStack() as exits:
        listening = exits.enter_context(socket.socket())
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", stage.ports.endpoint))
        listening.listen(0)
        for _ in range(2):
            waiting = exits.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", stage.ports.endpoint))
        return stage.call()


def idle_connection_ended(end: talks.End) -> Callable[[Stage], Seen]:
    """The sidecar holds a connection, which the endpoint ends before the row's statement."""

    def play(stage: Stage) -> Seen:
        with stage.endpoint(says(response(), end)):
            stage.call()
        with stage.endpoint(answers()):
            seen = stage.call()
        return Seen(seen.error, seen.seconds, str(stage.invoked - 1))

    return play


ENDPOINT = (
    Row("nobody listens", nowhere, limit=ATTEMPTS),
    Row("it accepts no connection", accepts_nothing, limit=SIDECAR_CONNECT),
    Row("it is silent", at(says(b""))),
    Row("it closes when a request begins to arrive", at(without_reading(closes))),
    Row("it resets when a request begins to arrive", at(without_reading(resets))),
    Row("it closes after the request's head", at(without_reading(closes, head=True))),
    Row("it resets after the request's head", at(without_reading(resets, head=True))),
    Row("it closes when it has the request", at(says(b"", closes))),
    Row("it resets when it has the request", at(says(b"", resets))),
    Row("it closes within the status line", at(says(response()[:10], closes))),
    Row("it closes within the headers", at(says(response()[:40], closes))),
    Row("it closes within the body", at(says(response()[:-2], closes))),
    Row("it resets within the body", at(says(response()[:-2], resets))),
    Row("it closes after the answer without having said so", at(says(response(), closes))),
    Row("it has closed the idle connection", idle_connection_ended(closes)),
    Row("it has reset the idle connection", idle_connection_ended(resets)),
    Row("its answer comes in drops, in time", at(talks.drips(response(), 0.002))),
    Row("its answer comes in drops, too slowly", at(talks.drips(response(), 0.1))),
    Row("a body shorter than its Content-Length, and silence", at(says(response(length=7)))),
    Row("a body shorter than its Content-Length, and the end", at(says(response(length=7), closes))),
    Row("a body longer than its Content-Length", at(says(response() + b'"more"'))),
    Row("two Content-Lengths that differ", at(says(response(b'"done"', "200 OK", "Content-Length: 5")))),
    Row("a Content-Length that is no number", at(says(response(length="six")))),
    Row("a negative Content-Length", at(says(response(length=-6)))),
    Row("a Content-Length of 10²⁰", at(says(response(length=10**20)))),
    Row("100 Continue before the answer", at(says(b"HTTP/1.1 100 Continue\r\n\r\n" + response()))),
    Row("100 Continue, and silence", at(says(b"HTTP/1.1 100 Continue\r\n\r\n"))),
    Row("garbage", at(says(b"\x16\x03\x01 this is no HTTP\r\n\r\n"))),
    Row("a header of 70 KB", at(says(response(b'"done"', "200 OK", "X-Long: " + "x" * 70_000)))),
    Row("a body of 7 MB", at(says(response(b'"' + b"x" * 7_000_000 + b'"')))),
    *(
        Row(f"a redirect, {status.split(' ')[0]}", at(says(page(status, "Location: http://127.0.0.1:9/"))))
        for status in (
            "301 Moved Permanently",
            "302 Found",
            "307 Temporary Redirect",
            "308 Permanent Redirect",
        )
    ),
    Row("204 without a body", at(says(b"HTTP/1.1 204 No Content\r\nx-amzn-RequestId: r-1\r\n\r\n"))),
    Row("200 with a page in HTML", at(says(page("200 OK")))),
    Row("500 with a page in HTML", at(answers(*[page("500 Internal Server Error")] * 3))),
    Row("502 with a page in HTML", at(answers(*[page("502 Bad Gateway")] * 3))),
    Row(
        "an answer in gzip",
        at(says(response(gzip.compress(b'"done"', mtime=0), "200 OK", "Content-Encoding: gzip"))),
    ),
    Row("429 with a Retry-After that is longer than the statement's time", at(answers(THROTTLED_FOR_LONG))),
    Row("two times 429, then the answer", at(answers(THROTTLED, THROTTLED))),
    Row("a storm of 503", at(answers(*[UNAVAILABLE] * 3))),
)

NAMES = (Row("no such name", nowhere, "nameless", limit=ATTEMPTS, afterwards="plain"),)

GROUPS = {"The endpoint": ENDPOINT, "Its name": NAMES}

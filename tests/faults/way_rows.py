"""Faults of what lies between the sidecar and a call: TLS, proxies, STS.

Knows what each party does; nothing of how it is judged."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator

from tests.faults import talks
from tests.faults.endpoint_rows import at, nowhere
from tests.faults.row import ATTEMPTS, SDK_ATTEMPTS, SIDECAR_CONNECT, Row
from tests.faults.sessions import Seen
from tests.faults.sidecars import TURNS
from tests.faults.stage import Stage
from tests.faults.talks import Tunnel, answers, closes, page, response, says, stays, without_reading
from tests.support.http_peer import Peer, Talk


def through(
    ends: Callable[[Stage, bool, int, int], bool], talk: Talk | None = None
) -> Callable[[Stage], Seen]:
    """The row's statement, through a proxy whose tunnel ends then."""

    def play(stage: Stage) -> Seen:
        with stage.endpoint(talk or answers()), stage.proxy(Tunnel(functools.partial(ends, stage)).talk):
            return stage.call()

    return play


def proxy(talk: Talk) -> Callable[[Stage], Seen]:
    """The row's statement, at a proxy that talks like this."""

    def play(stage: Stage) -> Seen:
        with stage.endpoint(answers()), stage.proxy(talk):
            return stage.call()

    return play


def many_records() -> Talk:
    """An answer in ten pieces, each of which becomes a TLS record."""

    async def talk(made: Peer, reader: talks.Reader, writer: talks.Writer) -> None:
        await made.read(reader)
        wire = response(b'"' + b"x" * 998 + b'"')
        for start in range(0, len(wire), len(wire) // 10):
            writer.write(wire[start : start + len(wire) // 10])
            await writer.drain()
        await stays(reader, writer)

    return talk


def closed_within_the_answer(stage: Stage) -> Seen:
    """After six records from the endpoint, of which two are its tickets, and the others the answer's."""
    passed = itertools.count(1)

    def ends(stage: Stage, is_client: bool, _: int, __: int) -> bool:
        return not is_client and stage.invoked > 0 and next(passed) > 6

    return through(ends, many_records())(stage)


_turns = itertools.count()


def fresh(role: str) -> str:
    """A function whose role is of this kind, and was not assumed before."""
    return f"{role}-{next(_turns) % TURNS}"


def assuming(function: str, sql: str = "SELECT lambda_sync('{}', '{{}}')") -> str:
    return sql.format(function)


@contextlib.contextmanager
def sts(stage: Stage, function: str) -> Iterator[None]:
    """STS works, and the sidecar has the credentials of that function's role."""
    with stage.sts(), stage.endpoint(answers()):
        assert stage.call(assuming(function)).error == ""
        yield


def sts_down_with_credentials(stage: Stage) -> Seen:
    function = fresh("warm")
    with sts(stage, function):
        before = stage.invoked
    with stage.endpoint(answers()):
        seen = stage.call(assuming(function))
    return Seen(seen.error, seen.seconds, str(stage.invoked - before))


def sts_down_with_expired_credentials(stage: Stage) -> Seen:
    function = fresh("expired")
    with sts(stage, function):
        before = stage.invoked
    stage.clock.jump(2 * 3600)
    try:
        with stage.endpoint(answers()):
            seen = stage.call(assuming(function))
    finally:
        stage.clock.jump(0)
    return Seen(seen.error, seen.seconds, str(stage.invoked - before))


def sts_down(stage: Stage) -> Seen:
    with stage.endpoint(answers()):
        return stage.call(assuming(fresh("refused")))


def sts_silent(stage: Stage) -> Seen:
    with stage.endpoint(answers()), stage.sts() as made:
        made.gate.clear()
        return stage.call(assuming(fresh("silent")))


def sts_talks_html(stage: Stage) -> Seen:
    with stage.endpoint(answers()), stage.sts() as made:
        made.garbage = b"<html>Sorry</html>"
        return stage.call(assuming(fresh("garbage")))


TLS = (
    Row("the certificate has expired", at(answers(), "expired"), "tls", limit=ATTEMPTS),
    Row("the certificate's authority is unknown", at(answers(), "unknown"), "tls", limit=ATTEMPTS),
    Row("the certificate is for another name", at(answers(), "address"), "tls", limit=ATTEMPTS),
    Row("the endpoint speaks no TLS", at(says(response()), "plain"), "tls", limit=SIDECAR_CONNECT),
    Row("it closes within the handshake", at(without_reading(closes), "plain"), "tls", limit=ATTEMPTS),
    Row(
        "it is silent within the handshake", at(without_reading(stays), "plain"), "tls", limit=SIDECAR_CONNECT
    ),
    Row("it closes within the answer's body", at(says(response()[:-2], closes)), "tls"),
)

PROXY = (
    Row("nobody listens", nowhere, "proxied", limit=ATTEMPTS),
    Row("it is silent", proxy(says(b"")), "proxied", limit=SIDECAR_CONNECT),
    Row(
        "it closes when the CONNECT begins to arrive",
        proxy(without_reading(closes)),
        "proxied",
        limit=ATTEMPTS,
    ),
    Row("it closes when it has the CONNECT", proxy(says(b"", closes)), "proxied", limit=ATTEMPTS),
    Row(
        "it closes within its answer", proxy(says(b"HTTP/1.1 200 Connec", closes)), "proxied", limit=ATTEMPTS
    ),
    Row("it refuses, 407", proxy(says(page("407 Proxy Authentication Required"))), "proxied", limit=ATTEMPTS),
    Row("it refuses, 502", proxy(says(page("502 Bad Gateway"))), "proxied", limit=ATTEMPTS),
    Row(
        "it closes the tunnel before the TLS handshake",
        through(lambda _, is_client, records, __: is_client and records == 0),
        "proxied",
        limit=ATTEMPTS,
    ),
    Row(
        "it closes the tunnel within the TLS handshake",
        through(lambda _, is_client, records, __: not is_client and records == 1),
        "proxied",
        limit=ATTEMPTS,
    ),
    Row(
        "it closes the tunnel when the request is in it",
        through(lambda _, is_client, __, data: is_client and data == 1),
        "proxied",
    ),
    Row(
        "it closes the tunnel when the endpoint has the request",
        through(lambda stage, is_client, _, __: not is_client and stage.invoked > 0),
        "proxied",
    ),
    Row(
        "it closes the tunnel within the answer",
        closed_within_the_answer,
        "proxied",
    ),
)

STS = (
    Row("it is down, and the role's credentials are valid", sts_down_with_credentials, "roles"),
    Row(
        "it is down, and the role's credentials have expired",
        sts_down_with_expired_credentials,
        "roles",
        limit=SDK_ATTEMPTS,
    ),
    Row(
        "it is down, and there are no credentials of the role",
        sts_down,
        "roles",
        limit=SDK_ATTEMPTS,
    ),
    Row("it is silent, and there are no credentials of the role", sts_silent, "roles"),
    Row("it answers with a page in HTML", sts_talks_html, "roles"),
)

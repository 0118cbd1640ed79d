"""The local Lambda's HTTP, by bytes on its socket: each request is answered as Lambda answers, and none is the end
of the service.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.loop_thread import LoopThread, loop_thread

from lambda_sidecar.local import LocalLambda, LocalLambdaSettings

HOST = b"Host: 127.0.0.1\r\n"
SIGNED = b"Authorization: AWS4-HMAC-SHA256 Credential=x\r\n"
# A request may be one that is not whole yet: then nothing comes, and nobody can know.
PATIENCE_SECONDS = 0.05
# No function runs: a worker is a process.
DRY = b"X-Amz-Invocation-Type: DryRun\r\n"


@dataclass(frozen=True)
class Server:
    """A local Lambda in a loop of its own, with the function `f`."""

    loop: LoopThread
    port: int

    def send(self, wire: bytes, *, patience: float = 30) -> bytes:
        """The beginning of what comes back; nothing if nothing does within so many seconds."""
        return self.loop.run(self._send(wire, patience))

    async def _send(self, wire: bytes, patience: float) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(wire)
            return await asyncio.wait_for(reader.read(65_536), patience)
        except (ConnectionError, TimeoutError):
            return b""
        finally:
            writer.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder, loop_thread() as loop:
        Path(folder, "f").mkdir()
        Path(folder, "f", "lambda_function.py").write_text("def lambda_handler(event, context): pass\n")
        service = LocalLambda(LocalLambdaSettings(functions=Path(folder)))
        loop.run(service.start())
        try:
            yield Server(loop, int(service.endpoint.rpartition(":")[2]))
        finally:
            loop.run(service.stop())


def post(name: str, fields: bytes = DRY, body: bytes = b"{}", query: str = "") -> bytes:
    line = f"POST /2015-03-31/functions/{quote(name, safe='')}/invocations{query} HTTP/1.1\r\n".encode()
    return line + HOST + SIGNED + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


class _Wire:
    """A socket, as far as http.client looks at it."""

    def __init__(self, wire: bytes) -> None:
        self.wire = io.BytesIO(wire)

    def makefile(self, _mode: str) -> io.BytesIO:
        return self.wire


def answer_of(wire: bytes) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(_Wire(wire), method="POST")  # type: ignore[arg-type]
    response.begin()
    return response


def check_error(response: http.client.HTTPResponse) -> None:
    """As the REST-JSON protocol has errors: the name in a header, the text in a JSON document."""
    assert 400 <= response.status < 500, response.status
    assert response.headers["x-amzn-ErrorType"]
    assert isinstance(json.loads(response.read()), dict)


@pytest.fixture(autouse=True)
def _nothing_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.ERROR):
        yield
    assert caplog.text == ""


NAMES = st.sampled_from(["f", "g", "f:1", "F", "..", "f/..", "\u0661", "%", "f%00", ""]) | st.text(
    st.characters(codec="utf-8"), max_size=20
)
CONTEXTS = st.sampled_from(
    [b"", b"{}", b"[]", b"1", b"NaN", b"{", b"\xff", b"[" * 2500, b'{"a": "\xc3\xa9"}']
)
BODIES = st.sampled_from([b"", b"{}", b"NaN", b'"\\ud800"', b"\xff", b"1 2", b"[" * 20_000]) | st.binary(
    max_size=20
)
QUERIES = st.sampled_from(
    ["", "?Qualifier=1", "?Qualifier=", "?Qualifier=%00", "?Qualifier=a&Qualifier=b", "?&&=", "?%ff"]
)
KINDS = st.sampled_from(["DryRun", "DryRun", "DryRun", "", "dryrun", "\u00e9"])
LOGS = st.sampled_from(["", "X-Amz-Log-Type: Tail\r\n", "X-Amz-Log-Type: x\r\n"])


@given(NAMES, KINDS, LOGS, CONTEXTS, BODIES, QUERIES)
def test_a_request_is_answered_or_refused_as_lambda_refuses(
    server: Server, name: str, kind: str, log: str, context: bytes, body: bytes, query: str
) -> None:
    fields = f"X-Amz-Invocation-Type: {kind}\r\n{log}".encode()
    fields += b"X-Amz-Client-Context: " + base64.b64encode(context) + b"\r\n"
    response = answer_of(server.send(post(name, fields, body, query)))
    if response.status == 204:
        assert name.startswith("f")
        assert response.read() == b""
        assert response.headers["x-amzn-RequestId"]
    else:
        check_error(response)


ODD = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b" ",
        b":",
        b"\x00",
        b"\xff",
        b"%",
        b"%zz",
        b"HTTP/1.0",
        b"HTTP/9.9",
        b"GET",
        b"CONNECT",
        b"*",
        b"Content-Length: 1\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Host: evil\r\n",
        b"Host: [::1\r\n",
        b'Cookie: a="\r\n',
        b"http://x/",
        b"//",
        b"Range: bytes=9-1\r\n",
        b"X-Amz-Client-Context: =\r\n",
        b"a" * 9000,
        b"\r\n\r\n",
        b"/_local/invocations",
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    wire = post("g")  # which there is not: without its type of invocation it would run
    for _ in range(draw(st.integers(1, 3))):
        lines = [at + 2 for at in range(len(wire)) if wire.startswith(b"\r\n", at)] or [0]
        at = draw(st.sampled_from(lines) | st.integers(0, len(wire)))
        wire = wire[:at] + draw(ODD | st.just(b"")) + wire[at + draw(st.sampled_from([0, 0, 1, 4])) :]
    return wire


@given(mutated() | st.binary(max_size=60))
def test_no_bytes_make_it_fail_or_end(server: Server, wire: bytes) -> None:
    said = server.send(wire, patience=PATIENCE_SECONDS)
    if said and not said.startswith(b"HTTP/1.1 100 "):
        assert answer_of(said).status < 500, said
    assert answer_of(server.send(post("f"))).status == 204

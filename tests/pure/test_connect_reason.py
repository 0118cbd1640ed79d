"""Why there is no connection, in the words of the log: names, TCP, TLS, the proxy, and the SDK's own errors.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from botocore.exceptions import EndpointConnectionError, ProxyConnectionError, SSLError
from tests.support.http_peer import answers, certificate, peer
from tests.support.http_post import OK, at, client, post
from yarl import URL

from lambda_sidecar.aws.sdk_error import unreachable_reason
from lambda_sidecar.errors import EndpointUnreachable
from lambda_sidecar.http.client import ConnectFailed, origin_of
from lambda_sidecar.http.connect_reason import connect_reason
from lambda_sidecar.http.exchange import ConnectionBroken


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "DNS: Name or service not known"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "TCP: Connection refused"),
        (OSError(errno.ENETUNREACH, "Multiple exceptions: …"), "TCP: Network is unreachable"),
        (TimeoutError(), "no connection within 5 s"),
        (TimeoutError(errno.ETIMEDOUT, "x"), "TCP: Connection timed out"),
        (ConnectionBroken("The proxy answered 407"), "The proxy answered 407"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1)"), "TLS: [SSL: WRONG"),
        (OSError("a proxy's URL begins with http:// or https://"), "a proxy's URL begins with http:// or https://"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_each_kind_of_failure_has_its_words(error: Exception, words: str) -> None:
    said = connect_reason(error, "lambda.example", "", seconds=5)
    assert said.startswith(words)
    assert said.endswith(" (lambda.example)")


async def test_a_certificate_that_nobody_trusts_is_named_in_openssls_words(tmp_path: Path) -> None:
    context, _authority = certificate(tmp_path)
    async with peer(answers(OK), context) as server, client(ssl.create_default_context()) as http:
        with pytest.raises(ConnectFailed) as failed:
            await post(http, at(server.port, "https"))
    assert failed.value.reason.startswith("TLS: certificate verify failed: ")
    assert failed.value.reason.endswith(f" (127.0.0.1:{server.port})")


async def test_a_proxys_status_is_named_and_its_password_is_not() -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    async with peer(answers(refusal)) as proxy, client() as http, asyncio.timeout(4):
        url = f"http://me:canary@127.0.0.1:{proxy.port}"
        with pytest.raises(ConnectFailed) as failed:
            await post(http, origin_of("https://lambda.example", url))
    assert failed.value.reason == (
        f"The proxy answered 407 (lambda.example through the proxy 127.0.0.1:{proxy.port})"
    )


def test_a_reason_is_one_line_of_bounded_length_that_steers_no_terminal() -> None:
    failure = EndpointUnreachable("\x1b[2J\n" + "x" * 10_000)
    assert failure.reason.isprintable()
    assert len(failure.reason) < 400
    assert failure.text == "Lambda API returned error: Network Connection. Unable to connect to endpoint"


KEY = ConnectionKey("sts.example", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            EndpointConnectionError(
                endpoint_url="https://sts.example",
                error=aiohttp.ClientConnectorError(KEY, OSError(errno.ECONNREFUSED, "Connect call failed")),
            ),
            "Connect call failed",
        ),
        (
            SSLError(
                endpoint_url="https://sts.example",
                error=aiohttp.ClientConnectorCertificateError(
                    KEY, ssl.SSLCertVerificationError(1, "self-signed")
                ),
            ),
            "TLS: self-signed",
        ),
        (
            ProxyConnectionError(
                proxy_url="http://***:***@proxy",
                error=aiohttp.ClientHttpProxyError(
                    aiohttp.RequestInfo(URL("http://me:canary@proxy"), "CONNECT", None, URL()),  # type: ignore[arg-type]
                    (),
                    status=407,
                ),
            ),
            "The proxy answered 407",
        ),
        (TimeoutError(), "no answer in time"),
    ],
    ids=["TCP", "TLS", "proxy", "time"],
)
def test_of_the_sdks_errors_the_cause_is_named(error: Exception, said: str) -> None:
    assert unreachable_reason(error) == said

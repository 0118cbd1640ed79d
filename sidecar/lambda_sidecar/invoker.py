"""The Lambda Invoke call: signed, sent, retried where that is safe, its answer read.

The only file that knows HTTP; knows nothing of gRPC or MySQL. The hot path: no work per call that can
be done once."""

from __future__ import annotations

import asyncio
import base64
import random
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from yarl import URL

from lambda_sidecar.answer import InvocationResult, read_answer
from lambda_sidecar.aws import AwsConfiguration, Endpoint
from lambda_sidecar.errors import ApiError, ConnectionLost, EndpointUnreachable, InvokeFailure
from lambda_sidecar.function_name import FunctionName

ATTEMPTS = 3
RETRY_SECONDS = 10.0
BACKOFF_SECONDS = 0.2
# Lambda quotas, invocation payload (response).
RESPONSE_MAX = 6_291_556
# NAT gateways drop connections that are idle for 350 s (VPC guide); calls may last 900 s.
TCP_KEEPALIVE_SECONDS = 60
# An idle connection is closed by us before the other side does it under a request.
IDLE_CONNECTION_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of the Invoke API. `invocation_type` is RequestResponse, Event or DryRun."""

    function: FunctionName
    payload: bytes
    invocation_type: str
    log_tail: bool = False
    client_context: str = ""


class Invoker:
    """Sends calls through one pooled HTTP client. `start` before the first call, `close` at the end."""

    def __init__(
        self,
        aws: AwsConfiguration,
        *,
        connect_timeout: float,
        endpoint_url: str | None = None,
    ) -> None:
        """`connect_timeout` in seconds, for one attempt. `endpoint_url` replaces every region's."""
        self._aws = aws
        self._timeout = _timeout(connect_timeout)
        self._endpoint_url = endpoint_url
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Opens the HTTP client; no connection is made yet."""
        tls = ssl.create_default_context(cafile=self._aws.ca_bundle)
        connector = aiohttp.TCPConnector(
            limit=0, keepalive_timeout=IDLE_CONNECTION_SECONDS, ssl=tls, socket_factory=_keepalive_socket
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Closes every connection. Calls under way fail."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def set_connect_timeout(self, seconds: float) -> None:
        """For attempts that begin later."""
        self._timeout = _timeout(seconds)

    async def invoke(self, invocation: Invocation, credentials: ReadOnlyCredentials) -> InvocationResult:
        """Invokes, with retries where nothing can have happened yet. Raises InvokeFailure.

        Cancelling closes the HTTP connection; that is all that can be done, Lambda has no cancel."""
        give_up = time.monotonic() + RETRY_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(invocation, credentials)
            except InvokeFailure as failure:
                wait = _wait_before_retry(failure, attempt)
                if wait is None or attempt == ATTEMPTS or time.monotonic() + wait > give_up:
                    raise
            await asyncio.sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _attempt(self, invocation: Invocation, credentials: ReadOnlyCredentials) -> InvocationResult:
        endpoint = await self._endpoint(invocation.function.region)
        request = _signed_request(invocation, endpoint, credentials)
        if self._session is None:
            raise RuntimeError("start() comes first")
        try:
            async with self._session.post(
                URL(request.url, encoded=True),
                data=invocation.payload,
                headers=request.headers.items(),
                proxy=endpoint.proxy,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                body = await _read_bounded(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise EndpointUnreachable from error
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLost(_describe(error)) from error
        return read_answer(response.status, response.reason or "", response.headers, body)

    async def _endpoint(self, region: str) -> Endpoint:
        if self._endpoint_url is not None:
            return Endpoint(self._endpoint_url, region, None)
        return await self._aws.endpoint(region)


def _timeout(connect: float) -> aiohttp.ClientTimeout:
    """The call's own deadline ends the rest."""
    return aiohttp.ClientTimeout(total=None, sock_connect=connect)


def _keepalive_socket(address: Any) -> socket.socket:
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, TCP_KEEPALIVE_SECONDS)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, TCP_KEEPALIVE_SECONDS)
    return made


def _signed_request(invocation: Invocation, endpoint: Endpoint, credentials: ReadOnlyCredentials) -> Any:
    """The request with its Signature Version 4. The function is one percent-encoded path segment."""
    function = invocation.function
    url = f"{endpoint.url}/2015-03-31/functions/{quote(function.unqualified, safe='')}/invocations"
    if function.qualifier is not None:
        url += f"?Qualifier={quote(function.qualifier, safe='')}"
    headers = {
        "Content-Type": "application/json",
        "X-Amz-Invocation-Type": invocation.invocation_type,
    }
    if invocation.log_tail:
        headers["X-Amz-Log-Type"] = "Tail"
    if invocation.client_context:
        headers["X-Amz-Client-Context"] = base64.b64encode(invocation.client_context.encode()).decode()
    request = AWSRequest(method="POST", url=url, data=invocation.payload, headers=headers)
    SigV4Auth(credentials, "lambda", endpoint.region).add_auth(request)
    return request


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body, at most what Lambda can answer: an endpoint that sends more is not Lambda."""
    if response.content_length is not None and response.content_length <= RESPONSE_MAX:
        return await response.read()
    chunks, total = [], 0
    async for chunk in response.content.iter_any():
        total += len(chunk)
        if total > RESPONSE_MAX:
            response.close()
            raise ApiError("ResponseTooLarge", f"the endpoint sent more than {RESPONSE_MAX} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _describe(error: Exception) -> str:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "The endpoint closed the connection"
    return f"The connection to the endpoint broke ({type(error).__name__})"


def _wait_before_retry(failure: InvokeFailure, attempt: int) -> float | None:
    """Seconds until the next attempt, jittered; None where a second attempt might invoke twice, or
    would meet the same answer."""
    if isinstance(failure, EndpointUnreachable) or (isinstance(failure, ApiError) and failure.passes):
        return random.uniform(0.5, 1.0) * BACKOFF_SECONDS * (1 << attempt)  # noqa: S311
    return None

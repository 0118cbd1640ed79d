"""The Lambda Invoke call: signs and sends it, retries where that is safe, and reads the answer.

Knows the Invoke API's requests, but not how they travel (http/), and nothing of gRPC or MySQL. This is the
hot path: whatever can be done once is not done for each call."""

from __future__ import annotations

import asyncio
import base64
import functools
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.access.function_name import FunctionName
from lambda_sidecar.aws.answer import InvocationResult, read_answer, read_streamed, request_id
from lambda_sidecar.aws.configuration import AwsConfiguration, Endpoint
from lambda_sidecar.aws.payload_hash import payload_hash
from lambda_sidecar.aws.response_stream import Put, read_stream
from lambda_sidecar.aws.signing import canonical_uri, sign
from lambda_sidecar.aws.success import check_success, is_stream
from lambda_sidecar.errors import ApiError, ConnectionLost, EndpointUnreachable, InvokeFailure, Throttled
from lambda_sidecar.http.client import ConnectFailed, HttpClient, Origin, origin_of, request_target
from lambda_sidecar.http.exchange import ConnectionBroken, ResponseTooLarge
from lambda_sidecar.quotas import RESPONSE_MAX

# A call is attempted so often at most, and no attempt begins after RETRY_SECONDS. The pauses before the
# second and the third are at most two and four times BACKOFF_SECONDS.
ATTEMPTS = 3
RETRY_SECONDS = 10.0
BACKOFF_SECONDS = 0.2
# Of the operations' paths, in botocore's model of Lambda.
_INVOKE = "2015-03-31", "invocations"
_STREAM = "2021-11-15", "response-streaming-invocations"
# Functions whose part of a request, the same each time, is kept ready.
TARGETS_MAX = 4096


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of the Invoke API. `invocation_type` is RequestResponse, Event or DryRun."""

    function: FunctionName
    payload: bytes
    invocation_type: str
    log_tail: bool = False
    client_context: str = ""
    tenant_id: str = ""
    durable_execution_name: str = ""
    deadline: float = math.inf
    """On time.monotonic()'s clock: nothing is sent from then on."""
    subject: str = ""
    """Only of an operation beside Invoke (durable_api.py), which `invocation_type` names then: the durable
    execution's ARN, or the callback's id."""
    once: bool = False
    """There is one attempt: whoever invokes has a rule of its own for further ones (repeats.py)."""
    xray: str = ""
    """X-Amzn-Trace-Id."""
    put: Put | None = None
    """The answer comes as a stream, and its parts go there."""
    payload_hash: str = ""
    """Where it is known already."""
    lease: Callable[[], float] | None = None
    """Beside the deadline: until when an attempt may be sent, as far as is known when it begins."""


class Invoker:
    """Sends calls through one pooled HTTP client. `close` at the end."""

    def __init__(
        self,
        aws: AwsConfiguration,
        *,
        connect_timeout: float,
        endpoint_url: str | None = None,
        bare_names: bool = False,
    ) -> None:
        """`connect_timeout` in seconds, for one attempt. `endpoint_url` replaces every region's. With
        `bare_names` functions are sent without their ARN. Raises ConfigError for a CA bundle that is none."""
        self._aws = aws
        self._fixed_endpoint = Endpoint(endpoint_url, None) if endpoint_url is not None else None
        self._http = HttpClient(connect_timeout=connect_timeout, tls=aws.tls())
        self._bare_names = bare_names
        self.retries = 0
        """Attempts that were not a call's first."""

    async def close(self) -> None:
        """Closes every connection. Calls under way fail."""
        await self._http.close()

    def change(self, *, connect_timeout: float, bare_names: bool) -> None:
        """Changes both for attempts that begin later."""
        self._http.connect_timeout = connect_timeout
        self._bare_names = bare_names

    async def invoke(self, invocation: Invocation, credentials: ReadOnlyCredentials) -> InvocationResult:
        """Invokes, with retries where nothing can have happened yet. Raises InvokeFailure, and TimeoutError
        when the invocation's deadline or its lease has passed before it was sent. Throttled is raised at
        once: when that call may be tried again is for the one to say who knows what others of its function
        meet.

        Cancelling closes the HTTP connection; that is all that can be done, Lambda has no cancel."""
        if invocation.once:
            return await self._attempt(invocation, credentials)
        give_up, deadline = time.monotonic() + RETRY_SECONDS, invocation.deadline
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(invocation, credentials)
            except InvokeFailure as failure:
                wait = _wait_before_retry(failure, attempt)
                if wait is None or attempt == ATTEMPTS:
                    raise
                if (at := time.monotonic() + wait) > give_up or (_asked_for(failure) and at >= deadline):
                    raise
            await asyncio.sleep(wait)
            self.retries += 1
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _attempt(self, invocation: Invocation, credentials: ReadOnlyCredentials) -> InvocationResult:
        function = invocation.function
        endpoint = self._fixed_endpoint or await self._aws.endpoint(function.region)
        put = invocation.put
        target = _target(endpoint, function, self._bare_names, put is not None)
        head = _head(target, invocation, credentials)
        deadline = invocation.deadline
        if invocation.lease is not None:  # it is held to while connecting, too
            deadline = min(deadline, invocation.lease())
        try:
            if put is not None:
                return await self._stream(target, head, invocation, put, deadline)
            response = await self._http.post(
                target.origin, head, invocation.payload, body_max=RESPONSE_MAX, deadline=deadline
            )
        except ConnectFailed as error:
            raise EndpointUnreachable(error.reason) from error
        except ConnectionBroken as error:
            raise ConnectionLost(str(error)) from error
        except ResponseTooLarge:
            text = f"the endpoint sent more than {RESPONSE_MAX} bytes"
            raise ApiError("ResponseTooLarge", text) from None
        check_success(response, invocation.invocation_type)
        return read_answer(response.status, response.reason, response.headers, response.body)

    async def _stream(
        self, target: _Target, head: bytes, invocation: Invocation, put: Put, deadline: float
    ) -> InvocationResult:
        """InvokeWithResponseStream."""
        async with self._http.stream(
            target.origin, head, invocation.payload, body_max=RESPONSE_MAX, deadline=deadline
        ) as answer:
            response = answer.head
            if not is_stream(response, invocation.invocation_type):
                return read_answer(response.status, response.reason, response.headers, response.body)
            failure: InvokeFailure
            try:
                completion = await read_stream(answer.next_piece, put)
            except ConnectionBroken as error:
                failure = ConnectionLost(str(error))
            except InvokeFailure as raised:
                failure = raised
            else:
                return read_streamed(response.headers, completion)
            failure.request_id = request_id(response.headers)
            raise failure


@dataclass(frozen=True, slots=True)
class _Target:
    """The part of a function's requests that is the same for each call."""

    origin: Origin
    start: str
    """The request line, and header lines that are not signed."""
    host: str
    uri: str
    query: str
    region: str


@functools.lru_cache(TARGETS_MAX)
def _target(endpoint: Endpoint, function: FunctionName, bare_name: bool, streams: bool) -> _Target:
    """The function is one percent-encoded path segment."""
    origin = origin_of(endpoint.url, endpoint.proxy)
    name = quote(function.name if bare_name else function.unqualified, safe="")
    version, operation = _STREAM if streams else _INVOKE
    path = f"{urlsplit(endpoint.url).path}/{version}/functions/{name}/{operation}"
    query = "" if function.qualifier is None else f"Qualifier={quote(function.qualifier, safe='')}"
    target, more = request_target(origin, f"{path}?{query}" if query else path)
    return _Target(
        origin=origin,
        start=f"POST {target} HTTP/1.1\r\n{more}",
        host=origin.authority,
        uri=canonical_uri(path),
        query=query,
        region=function.region,
    )


def _head(target: _Target, invocation: Invocation, credentials: ReadOnlyCredentials) -> bytes:
    """The request without its body, signed."""
    headers = {
        "host": target.host,
        "content-type": "application/json",
        "x-amz-invocation-type": invocation.invocation_type,
    }
    if invocation.log_tail:
        headers["x-amz-log-type"] = "Tail"
    if invocation.client_context:
        headers["x-amz-client-context"] = base64.b64encode(invocation.client_context.encode()).decode()
    if invocation.tenant_id:
        headers["x-amz-tenant-id"] = invocation.tenant_id
    if invocation.durable_execution_name:
        headers["x-amz-durable-execution-name"] = invocation.durable_execution_name
    sign(
        headers,
        invocation.payload_hash or payload_hash(invocation.payload),
        uri=target.uri,
        query=target.query,
        region=target.region,
        credentials=credentials,
        seconds=time.time(),
    )
    if invocation.xray:  # not signed, as botocore does not: whatever is on the way may write it anew
        headers["x-amzn-trace-id"] = invocation.xray
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"{target.start}{lines}content-length: {len(invocation.payload)}\r\n\r\n".encode()


def _wait_before_retry(failure: InvokeFailure, attempt: int) -> float | None:
    """Seconds until the next attempt, jittered, and no sooner than Lambda asks; None where a second attempt
    might invoke twice, would meet the same answer, or is not this file's."""
    if isinstance(failure, ApiError):
        if not failure.passes or isinstance(failure, Throttled):
            return None
    elif not isinstance(failure, EndpointUnreachable):
        return None
    backoff = random.uniform(0.5, 1.0) * BACKOFF_SECONDS * (1 << attempt)  # noqa: S311
    return max(backoff, _asked_for(failure))


def _asked_for(failure: InvokeFailure) -> float:
    """Seconds of its Retry-After; 0 without."""
    return (failure.retry_after if isinstance(failure, ApiError) else None) or 0.0

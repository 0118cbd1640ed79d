"""What Lambda offers for durable executions beside starting them: a look at one, the end of a callback.

Asks through aiobotocore's client, because this is no hot path; knows nothing of who asks, or of rules."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
import random
import time
from typing import Any

import aiobotocore.session
import botocore.exceptions
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from botocore.credentials import ReadOnlyCredentials

from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.aws.bounded_http import AnswerTooLarge, BoundedHttpSession
from lambda_sidecar.aws.configuration import REQUEST_SECONDS, AwsConfiguration
from lambda_sidecar.aws.durable_answer import FAIL, LOOK, SUCCEED, api_error, check_likeness, read_result
from lambda_sidecar.aws.lambda_api import Invocation
from lambda_sidecar.aws.quick_parser import QuickParserFactory
from lambda_sidecar.aws.repeats import leaves_open
from lambda_sidecar.aws.sdk_error import unreachable_reason
from lambda_sidecar.errors import (
    ApiError,
    ConnectionLost,
    EndpointUnreachable,
    InvalidRequest,
    InvokeFailure,
    NotAsLambdaDoes,
)

log = logging.getLogger(__name__)

ATTEMPTS = 3
PAUSE_SECONDS = 0.2
CONNECTIONS = 20
# An execution's answer holds its input and its result, 6 MB each, with JSON's escapes.
ANSWER_MAX = 32 * 1024 * 1024

_signing: contextvars.ContextVar[ReadOnlyCredentials] = contextvars.ContextVar("signing")


class _LargerHttpSession(BoundedHttpSession):
    ANSWER_MAX = ANSWER_MAX


# Repeated here, by this file's own rule, and not by the SDK.
_CONFIG = AioConfig(
    connect_timeout=REQUEST_SECONDS,
    read_timeout=REQUEST_SECONDS,
    max_pool_connections=CONNECTIONS,
    retries={"mode": "standard", "total_max_attempts": 1},
    http_session_cls=_LargerHttpSession,
)


class _CallersCredentials(AioCredentials):  # type: ignore[misc]  # botocore is not typed
    """Of a client that all calls share: each request is signed with those of its own call."""

    def __init__(self) -> None:
        super().__init__("", "")

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return _signing.get()


class _Provider:
    async def load_credentials(self) -> AioCredentials:
        return _CallersCredentials()


class DurableApi:
    """One client for each region. `close` at the end."""

    def __init__(self, aws: AwsConfiguration, *, endpoint_url: str | None = None) -> None:
        """`endpoint_url` replaces every region's."""
        self._endpoint_url = endpoint_url
        self._session = aiobotocore.session.get_session()
        self._session.register_component("credential_provider", _Provider())
        self._session.register_component("response_parser_factory", QuickParserFactory())
        # Service models are read once, and large.
        self._session.register_component("data_loader", aws.session.get_component("data_loader"))
        self._clients: dict[str, Any] = {}
        self._making = asyncio.Lock()
        self._resources = contextlib.AsyncExitStack()

    async def close(self) -> None:
        await self._resources.aclose()

    async def ask(self, invocation: Invocation, credentials: ReadOnlyCredentials) -> InvocationResult:
        """Carries out `invocation.invocation_type`, LOOK, SUCCEED or FAIL, for `invocation.subject`. The
        result's payload is the execution as one JSON document, or empty. Raises InvokeFailure, and
        TimeoutError when the deadline has passed.

        A look is repeated after whatever may pass; a callback only where nothing was sent or taken: the
        second of two is an error, though the first has completed it."""
        _signing.set(credentials)
        request = _request(invocation)
        for attempt in range(1, ATTEMPTS + 1):
            if time.monotonic() >= invocation.deadline:
                raise TimeoutError
            try:
                answer = await self._send(invocation.function.region, invocation.invocation_type, request)
                await asyncio.sleep(0)  # both take milliseconds where there are megabytes
                return read_result(answer)
            except InvokeFailure as failure:
                passes = isinstance(failure, EndpointUnreachable) or (
                    isinstance(failure, ApiError) and failure.passes
                )
                if not passes and not (invocation.invocation_type == LOOK and leaves_open(failure)):
                    raise
                pause = random.uniform(0.5, 1.0) * PAUSE_SECONDS * (1 << attempt)  # noqa: S311
                if attempt == ATTEMPTS or time.monotonic() + pause >= invocation.deadline:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _send(self, region: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        client = await self._client(region)
        method = getattr(client, _method(operation))
        try:
            answer: dict[str, Any] = await method(**request)
        except botocore.exceptions.ClientError as error:
            raise api_error(error) from None
        except (
            botocore.exceptions.EndpointConnectionError,
            botocore.exceptions.ConnectTimeoutError,
            botocore.exceptions.ProxyConnectionError,
            botocore.exceptions.SSLError,
        ) as error:
            raise EndpointUnreachable(unreachable_reason(error)) from None
        except (
            botocore.exceptions.ConnectionError,
            botocore.exceptions.HTTPClientError,
            TimeoutError,
        ) as error:
            raise ConnectionLost(f"The connection to the endpoint broke ({type(error).__name__})") from None
        except AnswerTooLarge:
            text = f"the endpoint sent more than {ANSWER_MAX} bytes"
            raise ApiError("ResponseTooLarge", text) from None
        except botocore.exceptions.ParamValidationError:  # quotes what was given
            raise InvalidRequest("the AWS SDK refuses the request") from None
        except (
            botocore.exceptions.BotoCoreError,
            ValueError,
            LookupError,
            AttributeError,
            TypeError,
            OverflowError,
            RuntimeError,  # nested too deeply, or no moment
        ) as error:
            raise NotAsLambdaDoes(type(error).__name__) from None
        check_likeness(operation, answer)
        return answer

    async def _client(self, region: str) -> Any:
        """A region's client, made once. Raises InvalidRequest where the AWS configuration allows none."""
        async with self._making:
            if region not in self._clients:
                made = self._session.create_client(
                    "lambda", region_name=region, endpoint_url=self._endpoint_url, config=_CONFIG
                )
                try:
                    self._clients[region] = await self._resources.enter_async_context(made)
                except (botocore.exceptions.BotoCoreError, ValueError, OSError) as error:
                    raise InvalidRequest(f"no Lambda endpoint for region '{region}': {error}") from None
        return self._clients[region]


def _method(operation: str) -> str:
    """As botocore names it."""
    return {
        LOOK: "get_durable_execution",
        SUCCEED: "send_durable_execution_callback_success",
        FAIL: "send_durable_execution_callback_failure",
    }[operation]


def _request(invocation: Invocation) -> dict[str, Any]:
    """The operation's members. A failure's payload is the JSON object of its error."""
    if invocation.invocation_type == LOOK:
        return {"DurableExecutionArn": invocation.subject, "IncludeExecutionData": True}
    if invocation.invocation_type == SUCCEED:
        return {"CallbackId": invocation.subject, "Result": invocation.payload}
    return {"CallbackId": invocation.subject, "Error": json.loads(invocation.payload)}

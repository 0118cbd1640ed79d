"""aiobotocore's HTTP session for services whose answers are small: it gives up on an answer that never ends.

Knows aiohttp and aiobotocore; does not know which service answers."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from lambda_sidecar.http.cancellation import cancellation_kept

# The answers of STS and SSO have some 2 KB, session token included.
ANSWER_MAX = 262_144


class AnswerTooLarge(Exception):
    """The answer has more bytes than a session reads."""


class BoundedHttpSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore is not typed
    """Reads so many bytes of an answer at most."""

    ANSWER_MAX = ANSWER_MAX

    async def send(self, request: Any) -> Any:
        """Raises AnswerTooLarge, and whatever its parent raises; but EndpointConnectionError says that
        nothing was sent."""
        request.stream_output = True  # its parent leaves the body to us
        try:
            response = await super().send(request)
        except EndpointConnectionError as error:
            # Its parent's name for a connection that was reset when the request had left, too.
            inner = error.kwargs.get("error")
            if isinstance(inner, aiohttp.ClientConnectorError) or not isinstance(inner, aiohttp.ClientError):
                raise
            raise ConnectionClosedError(error=inner, request=request, endpoint_url=request.url) from None
        body = bytearray()
        try:
            async for chunk in response.raw.content.iter_any():
                body += chunk
                if len(body) > self.ANSWER_MAX:
                    raise AnswerTooLarge
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConnectionClosedError(error=error, request=request, endpoint_url=request.url) from None
        finally:
            if not response.raw.content.at_eof():
                response.raw.close()
        response._content = bytes(body)
        return response

    async def _get_session(self, proxy_url: str | None) -> Any:
        """Its parent's, for which connecting forgets no cancellation. The parent makes the connector itself,
        in another way with each of its versions."""
        session = await super()._get_session(proxy_url)
        if "connect" not in vars(session.connector):
            session.connector.connect = functools.partial(_connect, session.connector.connect)
        return session


async def _connect(connect: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
    """aiohttp's BaseConnector.connect."""
    connection: Any = None
    try:
        with cancellation_kept():
            connection = await connect(*args, **options)
    except asyncio.CancelledError:
        if connection is not None:
            connection.close()
        raise
    return connection

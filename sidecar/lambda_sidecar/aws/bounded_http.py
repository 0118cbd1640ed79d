"""aiobotocore's HTTP session for clients whose answers are small: one that never ends is not read to its end.

Knows aiohttp and aiobotocore; nothing of who is asked."""

from __future__ import annotations

from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import ConnectionClosedError

# What STS and SSO answer with is some 2 KB, session token included.
ANSWER_MAX = 262_144


class AnswerTooLarge(Exception):
    """More than ANSWER_MAX bytes."""


class BoundedHttpSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore is not typed
    """Reads ANSWER_MAX bytes of an answer at most."""

    async def send(self, request: Any) -> Any:
        """Raises AnswerTooLarge, and what its parent does."""
        request.stream_output = True  # its parent leaves the body to us
        response = await super().send(request)
        body = bytearray()
        try:
            async for chunk in response.raw.content.iter_any():
                body += chunk
                if len(body) > ANSWER_MAX:
                    raise AnswerTooLarge
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConnectionClosedError(error=error, request=request, endpoint_url=request.url) from None
        finally:
            if not response.raw.content.at_eof():
                response.raw.close()
        response._content = bytes(body)
        return response

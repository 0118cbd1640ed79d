"""The guard before the local Lambda: only requests that look signed and name a loopback host pass.
Runs before any route; knows nothing of functions."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable

from aiohttp import web

from lambda_sidecar.http.loopback import is_loopback_host
from lambda_sidecar.local.errors import ApiError, forbidden, service_error

_logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets a request pass to its route, or raises ApiError.

    The signature itself is not verified: whoever runs on this machine may call. The two checks keep web
    pages out: without CORS they send no Authorization header to another origin, and after DNS rebinding
    their Host is no loopback name.
    """
    _check(request)
    return await handler(request)


@web.middleware
async def answer_failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns every failure into Lambda's REST-JSON error; it goes around everything else."""
    try:
        return await handler(request)
    except ApiError as error:
        return error_response(error)
    except ConnectionResetError:  # the client went away amid its answer
        raise
    except web.HTTPNotFound:
        return error_response(
            ApiError(404, "UnknownOperationException", "no such operation of the local Lambda")
        )
    except web.HTTPMethodNotAllowed:
        return error_response(ApiError(405, "UnknownOperationException", "no such method of this operation"))
    except Exception:
        _logger.exception("local Lambda: an Invoke request failed")
        return error_response(service_error("the local Lambda failed; its log says why"))


def error_response(error: ApiError) -> web.Response:
    """Lambda's REST-JSON error: the name in x-amzn-ErrorType, the text in the body."""
    headers = {"x-amzn-ErrorType": error.code, "x-amzn-RequestId": str(uuid.uuid4())}
    return web.Response(
        status=error.status, body=error.body(), content_type="application/json", headers=headers
    )


def _check(request: web.Request) -> None:
    if not is_loopback_host(request.headers.get("Host", "")):
        raise forbidden("AccessDeniedException", "the local Lambda answers only under a loopback host name")
    # "Authenticating Requests (AWS Signature Version 4)": the Authorization header begins with the algorithm.
    if not request.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 "):
        raise forbidden("MissingAuthenticationTokenException", "Missing Authentication Token")

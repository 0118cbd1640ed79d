"""A call's answer without a stream: what its client would read.

Knows the service and its messages; asserts nothing."""

from __future__ import annotations

from lambda_sidecar.concurrency.slots import Share
from lambda_sidecar.contract.message import Request, Response, write_response
from lambda_sidecar.contract.service import LambdaInvoker


async def answered(service: LambdaInvoker, request: Request, payload: bytes | None = None) -> Response:
    """`payload` None: the one that is in the request."""
    given = request.payload if payload is None else payload
    return Response.FromString(write_response(await service.answer(request, given, Share())))
